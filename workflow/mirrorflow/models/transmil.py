"""TransMIL (Shao et al., NeurIPS 2021): the slide encoder, MIRROR's form of which is its Eq. 1, and the method itself.

The method puts a linear head on the class token. Patches are taken in the order of their file, which the convolutions
over the token grid look at, so it is the one network here that a bag's order means something to.
"""

import math
from dataclasses import dataclass
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from mirrorflow.config.bounds import check_heads
from mirrorflow.config.fidelity import Layer
from mirrorflow.config.fields import Settings, count, number
from mirrorflow.config.training_settings import FieldTrain
from mirrorflow.models.attention import make_attention
from mirrorflow.models.class_token import class_token_weights
from mirrorflow.models.seam import Batch, Output, PatchWeights
from mirrorflow.models.settings import AttentionForm, square_side
from mirrorflow.models.supervised import Sizes, SupervisedNetwork


class Ppeg(nn.Module):
    """Pyramid position encoding generator: depth-wise 7x7, 5x5 and 3x3 convolutions added to a token grid."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.convolutions = nn.ModuleList(
            nn.Conv2d(width, width, size, padding=size // 2, groups=width) for size in (7, 5, 3)
        )

    def forward(self, tokens: Tensor) -> Tensor:
        """Tokens [batch, side * side, width], row by row of a square, to the same shape.

        What is added up in the tokens is added up in the weights instead: one convolution in place of three.
        """
        side = math.isqrt(tokens.shape[1])
        grid = tokens.mT.unflatten(2, (side, side))
        if not tokens.is_meta:
            return F.conv2d(grid, *self._joined(), padding=3, groups=tokens.shape[2]).flatten(2).mT
        for convolution in self.convolutions:
            tokens = tokens + convolution(grid).flatten(2).mT  # its operations are what the paper counts
        return tokens

    def _joined(self) -> tuple[Tensor, Tensor]:
        """The 7x7 weights [width, 1, 7, 7] of all three and of the tokens themselves, and the bias [width]."""
        wide, middle, narrow = (one.get_parameter("weight") for one in self.convolutions)
        itself = F.pad(torch.ones_like(wide[..., :1, :1]), [3] * 4)
        # One by one: the gradients of a stack's sum share their memory, where a second pass would add to each of them.
        first, second, third = (one.get_parameter("bias") for one in self.convolutions)
        return itself + wide + F.pad(middle, [1] * 4) + F.pad(narrow, [2] * 4), first + second + third


class AttentionBlock(nn.Module):
    """x + attention(LayerNorm(x)).

    With ``checkpointing`` its activations are not kept but computed again in the backward pass: the same gradient
    (dropout included), less memory, a forward pass more.
    """

    checkpointing = False

    def __init__(self, form: AttentionForm, width: int, heads: int, *, landmarks: int, dropout: float) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.attention = make_attention(form, width, heads, landmarks=landmarks, dropout=dropout)

    def forward(self, tokens: Tensor, mask: Tensor | None = None) -> Tensor:
        """Tokens [batch, token, width]; ``mask`` [batch, token] is True at real tokens."""
        if self.checkpointing and torch.is_grad_enabled():
            return checkpoint(self._mixed, tokens, mask, use_reentrant=False)
        return self._mixed(tokens, mask)

    def first(self, tokens: Tensor, mask: Tensor | None = None) -> Tensor:
        """The first token alone [batch, 1, width], of what ``forward`` gives where no dropout is drawn."""
        return tokens[:, :1] + self.attention.first(self.norm(tokens), mask)

    def _mixed(self, tokens: Tensor, mask: Tensor | None) -> Tensor:
        return tokens + self.attention(self.norm(tokens), mask)


class SlideEncoder(nn.Module):
    """Patch features of a bag -> its [CLS] and one token a patch.

    Linear and ReLU, tokens repeated up to a square, [CLS] in front, attention, PPEG, attention, LayerNorm.
    """

    def __init__(
        self,
        patch_dim: int,
        width: int,
        *,
        heads: int,
        landmarks: int,
        form: AttentionForm,
        dropout: float,
    ) -> None:
        super().__init__()
        self.embed = nn.Sequential(nn.Linear(patch_dim, width), nn.ReLU())
        self.cls = nn.Parameter(torch.zeros(1, 1, width))
        nn.init.trunc_normal_(self.cls, std=0.02)
        self.first = AttentionBlock(form, width, heads, landmarks=landmarks, dropout=dropout)
        self.positions = Ppeg(width)
        self.second = AttentionBlock(form, width, heads, landmarks=landmarks, dropout=dropout)
        self.norm = nn.LayerNorm(width)
        self.apply(start_linear)

    def forward(self, patches: Tensor, counts: Tensor | None = None) -> Tensor:
        """Patches [batch, patch, feature] -> [batch, 1 + patch, width], [CLS] first.

        ``counts`` [batch]: how many leading patches of each bag are real; the rest is padding, which
        reaches no real token. Each bag's grid is laid for its own count.
        """
        tokens, mask = self._before_second(patches, counts)
        return self.norm(self.second(tokens, mask)[:, : 1 + patches.shape[1]])

    def class_token(self, patches: Tensor, counts: Tensor | None = None) -> Tensor:
        """The [CLS] of :meth:`forward` [batch, width]: alone in the last block, where it is enough."""
        if torch.is_grad_enabled() or self.training or patches.is_meta:
            return self(patches, counts)[:, 0]
        return self.norm(self.second.first(*self._before_second(patches, counts)))[:, 0]

    def _before_second(self, patches: Tensor, counts: Tensor | None) -> tuple[Tensor, Tensor | None]:
        """Tokens [batch, 1 + square, width] as the second block takes them, and which of them are real."""
        tokens, mask, sides = self.before_first(patches, counts)
        tokens = self.first(tokens, mask)
        return torch.cat([tokens[:, :1], self.placed(tokens[:, 1:], sides)], dim=1), mask

    def before_first(self, patches: Tensor, counts: Tensor | None) -> tuple[Tensor, Tensor | None, list[int] | None]:
        """Tokens [batch, 1 + square, width] as the first block takes them, which are real, and each bag's side."""
        tokens, mask, sides = squared(self.embed(patches), counts)
        return torch.cat([self.cls.expand(len(patches), -1, -1), tokens], dim=1), mask, sides

    def placed(self, tokens: Tensor, sides: list[int] | None) -> Tensor:
        """Positions added to tokens [batch, square, width]; ``sides`` of each bag's square, None: of all the same."""
        if sides is None:
            return self.positions(tokens)
        placed = torch.zeros_like(tokens)
        for side in sorted(set(sides)):
            same = [i for i, other in enumerate(sides) if other == side]
            placed[same, : side * side] = self.positions(tokens[same, : side * side])
        return placed


def start_linear(module: nn.Module) -> None:
    """The published start of a linear layer on the slide side, for ``apply``: Xavier uniform, bias 0.

    Of encoder, retention and alignment; convolutions, and the RNA side, keep torch's own.
    """
    if isinstance(module, nn.Linear):
        nn.init.xavier_uniform_(module.weight)
        if module.bias is not None:
            nn.init.zeros_(module.bias)


def squared(tokens: Tensor, counts: Tensor | None) -> tuple[Tensor, Tensor | None, list[int] | None]:
    """Repeat each bag's first tokens until a square is full.

    Returns the tokens [batch, square, width], the attention mask [batch, 1 + square] ([CLS] in front) and
    each bag's side; the last two are None where no ``counts`` are given.
    """
    if counts is None:
        count = tokens.shape[1]
        missing = square_side(count) ** 2 - count
        return torch.cat([tokens, tokens[:, :missing]], dim=1) if missing else tokens, None, None
    sides = [square_side(count) for count in counts.tolist()]
    counts = counts.to(tokens.device)
    squares = torch.tensor(sides, device=tokens.device) ** 2
    # Long enough for every real token and every square; padding tokens fall off or are masked.
    place = torch.arange(max(max(sides) ** 2, tokens.shape[1]), device=tokens.device)
    index = (place % counts[:, None])[..., None].expand(-1, -1, tokens.shape[2])
    real = place < squares[:, None]
    mask = torch.cat([torch.ones_like(real[:, :1]), real], dim=1)
    return tokens.gather(1, index), mask, sides


@dataclass(frozen=True)
class TransMilSettings(Settings):
    """Sizes of the network. Raises ConfigError where the heads do not divide the width."""

    width: int = count("width of the tokens.", 512, origin="published")
    heads: int = count("heads of the attention; they divide `width`.", 8, origin="published")
    landmarks: int = count("landmarks of Nystrom's attention.", 256, origin="published")
    dropout: float = number("dropout behind the attention.", 0.1, minimum=0, exclusiveMaximum=1, origin="published")

    def __post_init__(self) -> None:
        super().__post_init__()
        check_heads(self.width, self.heads, what="heads")


class TransMil(SupervisedNetwork):
    """The slide encoder, and a linear head on its class token.

    Bags of a batch whose grids are of one size go through together, each filled up to its square and without padding:
    landmarks are means of runs of tokens, and runs of a padded bag would be longer.
    """

    ordered: ClassVar[bool] = True

    def __init__(self, sizes: Sizes, settings: TransMilSettings) -> None:
        super().__init__(sizes, settings.width)
        self.encoder = SlideEncoder(
            sizes.patch_dim,
            settings.width,
            heads=settings.heads,
            landmarks=settings.landmarks,
            form="nystrom",
            dropout=settings.dropout,
        )
        self.head = nn.Linear(settings.width, sizes.outputs)
        start_linear(self.head)

    def output(self, batch: Batch) -> Output:
        """Logits of the bags; the expression is not looked at."""
        counts = batch.real_patches()
        rows: dict[int, list[int]] = {}
        for row, own in enumerate(counts):
            rows.setdefault(square_side(own), []).append(row)
        vectors = [self._vectors(batch.patches, same, counts, side) for side, same in rows.items()]
        if len(vectors) == 1:
            return Output(self.head(vectors[0]))
        order = [row for same in rows.values() for row in same]
        back = sorted(range(len(order)), key=order.__getitem__)
        return Output(self.head(torch.cat(vectors)[back]))

    def patch_weights(self, batch: Batch) -> list[PatchWeights]:
        """What the class token attends to, of one bag [1, patch, feature] in the order of its file."""
        count = int(batch.mask[0].sum())
        scaled = (batch.patches[:, :count] - self.patch_mean) / self.patch_sd
        return class_token_weights(self.encoder, scaled)

    def _vectors(self, patches: Tensor, rows: list[int], counts: list[int], side: int) -> Tensor:
        """Class tokens [row, width] of bags with a grid of ``side`` x ``side``, first patches repeated to fill it."""
        own = patches if len(rows) == len(patches) else patches[rows]
        whole = side * side
        if all(counts[row] == whole for row in rows):
            return self.encoder(own[:, :whole])[:, 0]
        index = torch.stack([torch.arange(whole, device="cpu") % counts[row] for row in rows])
        index = index.to(own.device, non_blocking=True)[..., None].expand(-1, -1, own.shape[2])
        return self.encoder(own.gather(1, index))[:, 0]


def build(sizes: Sizes, *, width: int, heads: int, landmarks: int, dropout: float) -> TransMil:
    """A TransMIL network; ``landmarks`` are those of Nystrom's attention."""
    return TransMil(sizes, TransMilSettings(width=width, heads=heads, landmarks=landmarks, dropout=dropout))


SETTINGS, TRAIN = TransMilSettings, FieldTrain

LAYERS = (
    Layer("patch embedding", "linear to 512, ReLU", "linear to {width}, ReLU"),
    Layer(
        "layers",
        "first tokens repeated up to a square; class token; Nystrom attention (8 heads, 256 landmarks, 6 steps of the "
        "pseudo-inverse, convolution of 33 over the values, dropout 0.1) around convolutions of 7, 5 and 3; LayerNorm",
        "the same, {heads} heads, {landmarks} landmarks, dropout {dropout}",
    ),
    Layer("class token", "N(0, 1)", "truncated normal, deviation 0.02", "as the slide encoder of MIRROR has it"),
    Layer("start", "torch's own", "Xavier uniform, biases 0", "as the slide encoder of MIRROR has it"),
    Layer("head", "linear on the class token"),
    Layer(
        "order of patches",
        "that of the file, all of a bag",
        "that of the file, of those drawn",
        "a bag of more than `tokens` patches is drawn from at each step of the training",
    ),
    Layer(
        "survival",
        "none: classes alone",
        "hazards in bins",
        "no survival form is published; the same network with the survival objective",
    ),
    Layer(
        "training",
        "Lookahead around RAdam at 2e-4, constant, decay of matrices 1e-5 apart from the gradient, one bag at a time, "
        "gradients over 2, at most 200 epochs, ended where 10 do not improve the validation loss",
        "AdamW at 1e-4, batches of 16, 20 epochs",
        "one training for the field (`common`); `preset: repository` has rate, decay, batch and epochs, the last of "
        "them kept",
    ),
)
