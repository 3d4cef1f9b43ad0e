#!/usr/bin/env bash
# Snakemake 9.27.1 with snakemake-executor-plugin-cluster-generic 1.0.9.
#
# A function that gives a param is called when the run is planned, and again by the process of the job, on whichever node that
# is. The job gets what it says there, and the note by which later runs decide is of what it said when planning. So a
# function that looks at files (how many slides are there?) gives a job on a node that does not see them another answer, the
# job ends well, and no later run does it again. What a job must share with its plan has to travel in another way, such as the
# environment, which this executor and Slurm's hand on.
#
# Seen: 3 slides when planned, 1 where the job ran: the output is "1, planned with 3" (the second number came through the
# environment). With all 3 there again: "Nothing to be done". With one more slide than at planning: the job runs again.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check snakemake==9.27.1 snakemake-executor-plugin-cluster-generic==1.0.9
cat > Snakefile <<'SMK'
import os
import sys
def there():
    return len(os.listdir("slides"))
if not any(word.startswith("--target-jobs") for word in sys.argv):
    os.environ["THERE"] = str(there())
rule count:
    output: "count.txt"
    params: slides=lambda wildcards: there()
    shell: "echo {params.slides}, planned with $THERE > {output}"
SMK
cat > submit.sh <<'SH'
#!/bin/sh
# a node with another disk at the place of "slides"
mv slides ours; mkdir slides; touch slides/a
sh "$1" > job.log 2>&1; echo $? > status
rm -r slides; mv ours slides
echo 1
SH
cat > status.sh <<'SH'
#!/bin/sh
test "$(cat status)" = 0 && echo success || echo failed
SH
chmod +x submit.sh status.sh
mkdir slides
touch slides/a slides/b slides/c
echo "Snakemake $(venv/bin/snakemake --version)"
run() {
    PATH="$PWD/venv/bin:$PATH" venv/bin/snakemake --jobs 1 --executor cluster-generic --cluster-generic-submit-cmd ./submit.sh \
        --cluster-generic-status-cmd ./status.sh --seconds-between-status-checks 1 --latency-wait 5 "$@" > run.log 2>&1 ||
        { cat run.log job.log >&2; exit 1; }
}
check() {
    test "$2" = "$3" || { echo "changed: $1: $3 was seen, now $2"; exit 1; }
    echo "$1: $2"
}
run
check "a node with one slide" "$(cat count.txt)" "1, planned with 3"
run --dry-run
check "all slides there again" "$(grep -c 'Nothing to be done' run.log)" 1
touch slides/d
run --dry-run
check "one more slide than planned" "$(grep -c 'Params have changed' run.log)" 1
echo "as described"
