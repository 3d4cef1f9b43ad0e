"""PANTHER: a slide as the mixture that its patches make of a fold's prototypes, and a linear Cox model of it.

Song et al., "Morphological Prototyping for Unsupervised Slide Representation Learning in Computational Pathology", CVPR
2024. Prototypes are fitted on the patches of a fold's training patients, without labels (:mod:`.mixtures`); one step of
expectation-maximisation on a slide, with them as prior, gives the slide's weights, means and variances.
"""

from torch import nn

from mirrorflow.config.fidelity import Layer
from mirrorflow.config.prototype_settings import PrototypeSettings
from mirrorflow.config.training_settings import FieldCoxTrain
from mirrorflow.models.mixtures.fit import fit_patches
from mirrorflow.models.mixtures.tokens import PrototypeTokens
from mirrorflow.models.seam import Batch, Output
from mirrorflow.models.supervised import Sizes, SupervisedNetwork


class Panther(SupervisedNetwork):
    """A slide's mixture, flat, and a linear layer without bias."""

    def __init__(self, sizes: Sizes, settings: PrototypeSettings) -> None:
        width = settings.components * (1 + 2 * sizes.patch_dim)
        super().__init__(sizes, width)
        self.tokens = PrototypeTokens(sizes.patch_dim, settings.components, settings.em_steps)
        self.head = nn.Linear(width, sizes.outputs, bias=False)

    def output(self, batch: Batch) -> Output:
        """Logits of the bags; the expression is not looked at."""
        return Output(self.head(self.tokens(batch.patches, batch.mask).flatten(1)))


def build(sizes: Sizes, **settings: object) -> Panther:
    """A network of these :class:`PrototypeSettings`; its prototypes are those that ``fit_patches`` gives."""
    return Panther(sizes, PrototypeSettings(**settings))  # type: ignore[arg-type]


__all__ = ["LAYERS", "SETTINGS", "TRAIN", "build", "fit_patches"]

SETTINGS, TRAIN = PrototypeSettings, FieldCoxTrain

LAYERS = (
    Layer(
        "prototypes",
        "k-means by faiss on 1.6 million patches of the training slides, 16 centres, the best of 3 starts",
        "k-means on {sample} patches of the training patients, as many of each, {components} centres, the best of "
        "{restarts} starts",
        "hours of a processor less a fold; `preset: repository` has 1.6 million",
    ),
    Layer(
        "a slide",
        "one step of expectation-maximisation from the prototypes, which are the prior's means (weight 1, variance 1); "
        "weights, means and variances of the 16, flat",
        "the same",
    ),
    Layer("head", "linear without bias"),
    Layer("start", "torch's own"),
    Layer(
        "training",
        "Cox's loss over 64 patients, AdamW at 1e-4, decay 1e-5, a warm-up epoch, cosine, 50 epochs, all patches, the "
        "last epoch",
        "Cox's loss over 16 patients, 4,096 patches of a bag, 20 epochs, the last one",
        "one training for the field (`common`); `preset: repository` has theirs",
    ),
)
