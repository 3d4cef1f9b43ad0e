#!/usr/bin/env bash
# Snakemake 9.27.1 with snakemake-executor-plugin-cluster-generic 1.0.9.
#
# `snakemake one.txt two.txt --forceall --executor cluster-generic` submits jobs whose own Snakemake process reads the Snakefile again,
# without --forceall: it is told to run one target with --force and --target-jobs instead. `workflow.dag_settings`, which
# would say it, is None while the Snakefile is read. A Snakefile that looks at its arguments (say, to skip a check of what
# lies there, since all of it is made anew) finds the option where jobs are planned and in no job on the cluster: what is
# skipped while planning is not skipped there.
#
# Seen, --forceall and --force: the planner True False, both jobs False True; dag_settings None in all three.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check snakemake==9.27.1 snakemake-executor-plugin-cluster-generic==1.0.9
cat > Snakefile <<'SMK'
import sys
with open("said.txt", "a") as stream:
    who = "job" if "--target-jobs" in sys.argv else "planner"
    stream.write(f"{who} {'--forceall' in sys.argv} {'--force' in sys.argv}\n")
    stream.write(f"settings {workflow.dag_settings}\n")
rule all:
    input: "one.txt", "two.txt"
rule make:
    output: "{name}.txt"
    shell: "echo made > {output}"
SMK
export PATH="$folder/venv/bin:$PATH"
snakemake one.txt two.txt --cores 1 > first.log 2>&1 || { cat first.log; exit 1; }
rm said.txt
snakemake one.txt two.txt --forceall --executor cluster-generic --cluster-generic-submit-cmd "bash" --jobs 1 \
  --latency-wait 20 > second.log 2>&1 || { cat second.log; exit 1; }
sort said.txt | uniq -c
grep -q "^planner True False" said.txt || { echo "changed: the planner has other arguments"; exit 1; }
if grep -q "^job True" said.txt; then echo "changed: a job knows --forceall"; exit 1; fi
test "$(grep -c '^job False True' said.txt)" -ge 2 || { echo "changed: jobs do not read the Snakefile again"; exit 1; }
if grep "^settings" said.txt | grep -qv "^settings None"; then echo "changed: dag_settings is known"; exit 1; fi
echo "as described"
