"""TTA: tokens of slides and pathways assigned to shared prototypes by transport, then kept apart by anchors.

Liu et al., "Together, Then Apart: Revisiting Multimodal Survival Analysis via a Min-Max Perspective", arXiv 2511.18089.
The paper's equations, its released code and the logs beside it describe three methods (docs/tta.md has where each is
from): the presets ``equations`` and ``released``, and the default, which takes what is sensible where both are broken.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from math import lcm
from typing import Any

import torch
from torch import Tensor, nn

from mirrorflow.config.training_settings import Pathways
from mirrorflow.models.seam import Batch, Objective, Output, PatchWeights, Progress
from mirrorflow.models.supervised import Sizes, SupervisedNetwork
from mirrorflow.models.tta_parts.apart import Apart, AttentionBlock
from mirrorflow.models.tta_parts.assignment import (
    Assigning,
    Tokens,
    curriculum,
    plans,
    pseudo_label_loss,
    tokens_of_plans,
    weights_of,
)
from mirrorflow.models.tta_parts.layers import LAYERS
from mirrorflow.models.tta_parts.settings import TtaSettings, TtaTrain
from mirrorflow.models.tta_parts.tokens import PatchTokens, PathwayTokens, SharedSpace
from mirrorflow.models.tta_parts.views import EVERY, views_loss

MODALITIES = ("slides", "rna")
CYCLE = lcm(*EVERY)
"""Steps after which the same is done again: views are not drawn in every step."""


@dataclass(frozen=True)
class TtaOutput(Output):
    """What the losses and the pictures need beside the logits, a pair each (slides, RNA).

    parts: logits of tokens and their mask; plans [batch, token, prototype], times the number of tokens; weights of the
    pooling, of the same shape (Eq. 12); embedded: tokens [batch, token, width]; refined: prototype tokens [batch,
    prototype, width], None without a refiner.
    """

    parts: tuple[Tokens, ...] | None = None
    plans: tuple[Tensor, ...] | None = None
    weights: tuple[Tensor, ...] | None = None
    embedded: tuple[Tensor, ...] | None = None
    refined: tuple[Tensor, ...] | None = None


class Tta(SupervisedNetwork):
    """Tokens, assignment to prototypes, refiner with anchors, co-attention, linear head without bias."""

    head: Tensor
    head_losses: Tensor
    rho: Tensor

    def __init__(self, sizes: Sizes, settings: TtaSettings) -> None:
        super().__init__(sizes, settings.width)
        width, dropout = settings.width, settings.dropout
        activated = settings.activation == "leaky_relu"
        self.settings = settings
        self.assigning = Assigning(
            settings.transport,
            settings.joint,
            settings.gamma,
            settings.epsilon,
            settings.semantic,
            settings.full_bag,
        )
        self.patch_tokens = PatchTokens(sizes.patch_dim, width, dropout, activated=activated)
        self.pathway_tokens = PathwayTokens(sizes, width, dropout, activated=activated)
        banks = 1 if settings.shared else 2
        self.space = SharedSpace(width, max(1, settings.heads), settings.prototypes, banks, settings.temperature)
        self.apart: Apart | None = None
        if settings.anchors or settings.contrast_weight:
            self.apart = Apart(width, dropout, projected=settings.projected, phi_on_anchors=settings.phi_on_anchors)
        self.fusion = AttentionBlock(width, dropout)
        self.risk = nn.Linear(2 * width, sizes.outputs, bias=False)
        self.register_buffer("head", torch.zeros((), dtype=torch.long))
        self.register_buffer("head_losses", torch.zeros(max(1, settings.heads)))
        self._step: tuple[int, int] | None = None  # epoch and step under way, and the heads' losses before it
        self._losses_before = self.head_losses.clone()
        self._rho_now = self._rho_of(0.0)
        self.register_buffer("rho", torch.tensor(self._rho_now))

    @property
    def views(self) -> bool:
        """Whether heads learn from views."""
        return self.settings.heads > 0 and self.settings.views_weight > 0 and self.assigning.transports

    def _rho_of(self, share: float) -> float:
        return curriculum(self.settings.rho_base, self.settings.rho_upper, share)

    def at(self, progress: Progress) -> None:
        """The curriculum's mass at this step; at the start of an epoch the head that did best in the last.

        A step that is done again (the GPU's memory was full) keeps its head, and the losses noted in it are taken back.
        """
        self._rho_now = self._rho_of((progress.epoch + progress.of_epoch) / self.settings.ramp_epochs)
        self.rho.fill_(self._rho_now)
        if self._step == (step := (progress.epoch, progress.step)):
            self.head_losses.copy_(self._losses_before)
            return
        if progress.step == 0:
            if progress.epoch:
                self.head.copy_(self.head_losses.argmin())
            self.head_losses.zero_()
        self._step, self._losses_before = step, self.head_losses.clone()

    def load_state_dict(self, state_dict: Mapping[str, Any], *args: Any, **kwargs: Any) -> Any:
        """As torch does it; no step is under way."""
        self._step = None
        return super().load_state_dict(state_dict, *args, **kwargs)

    def load_best(self, state: Mapping[str, Tensor]) -> None:
        """Take the weights of the epoch that is kept; ``restored_head: last`` goes on with the head there is."""
        own = {} if self.settings.restored_head == "best" else {"head": self.head.clone()}
        self.load_state_dict({**state, **own})

    def _mass(self) -> float:
        """Rho of this pass; in training that of the step, so that no number is fetched from a GPU."""
        if self.training:
            return self._rho_now
        return float(self.rho) if self.settings.rho_at_evaluation == "last" else self._rho_of(0.0)

    def output(self, batch: Batch) -> TtaOutput:
        """Logits, each patch's share of the weights, and what the losses are computed of."""
        genes = self.pathway_tokens(batch.genes)
        everywhere = torch.ones(genes.shape[:2], dtype=torch.bool, device=genes.device)
        embedded = (self.patch_tokens(batch.patches, batch.mask), genes)
        masks = (batch.mask, everywhere)
        parts = tuple(
            self._tokens(tokens, mask, m) for m, (tokens, mask) in enumerate(zip(embedded, masks, strict=True))
        )
        found = tuple(plans(parts, self.assigning, self._mass()))
        settings = self.settings
        mixing = settings.mixing if settings.transport != "off" else 0.0
        counts = tokens_of_plans(parts, joint=settings.joint)
        weights = [
            weights_of(part, plan, mixing, settings.rescaling, count)
            for part, plan, count in zip(parts, found, counts, strict=True)
        ]
        pooled = [weight.transpose(1, 2) @ tokens for weight, tokens in zip(weights, embedded, strict=True)]
        refined = None if self.apart is None else tuple(self.apart.refined(one, m) for m, one in enumerate(pooled))
        fused = refined if refined is not None and settings.anchors else pooled
        mixed = self.fusion(torch.cat(list(fused), dim=1), settings.prototypes if settings.softmax_twice else 0)
        both = torch.cat([part.mean(1) for part in mixed.split(settings.prototypes, dim=1)], dim=1)
        share = weights[0].sum(-1)
        return TtaOutput(
            logits=self.risk(both),
            attention=share / share.sum(1, keepdim=True),
            parts=parts,
            plans=found,
            weights=tuple(weights),
            embedded=embedded,
            refined=refined,
        )

    def patch_weights(self, batch: Batch) -> list[PatchWeights]:
        """The mass that the transport plan moves from each patch, and the weight of the pooling (Eq. 12)."""
        out = self(batch)
        assert isinstance(out, TtaOutput)
        assert out.attention is not None
        assert out.plans is not None
        pooled = PatchWeights("pooling", out.attention, "the weight of the pooling (Eq. 12), summed over prototypes")
        mass = out.plans[0].sum(-1).masked_fill(~batch.mask, 0.0)
        if not self.assigning.transports or not mass.any():
            return [pooled]
        said = "the mass that the transport plan moves from each patch, summed over prototypes"
        return [PatchWeights("plan", mass / mass.sum(1, keepdim=True), said), pooled]

    def _tokens(self, tokens: Tensor, mask: Tensor, modality: int) -> Tokens:
        projected = self.space.projected(tokens, modality, self.head)
        vectors = projected if not self.assigning.semantic else self.space.projected(tokens, modality, self.head * 0)
        return Tokens(self.space.logits(projected, modality).float(), vectors.detach(), mask)

    def views_term(self, out: TtaOutput, modality: int, at: Progress) -> Tensor:
        """The views' loss of a modality, a mean over heads; each head's is noted."""
        assert out.embedded is not None
        assert out.parts is not None
        if at.step % EVERY[modality]:
            return out.logits.sum() * 0.0
        rho = self._rho_of(at.share)
        each = views_loss(self.space, out.embedded[modality], out.parts[modality].mask, modality, self.assigning, rho)
        self.head_losses += each.detach()
        return each.mean()


class TtaObjective:
    """The task's objective, pseudo-labels (Eqs. 14, 15), contrast (Eq. 19), and the views'."""

    def __init__(self, network: Tta, task: Objective) -> None:
        self.network, self.task = network, task

    def terms(self, out: Output, batch: Batch, at: Progress) -> dict[str, Tensor]:
        """The task's terms, ``pseudo_label_*``, ``contrast`` and ``views_*`` as far as they are asked for."""
        assert isinstance(out, TtaOutput)
        assert out.parts is not None
        assert out.plans is not None
        network, settings = self.network, self.network.settings
        found = dict(self.task.terms(out, batch, at))
        if settings.label_weight and network.assigning.transports:
            counts = tokens_of_plans(out.parts, joint=settings.joint)
            for name, part, plan, count in zip(MODALITIES, out.parts, out.plans, counts, strict=True):
                found[f"pseudo_label_{name}"] = pseudo_label_loss(part, plan, settings.labels, count)
        if network.apart is not None and settings.contrast_weight:
            assert out.refined is not None
            found["contrast"] = network.apart.contrast(out.refined, settings.contrast_temperature)
        if network.views:
            for modality, name in enumerate(MODALITIES):
                found[f"views_{name}"] = network.views_term(out, modality, at)
        return found

    def weights(self, at: Progress) -> Mapping[str, float]:
        """Of the settings; the task's own beside them."""
        settings = self.network.settings
        of_each = {f"pseudo_label_{name}": settings.label_weight for name in MODALITIES}
        of_views = {f"views_{name}": settings.views_weight for name in MODALITIES}
        return {**self.task.weights(at), **of_each, "contrast": settings.contrast_weight, **of_views}


def objective(network: Tta, task: Objective) -> TtaObjective:
    """What TTA minimises where the task minimises ``task``."""
    return TtaObjective(network, task)


def build(sizes: Sizes, **settings: Any) -> Tta:
    """A network of these :class:`TtaSettings`; ``sizes.gene_sets`` holds one pathway at least, each with a gene."""
    return Tta(sizes, TtaSettings(**settings))


__all__ = ["CYCLE", "INPUTS", "LAYERS", "SETTINGS", "TRAIN", "build", "objective"]

SETTINGS, TRAIN, INPUTS = TtaSettings, TtaTrain, Pathways
