"""What can be set of TTA: the network, its transport, the weights of its losses; how it is trained; its pathways."""

from dataclasses import dataclass
from typing import ClassVar, Literal

from mirrorflow.config.fields import Settings, choice, count, fraction, number, positive, same, switch, whole
from mirrorflow.config.training_settings import Train
from mirrorflow.errors import ConfigError


@dataclass(frozen=True)
class TtaSettings(Settings):
    """The network, its transport, and the weights of its losses."""

    VERSION: ClassVar[int] = 2

    width: int = count("width D of tokens and of the shared space.", 256, origin="published")
    dropout: float = number("dropout.", 0.3, minimum=0, exclusiveMaximum=1, origin="published")
    activation: Literal["leaky_relu", "none"] = choice(
        "of tokens: leaky_relu with dropout (released code) or none (text).",
        ["leaky_relu", "none"],
        "leaky_relu",
        origin="released",
    )
    prototypes: int = count("prototypes K.", 32, origin="published")
    temperature: float = positive("of the logits over prototypes.", 0.5, origin="published")
    shared: bool = switch("both modalities share the prototypes.", True, origin="published")
    transport: Literal["curriculum", "fixed", "balanced", "kmeans", "off"] = choice(
        "how tokens are assigned: curriculum - mass rho grows over the ramp; fixed - rho 1; balanced - every prototype "
        "gets the same; kmeans - hard clusters of each slide; off - by the softmax alone.",
        ["curriculum", "fixed", "balanced", "kmeans", "off"],
        "curriculum",
        origin="published",
    )
    joint: bool = switch("one plan for the tokens of both modalities, else one each.", True, origin="published")
    gamma: float = positive("weight of the prototypes' marginal.", 0.1, origin="published; released code: 1")
    epsilon: float = positive("weight of the plan's entropy.", 0.1, origin="released")
    semantic: float = number(
        "weight of the tokens' similarity in the transport; the paper has none, released code 0.1.",
        0.0,
        minimum=0,
        origin="published",
    )
    rho_base: float = fraction("mass at the foot of the ramp.", 0.1, origin="published")
    rho_upper: float = fraction("mass at the end of the ramp.", 1.0, origin="published")
    ramp_epochs: int = count("epochs T of the ramp.", 10, origin="released")
    rho_at_evaluation: Literal["last", "start"] = choice(
        "mass at evaluation: that of the last training step, or of the ramp's start (released code: 0.106).",
        ["last", "start"],
        "last",
        origin="ours",
    )
    full_bag: int = whole(
        "a slide of fewer tokens has no plan, as padding has it in released code (4096); 0 - all have one.",
        0,
        origin="ours",
    )
    mixing: float = fraction("share of the plan in the weights; the rest is the softmax's.", 0.5, origin="published")
    rescaling: Literal["none", "tokens", "rows"] = choice(
        "of the plan in the weights: none - Eq. 12 as printed; tokens - times the number of tokens; rows - that, and "
        "rows that add up to 1 (released code).",
        ["none", "tokens", "rows"],
        "tokens",
        origin="ours",
    )
    labels: Literal["plan", "mass", "rows"] = choice(
        "pseudo-labels: plan - as printed; mass - times the number of tokens (released log); rows - rows that add up "
        "to 1 (released code).",
        ["plan", "mass", "rows"],
        "mass",
        origin="ours",
    )
    label_weight: float = number("weight of the pseudo-label loss.", 0.5, minimum=0, origin="published")
    heads: int = whole("projections whose views should agree; 0 - one, and no views.", 5, origin="published")
    views_weight: float = number("weight of the views' agreement.", 0.01, minimum=0, origin="released")
    anchors: bool = switch("the refined tokens are what is fused.", True, origin="published")
    projected: bool = switch(
        "prototype tokens are mapped to unit vectors before the refiner (text; not in released code).",
        False,
        origin="released",
    )
    phi_on_anchors: bool = switch("anchors go through phi (Eq. 18; not in released code).", True, origin="published")
    contrast_weight: float = number("weight of the contrast.", 0.5, minimum=0, origin="published")
    contrast_temperature: float = positive("of the contrast.", 0.1, origin="published")
    softmax_twice: bool = switch(
        "slides' attention to pathways goes through two softmaxes (released code).", False, origin="ours"
    )
    restored_head: Literal["best", "last"] = choice(
        "the projection that restored weights run with: their own, or the last epoch's (released code).",
        ["best", "last"],
        "best",
        origin="ours",
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.rho_upper < self.rho_base or not self.rho_base:
            message = f"rho_base is {self.rho_base}, rho_upper {self.rho_upper}; 0 < rho_base <= rho_upper is needed"
            raise ConfigError(message)


@dataclass(frozen=True)
class TtaTrain(Train):
    """As published (Table 5)."""

    epochs: int = same(Train, "epochs", unset=30)
    batch_size: int = same(Train, "batch_size", unset=32)
    learning_rate: float = same(Train, "learning_rate", unset=1e-4)
    tokens: int = same(Train, "tokens", unset=4096)
    feature_scaling: Literal["none", "train"] = same(Train, "feature_scaling", unset="none")
    survival: Literal["hazards", "cox"] = same(Train, "survival", unset="cox")
    clip_norm: float | None = same(Train, "clip_norm", unset=5.0)
