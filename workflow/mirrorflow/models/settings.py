"""Everything that shapes MIRROR, checked: dimensions, attention, masks, and which losses are on."""

from dataclasses import dataclass
from typing import Literal

from mirrorflow.errors import ConfigError
from mirrorflow.models.attention import AttentionForm, check_heads
from mirrorflow.models.transmil import square_side

LOSSES = ("alignment", "retention", "style", "cluster")


@dataclass(frozen=True)
class MirrorSettings:
    """Everything that shapes the network and its objective. Defaults are the published values.

    ``losses`` switches parts off (Tables V and VI): without ``style`` the style encoder is deterministic;
    without both ``style`` and ``cluster`` there is none; ``clustering: hard`` replaces the prototypes.
    ``objective`` names how the style and cluster terms are weighted, see :mod:`.objective`.
    ``landmarks`` is width // 2, but never more than a full bag has tokens.

    Raises ConfigError naming the setting, its value and what is allowed.
    """

    patch_dim: int
    gene_count: int
    width: int = 768
    slide_heads: int = 8
    rna_heads: int = 12
    landmarks: int | None = None
    mlp_ratio: float = 2.572
    dropout: float = 0.1
    tokens: int = 2048
    slide_mask_ratio: float = 0.75
    rna_mask_ratio: float = 0.75
    prototypes: int = 3000
    style_widths: tuple[int, int, int] = (512, 256, 128)
    attention: AttentionForm = "nystrom"
    objective: Literal["reference", "equations"] = "reference"
    losses: tuple[str, ...] = LOSSES
    clustering: Literal["prototypes", "hard"] = "prototypes"
    same_patient_negatives: Literal["keep", "drop"] = "keep"
    alignment_weight: float = 0.5
    retention_weight: float = 0.3
    style_clustering_weight: float = 0.2

    def __post_init__(self) -> None:
        # Lists from YAML or JSON become the tuples that a frozen dataclass can hash and compare.
        object.__setattr__(self, "losses", tuple(self.losses))
        object.__setattr__(self, "style_widths", tuple(self.style_widths))
        _check_counts(self)
        _check_choices(self)
        check_heads(self.width, self.slide_heads, what="slide_heads")
        check_heads(self.width, self.rna_heads, what="rna_heads")

    @property
    def landmark_count(self) -> int:
        """Landmarks of the Nystrom form: more of them than tokens would only pad every bag."""
        return self.landmarks or min(self.width // 2, 1 + square_side(self.tokens) ** 2)


def _check_counts(settings: MirrorSettings) -> None:
    for name in ("patch_dim", "gene_count", "width", "tokens", "prototypes"):
        if getattr(settings, name) < 1:
            message = f"{name} is {getattr(settings, name)}; it must be at least 1"
            raise ConfigError(message)
    if len(settings.style_widths) != 3 or min(settings.style_widths) < 1:
        message = f"style_widths is {settings.style_widths}; it takes three positive widths, e.g. 512, 256, 128"
        raise ConfigError(message)
    for name in ("slide_mask_ratio", "rna_mask_ratio"):
        if not 0 < getattr(settings, name) <= 1:
            message = f"{name} is {getattr(settings, name)}; allowed: above 0, up to 1 (no masking: drop the loss)"
            raise ConfigError(message)


def _check_choices(settings: MirrorSettings) -> None:
    allowed = {
        "attention": ("nystrom", "exact"),
        "objective": ("reference", "equations"),
        "clustering": ("prototypes", "hard"),
        "same_patient_negatives": ("keep", "drop"),
    }
    for name, choices in allowed.items():
        if getattr(settings, name) not in choices:
            message = f"{name} is {getattr(settings, name)!r}; allowed: {', '.join(choices)}"
            raise ConfigError(message)
    unknown = sorted(set(settings.losses) - set(LOSSES))
    if unknown or not settings.losses:
        message = f"losses is {list(settings.losses)}; name at least one of {', '.join(LOSSES)}"
        raise ConfigError(message)
