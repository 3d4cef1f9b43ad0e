"""What a reader of a main table must know beside it: sites that tell, sites that lack, encoders that saw the slides."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from mirrorflow.config.adaptation import is_adapted
from mirrorflow.config.protocols import SITE_PRESERVED

CONCERNS = {
    "sites_tell_outcome": ("survival",),
    "sites_tell_class": ("subtyping",),
    "encoder_saw_evaluation_slides": ("subtyping", "survival"),
}
"""Kinds of the audit's findings that are said beside a main table, and the tasks whose tables these are."""


def beside_table(records: Sequence[Mapping[str, Any]], protocol: str, task: str) -> list[str]:
    """A sentence a finding, and one where a cohort has no sites to tell; adapted cohorts have tables of their own.

    records: of the audits, as read from their files.
    """
    mine = [one for one in records if one["protocol"] == protocol and not is_adapted(one["cohort"])]
    return [sentence for record in mine for sentence in _of_record(record, task)]


def _of_record(record: Mapping[str, Any], task: str) -> Iterator[str]:
    for finding in record["findings"]:
        if task in CONCERNS.get(finding["kind"], ()):
            first, *_ = finding["text"].split("). ")
            yield f"{record['cohort']}: {first}{')' if first.count('(') > first.count(')') else ''}."
    if record.get("lacking_sites") and record.get("keys", {}).get("splits") != SITE_PRESERVED:
        yield f"{record['cohort']}: {record['lacking_sites']}"
