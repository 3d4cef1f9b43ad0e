"""What kinds of slides a cohort mixes: frozen beside paraffin sections, other samples beside primary tumours.

TCGA's barcodes say both; a sheet of one's own may have the columns :data:`COLUMNS`.
"""

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from mirrorflow.errors import InputError

COLUMNS = ("preparation", "scanner", "stain", "specimen")
BARCODE = re.compile(
    r"[A-Z0-9]{4}-[A-Z0-9]{2}-[A-Z0-9]{4}-(?P<sample>\d{2})[A-Z]?-\d{2}-(?P<section>DX|TS|BS|MS)[A-Z0-9]*"
)
SECTIONS = {
    "DX": "paraffin, diagnostic",
    "TS": "frozen, top section",
    "BS": "frozen, bottom section",
    "MS": "frozen, middle section",
}
SAMPLES = {"01": "primary tumour", "02": "recurrent tumour", "06": "metastasis", "11": "normal tissue"}


def kinds_of(slide_ids: Iterable[str]) -> dict[str, Counter[str]]:
    """``section`` and ``sample`` -> how many slides of each code, of those whose names are TCGA's."""
    found = [match for match in map(BARCODE.match, slide_ids) if match]
    return {part: Counter(match[part] for match in found) for part in ("section", "sample")}


def mixed_kinds(slide_ids: Iterable[str], declared: Iterable[str]) -> Iterator[str]:
    """What is mixed and not declared, in words: sections of paraffin and ice, samples that are no primary tumour."""
    kinds, said = kinds_of(slide_ids), set(declared)
    sections, samples = kinds["section"], kinds["sample"]
    frozen = set(sections) - {"DX"}
    if "DX" in sections and frozen - said:
        yield f"slides are {_counted(sections, SECTIONS)}; {_fix(frozen - said)}"
    other = set(samples) - {"01"}
    if other - said:
        yield f"slides are of samples {_counted(samples, SAMPLES)}; {_fix(other - said)}"


def declared_kinds(slides: Mapping[str, Any]) -> list[str]:
    """Kinds that a cohort's section ``slides`` says are meant; frozen slides of GDC are asked for by their strategy."""
    frozen = slides.get("gdc", {}).get("experimental_strategy") == "Tissue Slide"
    return [*slides.get("mixed", ()), *(("TS", "BS", "MS") if frozen else ())]


def require_declared(slide_ids: Iterable[str], declared: Iterable[str], where: str) -> None:
    """Raise InputError where kinds of slides are mixed that are not ``declared``, with their counts and the fix."""
    if problems := list(mixed_kinds(list(slide_ids), declared)):
        raise InputError("\n".join(f"{where}: {problem}" for problem in problems))


def column_kinds(values: Mapping[str, Iterable[str]]) -> Iterator[str]:
    """What columns of a sheet say of its slides, a line each."""
    for name, cells in values.items():
        counts = Counter(cell or "unknown" for cell in cells)
        yield f"{name}: {', '.join(f'{kind} {count}' for kind, count in counts.most_common(6))}"


def _counted(counts: Counter[str], words: Mapping[str, str]) -> str:
    return ", ".join(f"{code} ({words.get(code, 'other')}) {count}" for code, count in counts.most_common())


def _fix(codes: set[str]) -> str:
    named = ", ".join(f'"{code}"' for code in sorted(codes))
    return f"take them out of the sheet or, where they are meant, declare them: slides: {{mixed: [{named}]}}"
