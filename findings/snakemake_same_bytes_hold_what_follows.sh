#!/usr/bin/env bash
# Snakemake 9.27.1.
#
# A job whose inputs are newer runs again only if their checksums differ from those that it noted. A rule that writes a small
# record (where its model lies) and the model beside it writes the same record whatever it trained. Within one call what
# follows runs all the same, since its input was made by another job of the call. But if the call ends in between (--until,
# a target named by hand, a kill), a later call finds the record's bytes as noted, and "Nothing to be done": what follows is
# of the older model for good. Such a record must hold something of what it stands for, such as a digest.
#
# Seen: --until train after a changed setting trains anew; then the whole workflow has nothing to do and use.txt is "old".
# The same change without --until: use.txt is "new". With the setting in the record: use.txt is "new" either way.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check snakemake==9.27.1
cat > Snakefile <<'SMK'
rule all:
    input: "use.txt"
rule train:
    output: "record.json"
    params: setting=config["setting"]
    shell: "echo {params.setting} > model.bin; echo '{{\"model\": \"model.bin\"}}' > {output}" + config["more"]
rule use:
    input: "record.json"
    output: "use.txt"
    shell: "cp model.bin {output}"
SMK
echo "Snakemake $(venv/bin/snakemake --version)"
run() { venv/bin/snakemake --cores 1 --config "$@" > run.log 2>&1 || { cat run.log >&2; exit 1; }; }
use() {
    rm -rf .snakemake model.bin record.json use.txt
    local more=$1
    shift
    run setting=old "$more"
    sleep 1.1
    if test "$#" -gt 0; then run setting=new "$more" "$@"; fi
    run setting=new "$more"
    cat use.txt
}
check() {
    test "$2" = "$3" || { echo "changed: $1: $3 was seen, now $2"; exit 1; }
    echo "$1: use.txt is $2"
}
seen=$(use "more=; true")
check "one call" "$seen" new
seen=$(use "more=; true" --until train)
check "--until train, then the rest" "$seen" old
test "$(cat model.bin)" = new
seen=$(use "more=; echo {params.setting} >> {output}" --until train)
check "the same, with the setting in the record" "$seen" new
echo "as described"
