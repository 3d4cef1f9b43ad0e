"""Where slide and RNA vectors lie: the maps of rule map_embeddings; distances are among the further tables."""

from collections.abc import Sequence

from mirrorflow.report.blocks import Section, Text
from mirrorflow.report.pictures import Drawn, NotDrawn, figures_section

KIND = "embeddings"
BESIDE = (
    "A map shows who lies near whom; its distances and sizes mean nothing. What is measured, in the vectors' own "
    "space, is in the table modality gap: file tables/modality_gap.csv, rule make_modality_gap."
)


def embeddings_sections(drawn: Sequence[Drawn], left_out: Sequence[NotDrawn]) -> list[Section]:
    """One section, none where no map was asked for."""
    if KIND not in {one.kind for one in drawn} | {one.kind for one in left_out}:
        return []
    section = figures_section(KIND, "Where slide and RNA vectors lie", KIND, drawn, left_out)
    return [Section(section.anchor, section.title, [Text(BESIDE), *section.blocks])]
