"""Protocols side by side, and what the auditor found under each."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from mirrorflow.report.blocks import (
    Block,
    Cell,
    Details,
    Heading,
    Listing,
    Section,
    Table,
    Text,
    badge_cells,
    cells,
    counted,
    plain,
)


def level_counts(records: Sequence[Mapping[str, Any]]) -> dict[str, int]:
    """Findings of several audits by level."""
    return dict(Counter(finding["level"] for record in records for finding in record["findings"]))


def protocols_section(
    protocols: Mapping[str, Mapping[str, Any]], descriptions: Mapping[str, str], scopes: Mapping[str, str]
) -> Section:
    """One column a protocol, one row a key; rows that differ come first and are marked.

    ``descriptions``: key -> its description in the schema; ``scopes``: protocol -> name of its scope.
    """
    keys = dict.fromkeys(key for entry in protocols.values() for key in entry)
    rows = [_key_row(key, protocols, descriptions) for key in keys]
    rows.append([Cell("model scope"), *(Cell(scopes[name]) for name in protocols), Cell(_SCOPE)])
    rows.sort(key=lambda row: not any(cell.strong for cell in row))
    differing = sum(any(cell.strong for cell in row) for row in rows)
    caption = f"Protocol {', '.join(protocols)}, key by key, as resolved from the config. Rule make_report."
    if len(protocols) > 1:
        caption += f" In bold, and first: the {counted(differing, 'key')} in which they differ."
    table = Table(caption, ("key", *protocols, "meaning"), rows)
    return Section("protocols", "Protocols side by side", (table,))


_SCOPE = "Folder of splits, genes and models: made once for all protocols that share it."


def _key_row(key: str, protocols: Mapping[str, Mapping[str, Any]], descriptions: Mapping[str, str]) -> list[Cell]:
    values = [plain(entry.get(key)) for entry in protocols.values()]
    differs = len(set(values)) > 1
    return [
        Cell(key, strong=differs),
        *(Cell(value, strong=differs) for value in values),
        Cell(descriptions.get(key, "")),
    ]


def audits_section(records: Sequence[Mapping[str, Any]]) -> Section:
    """What was really used, protocol by protocol and cohort by cohort."""
    blocks: list[Block] = [
        Text(
            "A leak lets evaluation data or labels into what is fitted or chosen. A warning makes results look better, "
            "or less comparable, than a reader would assume, without that."
        )
    ]
    for record in records:
        blocks += _audit_blocks(record)
    return Section("audits", "Audits", blocks)


def _audit_blocks(record: Mapping[str, Any]) -> list[Block]:
    findings = sorted(record["findings"], key=lambda found: found["level"] != "leak")
    claim = "claims to be honest" if record["claims_honest"] else "does not claim to be honest"
    title = f"{record['protocol']} on {record['cohort']}"
    heading = Heading(title, badge_cells(level_counts([record])))
    remarks = [Listing(record["remarks"])] if record.get("remarks") else []
    seen = [*remarks, *_seen_blocks(record, title)]
    if not findings:
        return [heading, Text(f"The protocol {claim}; nothing was found."), *seen]
    caption = (
        f"Findings for protocol {title}, n = {len(findings)}; it {claim}. Rule audit, file "
        f"audit/{record['protocol']}/{record['cohort']}.json."
    )
    table = Table(caption, ("level", "fold", "finding", "examples"), [_finding_row(f) for f in findings])
    leaks = [found for found in findings if found["level"] == "leak"]
    return [heading, Details(f"The protocol {claim}: {len(findings)} findings", (table,), opened=bool(leaks)), *seen]


def _seen_blocks(record: Mapping[str, Any], title: str) -> list[Block]:
    """Who genes, models and bins were really made from."""
    lines = record.get("seen") or []
    if not lines:
        return []
    caption = (
        f"Whom genes, models, scalers and survival bins saw under protocol {title}, as their records and digests say, "
        "and how many of these patients are evaluated on the fold. Rule audit."
    )
    rows = [
        cells(
            line["what"],
            "all" if line["fold"] < 0 else line["fold"],
            _count(line["patients"]),
            _count(line["of_evaluation"]),
            line["detail"],
        )
        for line in lines
    ]
    table = Table(caption, ("what", "fold", "patients", "of them evaluated", "by"), rows, frozenset({2, 3}))
    return [Details(f"Who was really seen: {len(lines)} records", (table,))]


def _count(number: int) -> str:
    return "unknown" if number < 0 else str(number)


def _finding_row(finding: Mapping[str, Any]) -> list[Cell]:
    fold = "all" if finding["fold"] is None else finding["fold"]
    return cells(Cell(finding["level"], badge=finding["level"]), fold, finding["text"], ", ".join(finding["examples"]))
