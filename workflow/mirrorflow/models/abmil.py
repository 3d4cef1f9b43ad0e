"""ABMIL: attention-based multiple instance learning (Ilse, Tomczak, Welling 2018).

Patches are embedded, pooled by gated attention (Eq. 7, 9) and classified from the pooled vector, the
embedding-level form of the paper. Sizes and dropout follow CLAM (Lu et al. 2021), which carried the method to
whole slides.
"""

from dataclasses import dataclass

from torch import nn

from mirrorflow.config.fidelity import Layer
from mirrorflow.config.fields import Settings, count, number
from mirrorflow.models.layers import GatedAttentionPooling, PatchEmbedding
from mirrorflow.models.seam import Batch, Output
from mirrorflow.models.supervised import Sizes, SupervisedNetwork


@dataclass(frozen=True)
class AbmilSettings(Settings):
    """Sizes of the network; those of CLAM (Lu et al. 2021)."""

    width: int = count("width of the tokens.", 512, origin="CLAM's")
    attention_width: int = count("hidden width of the gated attention.", 256, origin="CLAM's")
    dropout: float = number(
        "dropout (alpha dropout in self-normalising layers).", 0.25, minimum=0, exclusiveMaximum=1, origin="CLAM's"
    )


class Abmil(SupervisedNetwork):
    """Embedding, gated attention, linear head."""

    embeds_first = True

    def __init__(self, sizes: Sizes, width: int, attention_width: int, dropout: float) -> None:
        super().__init__(sizes, width)
        self.embed = PatchEmbedding(sizes.patch_dim, width, dropout)
        self.pool = GatedAttentionPooling(width, attention_width, dropout)
        self.head = nn.Linear(width, sizes.outputs)

    def output(self, batch: Batch) -> Output:
        """Logits and attention of the bags; the expression is not looked at."""
        pooled, attention = self.pool(self.embed(batch.patches), batch.mask)
        return Output(self.head(pooled), attention)


def build(sizes: Sizes, *, width: int, attention_width: int, dropout: float) -> Abmil:
    """An ABMIL network; ``attention_width`` is the width of the attention's hidden layer."""
    return Abmil(sizes, width, attention_width, dropout)


SETTINGS = AbmilSettings

LAYERS = (
    Layer(
        "patch embedding",
        "linear to 512, ReLU, dropout 0.25 (CLAM's code with `--drop_out 0.25`)",
        "linear to {width}, ReLU, dropout {dropout}",
    ),
    Layer(
        "pooling",
        "gated attention of hidden width 256, dropout 0.25 after tanh and after sigmoid",
        "gated attention of hidden width {attention_width}, dropout {dropout} after tanh and after sigmoid",
    ),
    Layer("head", "linear"),
    Layer("start", "torch's own (Xavier normal in earlier versions of CLAM's code)", "torch's own"),
    Layer(
        "training",
        "one bag at a time, all its patches",
        "as every method trained on labels",
        "one training for all, so that the networks are what is compared; `train` sets others",
    ),
)
