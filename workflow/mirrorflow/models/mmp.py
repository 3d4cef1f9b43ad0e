"""MMP: a slide's mixture and a patient's pathways as tokens of one attention (Song et al., ICML 2024).

"Multimodal Prototyping for cancer survival prediction". Slides: PANTHER's tokens, a component each, made 256 wide.
Pathways: a self-normalising network each. A vector of its own is appended to each token, all of them attend to all, and
each goes through a feed-forward layer of its own; the means of both kinds are joined for the head.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mirrorflow.config.fidelity import Layer
from mirrorflow.config.fields import count, number, switch
from mirrorflow.config.prototype_settings import PrototypeSettings
from mirrorflow.config.training_settings import FieldCoxTrain, Pathways
from mirrorflow.models.layers import start_pathways
from mirrorflow.models.mixtures.fit import fit_patches
from mirrorflow.models.mixtures.tokens import PrototypeTokens
from mirrorflow.models.seam import Batch, Output
from mirrorflow.models.supervised import Sizes, SupervisedNetwork
from mirrorflow.models.survpath import PathwayTokens


@dataclass(frozen=True)
class MmpSettings(PrototypeSettings):
    """How prototypes are fitted, sizes of the network."""

    width: int = count("width of the tokens.", 256, origin="published")
    appended: int = count("learned numbers appended to each token.", 32, origin="published")
    pathway_dropout: float = number(
        "alpha dropout of the pathways' networks.", 0.25, minimum=0, exclusiveMaximum=1, origin="published"
    )
    dropout: float = number(
        "dropout of the feed-forward layers.", 0.1, minimum=0, exclusiveMaximum=1, origin="published"
    )
    softmax_twice: bool = switch(
        "slides' attention to pathways goes through two softmaxes (public code).", False, origin="ours"
    )


class Attention(nn.Module):
    """LayerNorm and one head of ``inner`` over all tokens; not projected, nothing is added to it.

    ``twice``: so many last tokens have attention to the others that goes through a softmax before the one over all.
    """

    def __init__(self, width: int, inner: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.to_qkv = nn.Linear(width, 3 * inner, bias=False)

    def forward(self, tokens: Tensor, twice: int = 0) -> Tensor:
        """Tokens [batch, token, width] to [batch, token, inner]."""
        query, key, value = self.to_qkv(self.norm(tokens)).chunk(3, dim=-1)
        scores = query @ key.mT * query.shape[-1] ** -0.5
        if twice:
            others, last = scores[:, :-twice], scores[:, -twice:]
            last = torch.cat([last[..., :-twice].softmax(-1), last[..., -twice:]], dim=-1)
            scores = torch.cat([others, last], dim=1)
        return scores.softmax(-1) @ value


class FeedForwards(nn.Module):
    """A feed-forward layer of its own for each token: LayerNorm, linear, GELU, dropout, linear; all at once."""

    def __init__(self, tokens: int, width: int, dropout: float) -> None:
        super().__init__()
        self.scale, self.shift = nn.Parameter(torch.ones(tokens, width)), nn.Parameter(torch.zeros(tokens, width))
        self.first, self.second = (nn.Parameter(torch.empty(tokens, width, width)) for _ in range(2))
        self.first_bias, self.second_bias = (nn.Parameter(torch.empty(tokens, width)) for _ in range(2))
        self.dropout = nn.Dropout(dropout)
        for weight, bias in ((self.first, self.first_bias), (self.second, self.second_bias)):
            start_pathways(weight, bias, [width] * tokens)

    def forward(self, tokens: Tensor) -> Tensor:
        """Tokens [batch, token, width] to as many."""
        normed = F.layer_norm(tokens, tokens.shape[-1:]) * self.scale + self.shift
        hidden = torch.bmm(normed.transpose(0, 1), self.first) + self.first_bias[:, None]
        return (torch.bmm(self.dropout(F.gelu(hidden)), self.second) + self.second_bias[:, None]).transpose(0, 1)


class Mmp(SupervisedNetwork):
    """Tokens of both kinds, what is appended, attention, feed-forward layers, LayerNorm, means, linear head."""

    def __init__(self, sizes: Sizes, settings: MmpSettings) -> None:
        super().__init__(sizes, settings.width)
        wide = settings.width + settings.appended
        inner, pathways = wide // 2, len(sizes.gene_sets)
        self.softmax_twice, self.components = settings.softmax_twice, settings.components
        self.tokens = PrototypeTokens(sizes.patch_dim, settings.components, settings.em_steps)
        self.embed = nn.Linear(1 + 2 * sizes.patch_dim, settings.width)
        self.pathways = PathwayTokens(sizes, settings.width, settings.pathway_dropout, scaled=False)
        self.appended = nn.Parameter(torch.randn(pathways + settings.components, settings.appended))
        self.attend = Attention(wide, inner)
        self.feed = FeedForwards(pathways + settings.components, inner, settings.dropout)
        self.norm = nn.LayerNorm(inner)
        self.head = nn.Linear(2 * inner, sizes.outputs, bias=False)

    def output(self, batch: Batch) -> Output:
        """Logits of bags and expression."""
        slide = self.embed(self.tokens(batch.patches, batch.mask))
        tokens = torch.cat([self.pathways(batch.genes), slide], dim=1)
        tokens = torch.cat([tokens, self.appended.expand(len(tokens), -1, -1)], dim=-1)
        mixed = self.norm(self.feed(self.attend(tokens, self.components if self.softmax_twice else 0)))
        parts = mixed[:, : -self.components], mixed[:, -self.components :]
        return Output(self.head(torch.cat([part.mean(1) for part in parts], dim=1)))


def build(sizes: Sizes, **settings: object) -> Mmp:
    """A network of these :class:`MmpSettings`; ``sizes.gene_sets`` holds one pathway at least, each with a gene."""
    return Mmp(sizes, MmpSettings(**settings))  # type: ignore[arg-type]


__all__ = ["INPUTS", "LAYERS", "SETTINGS", "TRAIN", "build", "fit_patches"]

SETTINGS, TRAIN, INPUTS = MmpSettings, FieldCoxTrain, Pathways

LAYERS = (
    Layer(
        "slide tokens",
        "PANTHER's: weight, mean and variance of each of 16 components; linear to 256",
        "the same, from prototypes on {sample} patches (PANTHER's are the same ones)",
        "the public code fits them on 1.6 million; `preset: repository` has these",
    ),
    Layer(
        "pathway tokens",
        "a network a pathway, each of two blocks of linear to 256, ELU, alpha dropout 0.25",
        "the same, width {width}, alpha dropout {pathway_dropout}, all pathways at once",
    ),
    Layer("appended", "32 learned numbers from N(0, 1) to each token", "{appended} of them"),
    Layer(
        "attention",
        "LayerNorm; one head of half the width, all to all; slides' attention to pathways through two softmaxes; "
        "no output projection, no residual",
        "the same with one softmax",
        "the second softmax flattens what the first found; `preset: repository` has it",
    ),
    Layer(
        "feed-forward",
        "one a token: LayerNorm, linear, GELU, dropout 0.1, linear; a LayerNorm of the whole that nothing uses",
        "one a token, dropout {dropout}",
        "288 weights less, of the LayerNorm that nothing uses",
    ),
    Layer("head", "LayerNorm, means of both kinds joined, linear without bias"),
    Layer(
        "training",
        "as PANTHER's",
        "Cox's loss over 16 patients, 4,096 patches of a bag, 20 epochs, the last one",
        "one training for the field (`common`); `preset: repository` has theirs",
    ),
)
