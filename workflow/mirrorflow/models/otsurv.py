"""OTSurv: patches transported to learned prototypes, of which a risk is read (Ren et al., MICCAI 2025).

Patches are embedded; a plan moves a growing share rho of their mass to prototypes (partial transport, prototypes'
marginal penalised, the rest in a sink). Each prototype's vector is the mean of what came to it, by weights that add up
to 1 over the whole slide; two linear layers make a risk of them. The problem is TTA's Eq. 37, solved by
:mod:`mirrorflow.models.transport`; the gradient is that of the optimum, or goes through every sweep (``unrolled``) as
in the public code.
"""

from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from torch import Tensor, nn

from mirrorflow.config.fidelity import Layer
from mirrorflow.config.fields import Settings, choice, count, fraction, number, positive
from mirrorflow.config.training_settings import FieldCoxTrain
from mirrorflow.errors import ConfigError
from mirrorflow.models.autocast import as_it_stands
from mirrorflow.models.layers import PatchEmbedding
from mirrorflow.models.ramp import ramp
from mirrorflow.models.seam import Batch, Output, Progress
from mirrorflow.models.supervised import Sizes, SupervisedNetwork
from mirrorflow.models.transport import partial, transport

SWEEPS, UNTIL = 1000, 1e-10
"""Of the public code's solver: sweeps at most, and the change of the scalings at which they end."""


@dataclass(frozen=True)
class OtSurvSettings(Settings):
    """Sizes of the network, and its transport."""

    width: int = count("width of the tokens.", 256, origin="published")
    prototypes: int = count("prototypes.", 16, origin="published")
    dropout: float = number("dropout.", 0.25, minimum=0, exclusiveMaximum=1, origin="published")
    assignment: Literal["transport", "softmax"] = choice(
        "how patches are assigned: transport, or a softmax of minus the cost over epsilon alone.",
        ["transport", "softmax"],
        "transport",
        origin="published",
    )
    gradient: Literal["implicit", "unrolled"] = choice(
        "of the plan: that of the optimum, or through every sweep of a solver in float64 (public code).",
        ["implicit", "unrolled"],
        "implicit",
        origin="ours",
    )
    gamma: float = positive("weight of the prototypes' marginal.", 1.0, origin="published")
    epsilon: float = positive("weight of the plan's entropy.", 0.1, origin="published")
    rho_base: float = fraction("mass at the foot of the ramp, less e^-5.", 0.1, origin="published")
    ramp_epochs: int = count("epochs of the ramp.", 10, origin="published")
    rho_at_evaluation: Literal["last", "full"] = choice(
        "mass at evaluation: that of the last training step, or all of it (public code).",
        ["last", "full"],
        "last",
        origin="ours",
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.rho_base:
            message = "rho_base is 0.0; a share above 0 is needed, such as 0.1"
            raise ConfigError(message)


def curriculum(base: float, share: float) -> float:
    """Mass of the prototypes when ``share`` of the ramp is done: base + e^(-5 (1 - share)^2), at most 1."""
    return min(1.0, base + ramp(share))


def costs(tokens: Tensor, prototypes: Tensor, mask: Tensor) -> Tensor:
    """Distances [batch, token, prototype] as shares of the slide's largest; 0 at padding.

    Of vectors each less its own least value: tokens [batch, token, width], prototypes [prototype, width].
    """
    tokens, prototypes = (part - part.amin(-1, keepdim=True) for part in (tokens, prototypes))
    with as_it_stands(tokens):  # distances of many tokens go by products
        found = torch.cdist(tokens, prototypes.expand(len(tokens), -1, -1))
    found = found.masked_fill(~mask[..., None], 0.0)
    return found / found.amax(dim=(1, 2), keepdim=True).clamp(min=torch.finfo(found.dtype).tiny)


class OtSurv(SupervisedNetwork):
    """Embedding, plan, prototypes' vectors, a linear layer over prototypes and one over width."""

    attention_said: ClassVar[str] = "the mass that the transport plan moves from each patch, over prototypes"

    rho: Tensor

    def __init__(self, sizes: Sizes, settings: OtSurvSettings) -> None:
        super().__init__(sizes, settings.width)
        self.settings = settings
        self.embed = PatchEmbedding(sizes.patch_dim, settings.width, settings.dropout)
        self.prototypes = nn.Parameter(torch.randn(settings.prototypes, settings.width))
        self.over_prototypes = nn.Linear(settings.prototypes, 1)
        self.head = nn.Linear(settings.width, sizes.outputs)
        self._rho_now = curriculum(settings.rho_base, 0.0)
        self.register_buffer("rho", torch.tensor(self._rho_now))

    def at(self, progress: Progress) -> None:
        """The curriculum's mass at this step."""
        share = (progress.epoch + progress.of_epoch) / self.settings.ramp_epochs
        self._rho_now = curriculum(self.settings.rho_base, share)
        self.rho.fill_(self._rho_now)

    def _mass(self) -> float:
        """Rho of this pass; in training that of the step, so that no number is fetched from a GPU."""
        if self.training:
            return self._rho_now
        return float(self.rho) if self.settings.rho_at_evaluation == "last" else 1.0

    def output(self, batch: Batch) -> Output:
        """Logits, and each patch's share of the weights."""
        tokens = self.embed(batch.patches).to(self.prototypes.dtype)  # float32 under autocast, too
        weights = self._weights(costs(tokens, self.prototypes, batch.mask), batch.mask)
        vectors = weights.mT @ tokens.masked_fill(~batch.mask[..., None], 0.0)
        share = weights.sum(-1)
        logits = self.head(self.over_prototypes(vectors.mT).squeeze(-1))
        return Output(logits, share / share.sum(1, keepdim=True))

    def _weights(self, cost: Tensor, mask: Tensor) -> Tensor:
        """[batch, token, prototype], adding up to 1 over a slide: the plan over its mass."""
        settings = self.settings
        if settings.assignment == "softmax":
            each = (-cost / settings.epsilon).softmax(-1).masked_fill(~mask[..., None], 0.0)
            return each / mask.sum(1)[:, None, None]
        rho = self._mass()
        problem = partial(settings.prototypes, settings.epsilon, settings.gamma, rho)
        if settings.gradient == "implicit":
            return transport(cost, problem, mask).plan / rho
        found = transport(cost.double(), problem, mask, sweeps=SWEEPS, until=UNTIL)
        return (found.plan / rho).to(cost.dtype)


def build(sizes: Sizes, **settings: object) -> OtSurv:
    """A network of these :class:`OtSurvSettings`."""
    return OtSurv(sizes, OtSurvSettings(**settings))  # type: ignore[arg-type]


SETTINGS, TRAIN = OtSurvSettings, FieldCoxTrain

LAYERS = (
    Layer("patch embedding", "linear to 256, ReLU, dropout 0.25", "linear to {width}, ReLU, dropout {dropout}"),
    Layer(
        "cost",
        "Euclidean distance to 16 prototypes from N(0, 1), each vector less its least value, over the largest of the "
        "slide",
        "the same, {prototypes} prototypes",
    ),
    Layer(
        "plan",
        "partial transport, epsilon 0.1, gamma 1, hard sink; rho 0.1 + e^(-5 (1 - t/T)^2), 1 at most, T 10 epochs",
        "the same, epsilon {epsilon}, gamma {gamma}, {ramp_epochs} epochs",
    ),
    Layer(
        "solver and gradient",
        "at most 1,000 sweeps in float64 until the scalings change by 1e-10, autograd through each",
        "Newton's method until convergence, the optimum's gradient",
        "the same optimum; sweeps are not converged at small rho. `preset: repository` has them",
    ),
    Layer("mass at evaluation", "1", "that of the last step", "weights are trained with it; 1 after the ramp anyway"),
    Layer("reading", "plan over rho; linear 16 to 1 over prototypes; linear 256 to 1"),
    Layer(
        "training",
        "Cox's loss over 16 patients, of exp(log risk) for the log risk; AdamW at 1e-4, decay 1e-5, a warm-up epoch, "
        "cosine, at most 50 epochs, all patches; least loss on the test patients after epoch 11, patience 5",
        "Cox's loss, 4,096 patches of a bag, 20 epochs, the last one",
        "the test patients choose nothing here; `preset: repository` has 50 epochs and all patches",
    ),
)
