"""CLAM: clustering-constrained attention MIL, single branch (Lu et al., Nature Biomedical Engineering 2021).

One gated attention pools the bag. In subtyping an instance classifier for each class learns from the patches that the
attention itself ranks: of the bag's own class the ``k`` highest are evidence for it and the ``k`` lowest against; of
every other class the ``k`` highest are evidence against. The published repository trains these classifiers with the
smooth top-1 SVM loss of Berrada, Zisserman & Kumar 2018 ("Smooth Loss Functions for Deep Top-k Classification", alpha
and tau 1) and weighs the bag's loss with 0.7.

Survival: no form of it is published. Declared here: the same trunk with the survival objective. With discrete hazards
the bin that a patient's event fell into stands for the class, and patients who are censored, whose bin is not known,
have no instance loss. With a Cox loss there are no bins, and no instance loss: then the network is ABMIL's.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn

from mirrorflow.config.fidelity import Layer
from mirrorflow.config.fields import Settings, count, fraction, number, whole
from mirrorflow.models.layers import GatedAttentionPooling, PatchEmbedding
from mirrorflow.models.seam import Batch, Objective, Output, Progress
from mirrorflow.models.supervised import Sizes, SupervisedNetwork


@dataclass(frozen=True)
class ClamSettings(Settings):
    """Sizes of the network, and how much of the loss is the instances'."""

    VERSION: ClassVar[int] = 2
    width: int = count("width of the tokens.", 512, origin="published")
    attention_width: int = count("hidden width of the gated attention.", 256, origin="published")
    dropout: float = number(
        "dropout (alpha dropout in self-normalising layers).",
        0.25,
        minimum=0,
        exclusiveMaximum=1,
        origin="published",
    )
    instances: int = whole(
        "patches at each end of the attention that the instance classifiers learn from; 0 - no instance loss.",
        8,
        origin="published",
    )
    bag_weight: float = fraction(
        "share of the bag's loss in the total; the rest is the instances'.", 0.7, origin="published"
    )


class Clam(SupervisedNetwork):
    """Embedding, gated attention, linear head; beside them an instance classifier a class."""

    embeds_first = True

    def __init__(
        self, sizes: Sizes, width: int, attention_width: int, dropout: float, instances: int, bag_weight: float
    ) -> None:
        super().__init__(sizes, width)
        self.embed = PatchEmbedding(sizes.patch_dim, width, dropout)
        self.pool = GatedAttentionPooling(width, attention_width, dropout)
        self.head = nn.Linear(width, sizes.outputs)
        self.instance_heads = nn.ModuleList(nn.Linear(width, 2) for _ in range(sizes.outputs))
        self.instances, self.bag_weight = instances, bag_weight

    def output(self, batch: Batch) -> Output:
        """Logits, attention and tokens of the bags; the expression is not looked at."""
        tokens = self.embed(batch.patches)
        pooled, attention = self.pool(tokens, batch.mask)
        return Output(self.head(pooled), attention, tokens)

    def instance_loss(self, out: Output, mask: Tensor, classes: Tensor, known: Tensor | None = None) -> Tensor:
        """Mean over the bags and the classes; a bag of one patch has no highest and lowest and counts as 0.

        ``classes`` [batch]; ``known`` [batch]: bags whose class is, None: all. Without one the loss is 0.
        """
        assert out.attention is not None
        assert out.tokens is not None
        told = [True] * len(mask) if known is None else known.tolist()
        losses = [
            self._of_bag(out.attention[row, real], out.tokens[row, real], int(classes[row]))
            for row, real in enumerate(mask)
            if told[row]
        ]
        return torch.stack(losses).mean() if losses else out.tokens.sum() * 0.0

    def _of_bag(self, attention: Tensor, tokens: Tensor, own: int) -> Tensor:
        """Of a bag's real patches: attention [patch], tokens [patch, width]."""
        k = min(self.instances, len(attention) // 2)
        if not k:
            return tokens.sum() * 0.0
        order = attention.argsort(descending=True, stable=True)
        highest, lowest = tokens[order[:k]], tokens[order[-k:]]
        yes, no = (torch.full((k,), value, dtype=torch.long, device=tokens.device) for value in (1, 0))
        loss = tokens.new_zeros(())
        for class_, head in enumerate(self.instance_heads):
            if class_ == own:
                loss = loss + smooth_svm(head(torch.cat([highest, lowest])), torch.cat([yes, no]))
            else:
                loss = loss + smooth_svm(head(highest), no)
        return loss / len(self.instance_heads)


def smooth_svm(scores: Tensor, classes: Tensor) -> Tensor:
    """Smooth top-1 SVM loss of scores [sample, class], a mean: logsumexp_j(s_j + [j != y]) - s_y (margin, tau 1)."""
    margin = torch.ones_like(scores).scatter(1, classes[:, None], 0.0)
    return ((scores + margin).logsumexp(1) - scores.gather(1, classes[:, None]).squeeze(1)).mean()


class ClamObjective:
    """The task's objective on the bag, and beside it the instance loss: of classes, or of the bins of events."""

    def __init__(self, network: Clam, task: Objective) -> None:
        self.network, self.task = network, task

    def terms(self, out: Output, batch: Batch, at: Progress) -> dict[str, Tensor]:
        """The task's terms, and ``instance`` where there are classes or discrete hazards."""
        terms, targets = self.task.terms(out, batch, at), batch.targets
        if targets is None or not self.network.instances:
            return terms
        if targets.classes is not None:
            return terms | {"instance": self.network.instance_loss(out, batch.mask, targets.classes)}
        if "hazards" not in terms or targets.bins is None:
            return terms
        return terms | {"instance": self.network.instance_loss(out, batch.mask, targets.bins, targets.event)}

    def weights(self, at: Progress) -> Mapping[str, float]:
        """``bag_weight`` for the task's term, the rest for the instance loss; a Cox loss counts whole."""
        bag = self.network.bag_weight
        if not self.network.instances:
            return self.task.weights(at)
        return {**self.task.weights(at), "cross_entropy": bag, "hazards": bag, "instance": 1.0 - bag}


def objective(network: Clam, task: Objective) -> ClamObjective:
    """What CLAM minimises where the task minimises ``task``."""
    return ClamObjective(network, task)


def build(sizes: Sizes, *, width: int, attention_width: int, dropout: float, instances: int, bag_weight: float) -> Clam:
    """A CLAM network; ``instances``: patches at each end of the attention (0: no instance loss)."""
    return Clam(sizes, width, attention_width, dropout, instances, bag_weight)


SETTINGS = ClamSettings

LAYERS = (
    Layer(
        "embedding and pooling",
        "as ABMIL above, 512 and 256 wide",
        "as ABMIL above, {width} and {attention_width} wide",
    ),
    Layer(
        "instance loss",
        "on the 8 patches of highest and of lowest attention, smooth top-1 SVM loss, weighs 0.3",
        "on {instances} at each end, at most half the bag; the bag weighs {bag_weight}",
        "a bag of fewer than 16 patches has no 8 at each end",
    ),
    Layer(
        "survival",
        "none is published",
        "the same trunk; the bin of an event is its class for the instance loss",
        "without an instance loss it would be ABMIL; of who is censored no bin is known",
    ),
    Layer(
        "training",
        "one bag at a time, all its patches",
        "as every method trained on labels",
        "one training for all, so that the networks are what is compared; `train` sets others",
    ),
)
