"""Sections of the config about slides: tissue masks, patches, encoders, features."""

from dataclasses import dataclass
from typing import Any, ClassVar

from mirrorflow.config.bounds import ALLOWED
from mirrorflow.config.encoder_table import NATIVE, buildable, encoder_table
from mirrorflow.config.fields import (
    FRACTION,
    NAME,
    POSITIVE,
    UNSET,
    Section,
    Settings,
    choice,
    count,
    fraction,
    many,
    name,
    named,
    newer,
    number,
    positive,
    same,
    section,
    setting,
    stated,
    switch,
    text,
    whole,
)
from mirrorflow.config.saw import SEEN
from mirrorflow.errors import ConfigError

GREY: dict[str, Any] = {"minimum": 0, "maximum": 255}
"""What a pixel's saturation or brightness can be."""


@dataclass(frozen=True)
class Segmentation(Settings):
    """How tissue is told from glass. The defaults suit H&E slides of whole sections and biopsies.

    All lengths are micrometres and all areas square micrometres on the glass, so that one setting means the same at
    any scale.
    """

    PLACE: ClassVar[str] = "segmentation."

    mpp: float = positive("Scale of the view (default 8).", 8.0)
    median_um: float = number("Median blur of the saturation.", 40.0, minimum=0)
    """Takes out dust and JPEG noise."""
    threshold: float | None = setting(
        "Saturation above which a pixel is tissue; null - Otsu's.",
        None,
        anyOf=[{"type": "number", **GREY}, {"type": "null"}],
    )
    min_threshold: float = number("Lower bound of Otsu's threshold.", 12.0, **GREY)
    """Otsu splits bare glass, too; below this saturation it is noise."""
    max_threshold: float = number("Upper bound of Otsu's threshold.", 40.0, **GREY)
    """Otsu splits a slide full of tissue in two; above this saturation nothing is glass."""
    closing_um: float = number("Gaps narrower than this are closed.", 40.0, minimum=0)
    erosion_um: float = number("The rim of this width is taken off.", 0.0, minimum=0)
    min_tissue_um2: float = number("Smaller specks are dropped.", 30_000.0, minimum=0)
    """30,000 um2: a piece of 173 x 173 um."""
    max_hole_um2: float = number("Smaller holes are filled.", 16_384.0, minimum=0)
    """16,384 um2: one patch of 256 px at 20x."""
    pen: bool = switch("Keep pen marks out.", True)
    """Blue, green, red, black ink."""
    min_brightness: float = number("Darker pixels are scanner borders or black ink.", 60.0, **GREY)
    """Of a pixel's brightest channel; with ``pen``."""
    all_if_empty: bool = switch("Take the whole slide where no tissue is found.", False)
    """As MIRROR's script does."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.min_threshold > self.max_threshold:
            message = (
                f"segmentation: min_threshold {self.min_threshold:g} is above max_threshold {self.max_threshold:g}"
            )
            raise ConfigError(message)


MASK_PRESETS: dict[str, dict[str, Any]] = {
    "default": {},
    # MIRROR's own script, its pixels at 20x written as um and um2. It works at 20x itself; 2 um/px is where
    # its smallest structure (a closing of 5 px) still is one pixel.
    "mirror": {
        "mpp": 2.0,
        "median_um": 3.5,
        "closing_um": 2.5,
        "erosion_um": 5.0,
        "min_tissue_um2": 2048.0,
        "max_hole_um2": 4096.0,
        "pen": False,
        "all_if_empty": True,
    },
}
"""Named starting points: ``segmentation: {preset: mirror}``; further keys change them."""


def unset(key: str) -> Any:
    """A key of the mask as a run may name it: what it does not name is the preset's, not the default."""
    return same(Segmentation, key, unset=UNSET)


@stated
class SegmentationSection(Section):
    """Tissue mask - Otsu's threshold on saturation. Lengths in micrometres, areas in square micrometres on the
    glass.
    """

    preset: str = choice(
        "Starting point; mirror is MIRROR's own script. Further keys change it.", list(MASK_PRESETS), "default"
    )
    mpp: float = unset("mpp")
    median_um: float = unset("median_um")
    threshold: float | None = unset("threshold")
    min_threshold: float = unset("min_threshold")
    max_threshold: float = unset("max_threshold")
    closing_um: float = unset("closing_um")
    erosion_um: float = unset("erosion_um")
    min_tissue_um2: float = unset("min_tissue_um2")
    max_hole_um2: float = unset("max_hole_um2")
    pen: bool = unset("pen")
    min_brightness: float = unset("min_brightness")
    all_if_empty: bool = unset("all_if_empty")


@dataclass(frozen=True)
class Patching(Settings):
    """One patch grid."""

    PLACE: ClassVar[str] = "patch."

    size_px: int = count("Side of a patch in pixels at `mpp`.", required=True)
    mpp: float = positive("Scale at which patches are read; 20x is 0.5 um/px.", 0.5)
    overlap_px: int = whole("Overlap of neighbouring patches in pixels at `mpp`.", 0)
    min_tissue: float = fraction("Share of a patch that must be tissue.", 0.1)
    """0: any pixel of it."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.overlap_px >= self.size_px:
            message = f"patch.overlap_px is {self.overlap_px}; it must be from 0 to size_px - 1"
            raise ConfigError(message)


PATCH_PRESETS: dict[str, dict[str, Any]] = {
    # TRIDENT's default and TTA.
    "256px-20x": {"size_px": 256, "mpp": 0.5, "min_tissue": 0.1},
    # MIRROR: 512 px at 20x, resized to 224 for the encoder; any tissue pixel keeps a patch.
    "512px-20x": {"size_px": 512, "mpp": 0.5, "min_tissue": 0.0},
}
"""The papers' grids by the names of their folders in the store."""


@stated
class Slides(Section):
    """Segmentation and patches."""

    shards: int = count("Jobs a cohort's slides are spread over (by a stable hash of the slide id).", 4)
    workers: int = count("Slides segmented side by side within a job.", 1)
    scale: str = choice(
        "exact: the slide's own um/px, resampled exactly; trident: TRIDENT's rounding to 10x, 20x, 40x.",
        ["exact", "trident"],
        "exact",
    )
    segmentation: SegmentationSection = section(SegmentationSection)
    presets: dict[str, Patching] = named(Patching, "Patch presets by name.", PATCH_PRESETS)


@stated
class Encoder(Section):
    """One encoder."""

    model: str = text(
        "An encoder of config/encoders.yaml by its name (resnet50 is cut after stage 3), or timm/<name>.",
        required=True,
        pattern=f"^({'|'.join(encoder_table())}|timm/.+)$",
        **{ALLOWED: f"{', '.join(NATIVE)}, timm/<name>, or by name {', '.join(sorted({*buildable()} - {*NATIVE}))}"},
    )
    weights: str = text("hub, random (seeded), or a local file (safetensors or a torch state dict).", required=True)
    weights_set: str = choice(
        "Which of torchvision's ResNet-50 weights: V2 as MIRROR used, V1 as CLAM and TRIDENT do.",
        ["IMAGENET1K_V1", "IMAGENET1K_V2"],
        "IMAGENET1K_V2",
    )
    seed: int = whole("Seed of random weights.", 0)
    patching: str = name("Patch preset the encoder sees.", "256px-20x")
    precision: str = choice(
        "Arithmetic of the forward pass; float32 is IEEE's on a GPU, too, tf32 rounds products to 10 bits there.",
        ["float32", "tf32", "bfloat16", "float16"],
        "float32",
    )
    image_size: int = count(
        "Side to which a patch is resized (area) before the network; by default what an encoder of "
        "config/encoders.yaml sees (CONCH 448).",
        224,
    )
    output_dtype: str = choice("How features are stored.", ["float32", "float16"], "float32")
    options: dict[str, Any] = setting(
        "timm/<name>: what the model is built with beside its name - init_values (LayerScale; UNI's is 1.0e-5), "
        "img_size, dynamic_img_size, reg_tokens, mlp_layer, ... Weights that then do not fit, or are not used, are "
        "refused by name.",
        type="object",
        additionalProperties={"type": ["number", "string", "boolean", "array"]},
    )
    pooling: str = text(
        "timm/<name>: how it pools (timm's global_pool, such as token or avg; token_patch_mean puts the mean of the "
        "patch tokens beside [CLS]); by default as timm's config of the model says.",
        minLength=1,
    )
    mean: list[float] = many(
        "Taken off RGB in 0 to 1, with `std`; by default ImageNet's, for timm/<name> that of timm's own weights (0.5 "
        "for many). Wanted for weights from a file that need `options`.",
        FRACTION,
        minItems=3,
        maxItems=3,
    )
    std: list[float] = many("What the images are divided by then.", POSITIVE, minItems=3, maxItems=3)


@stated
class Features(Section):
    """Patch encoders and how they are run."""

    batch_size: int = count("Patches a forward pass, on a GPU four times as many; values do not depend on it.", 64)
    workers: int = count("Threads that read patches ahead.", 1)
    max_unreadable: float = fraction("A slide fails when more than this share of its patches cannot be decoded.", 0.1)
    encoders: dict[str, Encoder] = named(
        Encoder, "Encoders by name; random weights are part of the name (resnet50-random).", {}
    )
    saw: dict[str, list[str]] = newer(
        "Encoder name -> public collections that it was trained on (tcga, cptac, gtex), [no] or [unknown], also of "
        "features made elsewhere. config/encoders.yaml says it of known ones; of others it is unknown. The audit and "
        "results.csv tell where an encoder saw the collection of evaluated patients. Moves no feature.",
        {},
        type="object",
        propertyNames=NAME,
        additionalProperties={"type": "array", "items": {"enum": list(SEEN)}, "minItems": 1, "uniqueItems": True},
    )
