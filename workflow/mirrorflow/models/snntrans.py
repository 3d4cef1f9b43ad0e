"""SNNTrans: a token a pathway by a self-normalising network, mixed by a small transformer. Ours.

TTA's Table 1 has a method of this name, and no publication or repository that we know of says what it is. Declared
here: SurvPath's pathway tokens (two blocks each), a class token in front, two attention blocks as TransMIL has them
with exact attention in place of Nystrom's (a patient has tens of tokens), no position encoding, linear head.
"""

from dataclasses import dataclass

import torch
from torch import nn

from mirrorflow.config.bounds import check_heads
from mirrorflow.config.fidelity import Layer
from mirrorflow.config.fields import Settings, count, number
from mirrorflow.config.training_settings import FieldTrain, Pathways
from mirrorflow.models.seam import Batch, Output
from mirrorflow.models.supervised import Sizes, SupervisedNetwork
from mirrorflow.models.survpath import PathwayTokens
from mirrorflow.models.transmil import AttentionBlock


@dataclass(frozen=True)
class SnnTransSettings(Settings):
    """Sizes of the network. Raises ConfigError where the heads do not divide the width."""

    width: int = count("width of the tokens.", 256, origin="ours")
    heads: int = count("heads of the attention; they divide `width`.", 8, origin="ours")
    layers: int = count("attention blocks.", 2, origin="ours")
    dropout: float = number(
        "dropout (alpha dropout in self-normalising layers).", 0.25, minimum=0, exclusiveMaximum=1, origin="ours"
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        check_heads(self.width, self.heads, what="heads")


class SnnTrans(SupervisedNetwork):
    """Pathway tokens, class token, attention blocks, LayerNorm, linear head of the class token."""

    def __init__(self, sizes: Sizes, settings: SnnTransSettings) -> None:
        super().__init__(sizes, settings.width)
        width, dropout = settings.width, settings.dropout
        self.pathways = PathwayTokens(sizes, width, dropout, scaled=True)
        self.cls = nn.Parameter(torch.zeros(1, 1, width))
        nn.init.trunc_normal_(self.cls, std=0.02)
        self.blocks = nn.Sequential(
            *(
                AttentionBlock("exact", width, settings.heads, landmarks=1, dropout=dropout)
                for _ in range(settings.layers)
            )
        )
        self.norm = nn.LayerNorm(width)
        self.head = nn.Linear(width, sizes.outputs)

    def output(self, batch: Batch) -> Output:
        """Logits of the expression; the bags are not looked at."""
        tokens = self.pathways(batch.genes)
        tokens = self.blocks(torch.cat([self.cls.expand(len(tokens), -1, -1), tokens], dim=1))
        return Output(self.head(self.norm(tokens[:, 0])))


def build(sizes: Sizes, *, width: int, heads: int, layers: int, dropout: float) -> SnnTrans:
    """A network of these sizes; ``sizes.gene_sets`` holds one pathway at least, each with a gene."""
    return SnnTrans(sizes, SnnTransSettings(width=width, heads=heads, layers=layers, dropout=dropout))


SETTINGS, TRAIN, INPUTS = SnnTransSettings, FieldTrain, Pathways

NONE, WHY = "no public code", "nothing is published but the name"

LAYERS = (
    Layer(
        "pathway tokens", NONE, "two blocks of linear to {width}, ELU, alpha dropout {dropout} for each pathway", WHY
    ),
    Layer("class token", NONE, "in front of the pathways'", WHY),
    Layer(
        "attention",
        NONE,
        "{layers} blocks of LayerNorm and exact attention with {heads} heads, added to its input",
        WHY,
    ),
    Layer("head", NONE, "LayerNorm and linear, on the class token", WHY),
    Layer("training", NONE, "hazards, AdamW at 1e-4, batches of 16, 20 epochs", WHY),
)
