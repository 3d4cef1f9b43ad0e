#!/usr/bin/env bash
# Snakemake 9.27.1.
#
# `update(...)` keeps an output while its rule works on it, so that costly work can be gone on with. When the job fails the file
# of before comes back, and Snakemake notes the job's new params for it. The next call finds the file there, with notes that
# fit the config, and has "Nothing to be done": what was made with the old setting stands for the new one, without a word.
# An output that is not marked is removed when its job fails, and is made by the next call. So what depends on params should
# not be `update(...)`: keep the costly part in a file that no rule declares, and copy what is declared from it.
#
# Seen: genes.txt made with number=10; with number=20 the job fails; with number=20 again nothing is to be done and genes.txt has 10. Without
# `update` the third call makes it, and it has 20.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check snakemake==9.27.1
cat > Snakefile <<'SMK'
marked = update if config["marked"] else (lambda path: path)
rule genes:
    output: marked("genes.txt")
    params: number=config["number"]
    shell: "test ! -e broken; echo {params.number} > {output}"
SMK
echo "Snakemake $(venv/bin/snakemake --version)"
run() { venv/bin/snakemake --cores 1 --config marked="$1" number="$2" > run.log 2>&1; }
story() {
    rm -rf .snakemake genes.txt broken
    run "$1" 10
    touch broken
    if run "$1" 20; then echo "changed: the job did not fail"; exit 1; fi
    rm broken
    run "$1" 20
    cat genes.txt
}
check() {
    test "$2" = "$3" || { echo "changed: $1: $3 was seen, now $2"; exit 1; }
    echo "$1: after a failed and a good call with number=20 genes.txt has $2"
}
check "with update" "$(story 1)" 10
check "without" "$(story "")" 20
echo "as described"
