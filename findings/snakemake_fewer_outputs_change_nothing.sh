#!/usr/bin/env bash
# Snakemake 9.27.1.
#
# Each output has its own note of the rule's code, params and inputs, and none of which files were made beside it. So a rule
# whose list of outputs became shorter (ten folds, now five) is not run again: the notes of the files that are left still
# fit. Parts 0 to 4 of ten stand for parts 0 to 4 of five, though the rule would write others. A longer list is seen, since
# files are missing. A param that counts the outputs makes a shorter one run again, too.
#
# Seen: ten files, then five: "Nothing to be done", and part_0.txt is still "part 0 of 10". With the count among the params:
# "Params have changed", and part_0.txt is "part 0 of 5". Five files, then ten, without it: all ten are made.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check snakemake==9.27.1
cat > Snakefile <<'SMK'
PARTS = expand("part_{part}.txt", part=range(int(config["parts"])))
rule all:
    input: PARTS
rule split:
    input: "whole.txt"
    output: PARTS
    params: **({"parts": len(PARTS)} if config["counted"] == "yes" else {})
    run:
        for part, name in enumerate(output):
            with open(name, "w") as stream:
                stream.write(f"part {part} of {len(output)}\n")
SMK
echo "Snakemake $(venv/bin/snakemake --version)"
run() { venv/bin/snakemake --cores 1 --config "$@" > run.log 2>&1 || { cat run.log >&2; exit 1; }; }
parts() {
    rm -rf .snakemake part_*.txt
    echo whole > whole.txt
    run parts="$2" counted="$1"
    run parts="$3" counted="$1"
    cat part_0.txt
}
check() {
    test "$2" = "$3" || { echo "changed: $1: $3 was seen, now $2"; exit 1; }
    echo "$1: $2"
}
seen=$(parts no 10 5)
check "ten files, then five" "$seen" "part 0 of 10"
check "what the second run did" "$(grep -c 'Nothing to be done' run.log)" 1
seen=$(parts yes 10 5)
check "the same, with the count among the params" "$seen" "part 0 of 5"
check "why" "$(grep -c 'Params have changed' run.log)" 1
seen=$(parts no 5 10)
check "five files, then ten" "$seen" "part 0 of 10"
echo "as described"
