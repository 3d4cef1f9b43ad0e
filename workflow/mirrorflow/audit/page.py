"""The audit as a page for people."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from mirrorflow.audit import findings as audit
from mirrorflow.audit.claims import repair_of, where_of
from mirrorflow.tables.render import as_cell, as_text


def to_markdown(record: Mapping[str, Any], findings: Sequence[audit.Finding]) -> str:
    """The audit as a page for people."""
    claim = "claims to be honest" if record["claims_honest"] else "does not claim to be honest"
    lines = [
        f"# Audit of {record['protocol']} on {record['cohort']}",
        "",
        f"The protocol {claim}; {record['leaks']} leaks, {len(findings) - record['leaks']} warnings.",
        "",
        *[f"- {key}: {value}" for key, value in sorted(record["keys"].items())],
        "",
        *[line for remark in record.get("remarks", ()) for line in (remark, "")],
    ]
    if findings:
        lines += ["| level | where | finding | examples |", "| --- | --- | --- | --- |"]
        lines += [
            f"| {f.level} | {where_of(f).rstrip(': ')} | {as_cell(f.text)} | {as_text(', '.join(f.examples))} |"
            for f in findings
        ]
    else:
        lines.append("Nothing found.")
    if record.get("seen"):
        lines += ["", "Who was really seen, by the records:", ""]
        lines += ["| what | fold | patients | of them evaluated | by |", "| --- | --- | --- | --- | --- |"]
        lines += [_seen_line(line) for line in record["seen"]]
    return "\n".join(lines) + "\n"


def remarks_of(record: Mapping[str, Any]) -> Iterator[str]:
    """Sentences that stand on the page whatever was found: repaired folds, labels that chose genes, the fix."""
    if record["repaired"]:
        by_fold = ", ".join(map(str, record["repaired"]))
        total = sum(record["repaired"])
        yield f"Folds repaired, every patient is kept once: {total} patients moved (by fold: {by_fold})."
    if fix := repair_of(record):
        yield f"Patients are shared between parts of a fold{fix}."
    for setting, counts in record["gene_labels"].items():
        if counts:
            yield f"Labels that chose the genes of setting {setting}, by fold: {', '.join(map(str, counts))}."


def _seen_line(line: Mapping[str, Any]) -> str:
    counts = ["unknown" if line[key] < 0 else str(line[key]) for key in ("patients", "of_evaluation")]
    fold = "all" if line["fold"] < 0 else line["fold"]
    return f"| {as_text(line['what'])} | {fold} | {counts[0]} | {counts[1]} | {as_cell(line['detail'])} |"
