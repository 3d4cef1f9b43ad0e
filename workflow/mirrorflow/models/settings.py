"""Everything that shapes MIRROR: dimensions, attention, masks, and which losses are on. Free of torch."""

import math
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from mirrorflow.config.bounds import check_heads
from mirrorflow.config.fields import choice, count, count_or_none, many, number, positive, setting
from mirrorflow.config.training_settings import PairedShape

AttentionForm = Literal["nystrom", "exact"]
LOSSES = ("alignment", "retention", "style", "cluster")
SHARE_MASKED: dict[str, Any] = {"type": "number", "exclusiveMinimum": 0, "maximum": 1}
"""Where nothing is to be masked the loss is dropped."""


@dataclass(frozen=True)
class MirrorSettings(PairedShape):
    """Everything that shapes the network and its objective. Defaults are the published values.

    ``losses`` switches parts off (Tables V and VI): without ``style`` the style encoder is deterministic;
    without both ``style`` and ``cluster`` there is none; ``clustering: hard`` replaces the prototypes.
    ``objective`` names how the style and cluster terms are weighted, see :mod:`.objective`.

    Raises ConfigError where heads do not divide the width.
    """

    VERSION: ClassVar[int] = 2

    slide_heads: int = count("Attention heads of the slide encoder.", 8)
    rna_heads: int = count("Attention heads of the RNA encoder.", 12)
    landmarks: int | None = count_or_none(
        "Landmarks of the Nystrom form; null - width / 2, at most a full bag's tokens.", None
    )
    mlp_ratio: float = positive("Hidden width of the RNA blocks' MLP over the width.", 2.572)
    slide_mask_ratio: float = setting("Share of patch tokens masked for retention.", 0.75, **SHARE_MASKED)
    rna_mask_ratio: float = setting("Share of the RNA vector masked for retention.", 0.75, **SHARE_MASKED)
    prototypes: int = count("Prototypes of the style clustering.", 3000)
    style_widths: tuple[int, int, int] = many(
        "Hidden widths of the style encoder and width of its latent.",
        {"$ref": "#/$defs/count"},
        (512, 256, 128),
        minItems=3,
        maxItems=3,
    )
    attention: AttentionForm = choice(
        "nystrom as published; exact: scaled dot products, faster. Weights are interchangeable.",
        ["nystrom", "exact"],
        "nystrom",
    )
    objective: Literal["reference", "equations"] = choice(
        "How style and cluster terms are weighted: as the published code (0.1, 0.05) or as the equations (0.2, 0.2).",
        ["reference", "equations"],
        "reference",
    )
    losses: tuple[str, ...] = many(
        "Parts of the objective (Tables V and VI).", {"enum": list(LOSSES)}, LOSSES, minItems=1, uniqueItems=True
    )
    clustering: Literal["prototypes", "hard"] = choice(
        "hard: style vectors aligned directly instead of prototypes (Table VI; its loss is ours).",
        ["prototypes", "hard"],
        "prototypes",
    )
    alignment_weight: float = number("Weight of the alignment loss (Table VIII).", 0.5, minimum=0)
    retention_weight: float = number("Weight of the retention losses together.", 0.3, minimum=0)
    style_clustering_weight: float = number("Weight of the style clustering losses together.", 0.2, minimum=0)

    def __post_init__(self) -> None:
        super().__post_init__()
        check_heads(self.width, self.slide_heads, what="slide_heads")
        check_heads(self.width, self.rna_heads, what="rna_heads")

    @property
    def landmark_count(self) -> int:
        """Landmarks of the Nystrom form: more of them than tokens would only pad every bag."""
        return self.landmarks or min(self.width // 2, 1 + square_side(self.tokens) ** 2)


def square_side(count: int) -> int:
    """Side of the smallest square that holds ``count`` tokens."""
    return math.isqrt(count - 1) + 1
