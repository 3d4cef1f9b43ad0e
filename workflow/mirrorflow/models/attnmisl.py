"""AttnMISL: attention over clusters of a patient's patches (Yao et al., Medical Image Analysis 2020).

A patient's patches are clustered by k-means; one layer embeds each patch, a mean over each cluster makes a token of it,
and attention pools the tokens. A bag of fewer patches than clusters has as many clusters as it has distinct patches;
empty ones are left out of the attention.

Clusters are made of the patches at hand in each pass, by a start that follows from them alone: the patch farthest from
the bag's mean, then each time the one farthest from all centres so far. So neither a seed nor the order of patches
decides anything, and nothing is fitted that another patient's prediction could depend on.
"""

from dataclasses import dataclass
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mirrorflow.config.fidelity import Layer
from mirrorflow.config.fields import Settings, count, number
from mirrorflow.config.training_settings import FieldTrain
from mirrorflow.models.autocast import as_it_stands
from mirrorflow.models.seam import Batch, Output, Progress
from mirrorflow.models.supervised import Sizes, SupervisedNetwork


@dataclass(frozen=True)
class AttnMislSettings(Settings):
    """Sizes of the network, and how patches are clustered."""

    clusters: int = count("clusters of a patient's patches, at most.", 10, origin="published")
    lloyd_steps: int = count("steps of k-means.", 10, origin="ours")
    width: int = count("width of a cluster's token.", 64, origin="published")
    attention_width: int = count("hidden width of the attention and of the head.", 32, origin="published")
    dropout: float = number(
        "dropout before the head's last layer.", 0.5, minimum=0, exclusiveMaximum=1, origin="published"
    )
    l1: float = number("L1 penalty on all weights (published code: 1e-5).", 0.0, minimum=0, origin="ours")


@torch.no_grad()
def clusters_of(patches: Tensor, mask: Tensor, clusters: int, steps: int) -> Tensor:
    """The cluster [batch, patch] of each patch [batch, patch, feature] by ``steps`` of Lloyd's; -1 at padding.

    A cluster whose centre another one has, or that loses all its patches, stays empty. Ties go to the first.
    """
    with as_it_stands(patches):  # as prediction has it: distances lose their digits
        return _lloyd(patches.float(), mask, clusters, steps)


def _lloyd(patches: Tensor, mask: Tensor, clusters: int, steps: int) -> Tensor:
    squares = patches.square().sum(-1)
    centres = _farthest_first(patches, squares, mask, clusters)
    own = _nearest(patches, squares, centres)
    for _ in range(steps):
        member = (own[..., None] == torch.arange(clusters, device=own.device)) & mask[..., None]
        sizes = member.sum(1)[..., None]
        means = member.to(patches.dtype).mT @ patches / sizes.clamp(min=1)
        centres = torch.where(sizes > 0, means, centres)
        own = _nearest(patches, squares, centres)
    return own.masked_fill(~mask, -1)


def _farthest_first(patches: Tensor, squares: Tensor, mask: Tensor, clusters: int) -> Tensor:
    """Centres [batch, cluster, feature]: patches, each the farthest from those before it."""
    real = mask.to(patches.dtype)[..., None]
    mean = (patches.masked_fill(~mask[..., None], 0.0)).sum(1, keepdim=True) / real.sum(1, keepdim=True)
    nearest = _distances(patches, squares, mean)[..., 0]
    chosen = []
    for place in range(clusters):
        farthest = nearest.masked_fill(~mask, -1.0).argmax(1)
        chosen.append(patches.gather(1, farthest[:, None, None].expand(-1, 1, patches.shape[2])))
        away = _distances(patches, squares, chosen[-1])[..., 0]
        nearest = away if place == 0 else torch.minimum(nearest, away)
    return torch.cat(chosen, dim=1)


def _distances(patches: Tensor, squares: Tensor, centres: Tensor) -> Tensor:
    """Squared distances [batch, patch, centre]."""
    found = torch.baddbmm(centres.square().sum(-1)[:, None] + squares[..., None], patches, centres.mT, alpha=-2.0)
    return found.clamp(min=0.0)


def _nearest(patches: Tensor, squares: Tensor, centres: Tensor) -> Tensor:
    return _distances(patches, squares, centres).argmin(-1)


class ClusterAttention(nn.Module):
    """Tokens [batch, cluster, width] pooled by attention of one hidden layer, over clusters that have a patch."""

    def __init__(self, width: int, attention_width: int) -> None:
        super().__init__()
        self.content = nn.Linear(width, attention_width)
        self.score = nn.Linear(attention_width, 1)

    def forward(self, tokens: Tensor, there: Tensor) -> tuple[Tensor, Tensor]:
        """Pooled [batch, width], and the attention [batch, cluster]; ``there`` [batch, cluster]: has a patch."""
        scores = self.score(torch.tanh(self.content(tokens))).squeeze(-1)
        weights = scores.float().masked_fill(~there, float("-inf")).softmax(1)
        return (weights[..., None] * tokens).sum(1), weights


class AttnMisl(SupervisedNetwork):
    """Clusters, embedding, means, attention, head of two layers."""

    attention_said: ClassVar[str] = "the attention of each patch's cluster, shared by the cluster's patches"

    def __init__(self, sizes: Sizes, settings: AttnMislSettings) -> None:
        super().__init__(sizes, settings.width)
        width, hidden = settings.width, settings.attention_width
        self.settings = settings
        self.embed = nn.Linear(sizes.patch_dim, width)
        self.pool = ClusterAttention(width, hidden)
        self.head = nn.Sequential(
            nn.Linear(width, hidden), nn.ReLU(), nn.Dropout(settings.dropout), nn.Linear(hidden, sizes.outputs)
        )

    def output(self, batch: Batch) -> Output:
        """Logits, and the attention of each patch: its cluster's, shared by the cluster's patches."""
        clusters = self.settings.clusters
        own = clusters_of(batch.patches, batch.mask, clusters, self.settings.lloyd_steps)
        member = own[..., None] == torch.arange(clusters, device=own.device)
        sizes = member.sum(1)
        share = member / sizes.clamp(min=1)[:, None]
        embedded = F.relu(self.embed(batch.patches)).masked_fill(~batch.mask[..., None], 0.0)
        tokens = share.to(embedded.dtype).mT @ embedded
        pooled, attention = self.pool(tokens, sizes > 0)
        return Output(self.head(pooled), (share @ attention[..., None]).squeeze(-1))

    def terms(self, out: Output, batch: Batch, at: Progress) -> dict[str, Tensor]:
        """L1 norm of all weights, times ``l1``; no term where that is 0."""
        if not self.settings.l1:
            return {}
        norms = (one.abs().sum() for one in self.parameters())
        return {"l1": self.settings.l1 * sum(norms, start=out.logits.new_zeros(()))}


def build(
    sizes: Sizes, *, clusters: int, lloyd_steps: int, width: int, attention_width: int, dropout: float, l1: float
) -> AttnMisl:
    """An AttnMISL network; ``clusters`` of a patient at most, by ``lloyd_steps`` of k-means."""
    return AttnMisl(sizes, AttnMislSettings(clusters, lloyd_steps, width, attention_width, dropout, l1))


SETTINGS, TRAIN = AttnMislSettings, FieldTrain

LAYERS = (
    Layer(
        "clusters",
        "k-means of all patches of a patient, 10 clusters, made beforehand",
        "k-means of the patches at hand, {clusters} clusters at most, started farthest first, {lloyd_steps} steps",
        "a seed or the order of patches would decide the clusters; a bag is drawn from at each step",
    ),
    Layer("tokens", "convolution of 1 x 1 from 4,096 to 64, ReLU, mean over the cluster", "the same, to {width}"),
    Layer(
        "attention",
        "linear to 32, tanh, linear; empty clusters masked",
        "the same, of width {attention_width}",
    ),
    Layer(
        "head", "linear to 32, ReLU, dropout 0.5, linear to one log risk", "the same, dropout {dropout}, a logit a bin"
    ),
    Layer("features", "4,096 of a VGG", "those of the run's encoder"),
    Layer(
        "training",
        "Cox's loss over 16 patients, batches without a death skipped, Adam at 1e-4, penalties 5e-4 (L2, in its "
        "gradient) and 1e-5 (L1, of the first and last weights), 100 epochs, rate halved on a plateau of the "
        "validation loss, best epoch of 10 % of the training patients",
        "hazards, AdamW at 1e-4, batches of 16, 20 epochs",
        "one training for the field (`common`); `preset: repository` has loss, random batches, both penalties (L2 as a "
        "decay apart from the gradient, L1 of all weights) and epochs, with a cosine and the last epoch",
    ),
)
