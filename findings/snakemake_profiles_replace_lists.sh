#!/usr/bin/env bash
# Snakemake 9.27.1.
#
# `set-threads` of a profile names rules, one entry each. An entry on the command line, or in the workflow profile beside a
# profile, does not join them: the whole list is replaced. A rule that only the lost list named has its own threads again,
# and nothing is said. The same holds for `set-resources`. So `--set-threads one=1` beside a profile that keeps thirty other
# rules small makes these thirty large, and a workflow's own profile undoes what a site's profile says of other rules.
#
# Seen (rule threads 4 each; profile site: two=3; workflow profile: one=2):
#   --workflow-profile flow                     one 2, two 4
#   --workflow-profile flow --set-threads two=1 one 4, two 1
#   --profile site --workflow-profile flow      one 2, two 4
#   the same of mem_mb by set-resources         one 200, two 400
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check snakemake==9.27.1
cat > Snakefile <<'SMK'
rule all:
    input: "one.txt", "two.txt"
rule one:
    output: "one.txt"
    threads: 4
    resources: mem_mb=400
    shell: "echo {threads} {resources.mem_mb} > {output}"
rule two:
    output: "two.txt"
    threads: 4
    resources: mem_mb=400
    shell: "echo {threads} {resources.mem_mb} > {output}"
SMK
mkdir site flow
printf 'set-threads:\n  - two=3\nset-resources:\n  - two:mem_mb=300\n' > site/config.yaml
printf 'set-threads:\n  - one=2\nset-resources:\n  - one:mem_mb=200\n' > flow/config.yaml
version=$(venv/bin/snakemake --version)
echo "Snakemake $version"
said() {
    rm -f one.txt two.txt
    venv/bin/snakemake --cores 4 "$@" > run.log 2>&1 || { cat run.log; exit 1; }
    echo "one $(cat one.txt), two $(cat two.txt)"
}
check() {
    local wanted=$1 seen
    shift
    seen=$(said "$@")
    echo "$*: $seen"
    test "$seen" = "$wanted" || { echo "changed: $wanted was seen"; exit 1; }
}
check "one 2 200, two 4 400" --workflow-profile flow
check "one 4 200, two 1 400" --workflow-profile flow --set-threads two=1
check "one 2 200, two 4 400" --profile site --workflow-profile flow
echo "as described"
