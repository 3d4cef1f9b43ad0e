"""SNN: a self-normalising network of the pathways' genes (Klambauer et al. 2017), as SurvPath's code has it beside it.

All genes of the pathways go through blocks of linear layer, ELU and alpha dropout, then a linear head. No slide is
looked at.
"""

from dataclasses import dataclass

from torch import nn

from mirrorflow.config.fidelity import Layer
from mirrorflow.config.fields import Settings, count, number
from mirrorflow.config.training_settings import FieldTrain, Pathways
from mirrorflow.models.layers import SelfNormalizing, start_self_normalizing
from mirrorflow.models.seam import Batch, Output
from mirrorflow.models.supervised import Sizes, SupervisedNetwork


@dataclass(frozen=True)
class SnnSettings(Settings):
    """Sizes of the network."""

    width: int = count("width of the blocks.", 256, origin="published")
    layers: int = count("blocks (SurvPath's code: 2, MCAT's: 4).", 2, origin="published")
    dropout: float = number(
        "dropout (alpha dropout in self-normalising layers).", 0.25, minimum=0, exclusiveMaximum=1, origin="published"
    )


class Snn(SupervisedNetwork):
    """Blocks, linear head; weights from N(0, 1 / inputs) in all of them."""

    def __init__(self, sizes: Sizes, width: int, layers: int, dropout: float) -> None:
        super().__init__(sizes, width)
        inputs = [sizes.gene_count, *[width] * (layers - 1)]
        self.blocks = nn.Sequential(*(SelfNormalizing(each, width, dropout) for each in inputs))
        self.head = nn.Linear(width, sizes.outputs)
        start_self_normalizing(self.head)

    def output(self, batch: Batch) -> Output:
        """Logits of the expression; the bags are not looked at."""
        return Output(self.head(self.blocks(batch.genes)))


def build(sizes: Sizes, *, width: int, layers: int, dropout: float) -> Snn:
    """An SNN of ``layers`` blocks."""
    return Snn(sizes, width, layers, dropout)


SETTINGS, TRAIN, INPUTS = SnnSettings, FieldTrain, Pathways

LAYERS = (
    Layer(
        "blocks",
        "2 of linear to 256, ELU, alpha dropout 0.25 (SurvPath's code; MCAT's: 4)",
        "{layers} of linear to {width}, ELU, alpha dropout {dropout}",
    ),
    Layer("head", "linear"),
    Layer("start", "N(0, 1 / inputs), biases 0, in every layer"),
    Layer(
        "genes",
        "those of its pathways, scaled to -1..1 by the training patients' extremes",
        "those of the pathways, z-scores of the training patients",
        "one scaling for all methods; a protocol's `rna_scaling` sets it",
    ),
    Layer(
        "training",
        "RAdam at 5e-4, decay of weights 1e-4 apart from the gradient, one patient at a time, 5 epochs, patients drawn "
        "by their bins",
        "AdamW at 1e-4, batches of 16, 20 epochs",
        "one training for the field (`common`); `preset: repository` has rate, decay, batch and epochs",
    ),
)
