"""MIRROR (Wang et al., v4): two encoders and the modules that train them."""

import math
from collections.abc import Iterator

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mirrorflow.models import objective
from mirrorflow.models.class_token import class_token_weights
from mirrorflow.models.draws import Draws
from mirrorflow.models.mirror_layers import LAYERS
from mirrorflow.models.objective import MirrorOutput
from mirrorflow.models.paired import PairedNetwork, PairedOutput
from mirrorflow.models.retention import Retention, RnaRetention, SlideRetention
from mirrorflow.models.rna import RnaEncoder
from mirrorflow.models.seam import PatchWeights
from mirrorflow.models.settings import LOSSES, MirrorSettings
from mirrorflow.models.style import Prototypes, Style, StyleEncoder
from mirrorflow.models.transmil import SlideEncoder, start_linear

__all__ = ["LAYERS", "LOSSES", "DownstreamModel", "Mirror", "MirrorOutput", "MirrorSettings", "build_mirror"]

START_TAU, LARGEST_TAU = 1 / 0.07, 100.0


class Alignment(nn.Module):
    """Alignment modules, Eq. 6 of MIRROR: L2-normalise, then a linear map; and the learnable log tau."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.slide = nn.Linear(width, width)
        start_linear(self.slide)
        self.rna = nn.Linear(width, width)
        self.log_tau = nn.Parameter(torch.tensor(math.log(START_TAU)))

    def forward(self, slide: Tensor, rna: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Embeddings [batch, width] -> aligned slide, aligned RNA [batch, width], tau."""
        return (
            self.slide(F.normalize(slide, dim=1)),
            self.rna(F.normalize(rna, dim=1)),
            self.log_tau.exp(),
        )

    @torch.no_grad()
    def hold_tau(self) -> None:
        """Keep tau between 1 and 100, as published after each step."""
        self.log_tau.clamp_(0.0, math.log(LARGEST_TAU))


class Mirror(PairedNetwork):
    """The pretraining network; :meth:`encode` is what downstream tasks keep of it."""

    settings: MirrorSettings

    def __init__(self, settings: MirrorSettings) -> None:
        super().__init__(settings)
        s = settings
        self.slide_encoder = SlideEncoder(
            s.patch_dim,
            s.width,
            heads=s.slide_heads,
            landmarks=s.landmark_count,
            form=s.attention,
            dropout=s.dropout,
        )
        self.rna_encoder = RnaEncoder(
            s.gene_count, s.width, heads=s.rna_heads, mlp_ratio=s.mlp_ratio, dropout=s.dropout
        )
        self.alignment = Alignment(s.width) if "alignment" in s.losses else None
        self.slide_retention = _slide_retention(s) if "retention" in s.losses else None
        self.rna_retention = _rna_retention(s) if "retention" in s.losses else None
        self.style = _style(s) if {"style", "cluster"} & set(s.losses) else None
        clusters = "cluster" in s.losses and s.clustering == "prototypes"
        self.prototypes = Prototypes(s.prototypes, s.width) if clusters else None

    def forward(
        self,
        patches: Tensor,
        genes: Tensor,
        *,
        counts: Tensor | None = None,
        generator: Draws = None,
    ) -> MirrorOutput:
        """One pretraining pass over patches [batch, patch, feature] and expression [batch, gene].

        ``counts`` [batch]: how many leading patches of each bag are real (None: all). ``generator`` draws
        masks and style samples; it lives on the tensors' device.
        """
        tokens = self.slide_encoder(self._scaled(patches), counts)
        slide, rna = tokens[:, 0], self.rna_encoder(genes)
        parts: dict[str, Tensor | Retention | Style | None] = {}
        if self.alignment is not None:
            parts |= dict(zip(("aligned_slide", "aligned_rna", "tau"), self.alignment(slide, rna), strict=True))
        if self.slide_retention is not None and self.rna_retention is not None:
            parts["slide_retention"] = self.slide_retention(tokens, counts, generator=generator)
            parts["rna_retention"] = self.rna_retention(rna, generator=generator)
        return MirrorOutput(slide, rna, **parts, **self._styles(slide, rna, generator))  # type: ignore[arg-type]

    def _styles(self, slide: Tensor, rna: Tensor, generator: Draws) -> dict[str, Style | Tensor | None]:
        if self.style is None:
            return {}
        of_slide, of_rna = self.style(slide, generator=generator), self.style(rna, generator=generator)
        scores = (None, None)
        if self.prototypes is not None:
            scores = (self.prototypes(of_slide.z), self.prototypes(of_rna.z))
        return {
            "slide_style": of_slide,
            "rna_style": of_rna,
            "slide_scores": scores[0],
            "rna_scores": scores[1],
        }

    def encode_slides(self, patches: Tensor, *, counts: Tensor | None = None) -> Tensor:
        """The slide's [CLS]."""
        return self.slide_encoder.class_token(self._scaled(patches), counts)

    def patch_weights(self, patches: Tensor, *, counts: Tensor | None = None) -> list[PatchWeights]:
        """What the slide's [CLS] attends to: in the last block, through both (rollout), in the first."""
        return class_token_weights(self.slide_encoder, self._scaled(patches), counts)

    def encode_rna(self, genes: Tensor) -> Tensor:
        """Of the RNA encoder, Eq. 4."""
        return self.rna_encoder(genes)

    def rna_embedding(self) -> nn.Module:
        """The MLP before the gene token."""
        return self.rna_encoder.embed

    def align(self, slide: Tensor, rna: Tensor) -> tuple[Tensor, Tensor]:
        """Embeddings [batch, width] in the shared space; as they are where the alignment loss is off."""
        if self.alignment is None:
            return slide, rna
        aligned_slide, aligned_rna, _ = self.alignment(slide, rna)
        return aligned_slide, aligned_rna

    def unit_terms(self, output: PairedOutput) -> dict[str, Tensor]:
        """Retention, style and cluster, as far as they are switched on, see :mod:`.objective`."""
        assert isinstance(output, MirrorOutput)
        return objective.unit_terms(output, self.settings)

    def loss_weights(self) -> dict[str, float]:
        """Weight of each term by the settings' objective and lambdas."""
        return objective.loss_weights(self.settings)

    def term_names(self) -> list[str]:
        """In the order of :func:`.objective.loss_weights`."""
        return objective.term_names(self.settings)

    def tau_tensor(self) -> Tensor | None:
        """Learned; None where the alignment loss is off."""
        return None if self.alignment is None else self.alignment.log_tau.exp()

    def encoders(self) -> Iterator[nn.Module]:
        """Of the slide and of the RNA."""
        yield from (self.slide_encoder, self.rna_encoder)

    def heavy_blocks(self) -> Iterator[nn.Module]:
        """Every attention block over patches."""
        yield from (self.slide_encoder.first, self.slide_encoder.second)
        if self.slide_retention is not None:
            yield self.slide_retention.block

    def looks_at_padding(self) -> bool:
        """The Nystrom form does: its landmarks are runs of the padded sequence."""
        return self.settings.attention == "nystrom"

    def prepare_step(self) -> None:
        """Unit rows for the cluster centres."""
        if self.prototypes is not None:
            self.prototypes.normalise()

    def finish_step(self) -> None:
        """Hold tau within its bounds."""
        if self.alignment is not None:
            self.alignment.hold_tau()

    def judged(self, *, sampled: bool) -> None:
        """Styles are sampled in evaluation mode, too, where ``sampled``: their encoder has no dropout."""
        super().judged(sampled=sampled)
        if self.style is not None:
            self.style.train(sampled)


class DownstreamModel(nn.Module):
    """Encoders and a linear head on both embeddings, as in MIRROR's downstream tasks (N(0, 0.01), bias 0).

    It shares the encoders of ``network``, whose other parts are not its own.
    """

    def __init__(self, network: PairedNetwork, outputs: int = 2) -> None:
        super().__init__()
        self.encoders = nn.ModuleList(network.encoders())
        self.encode = network.encode
        self.head = nn.Linear(2 * network.settings.width, outputs)
        nn.init.normal_(self.head.weight, std=0.01)
        nn.init.zeros_(self.head.bias)

    def forward(self, patches: Tensor, genes: Tensor) -> Tensor:
        """Patches [batch, patch, feature] and genes [batch, gene] -> [batch, output]."""
        return self.head(torch.cat(self.encode(patches, genes), dim=1))


def build_mirror(settings: MirrorSettings, seed: int) -> Mirror:
    """A freshly initialised network; the same for the same seed, whatever was drawn before."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return Mirror(settings)


def _slide_retention(s: MirrorSettings) -> SlideRetention:
    return SlideRetention(
        s.width,
        tokens=s.tokens,
        heads=s.slide_heads,
        landmarks=s.landmark_count,
        form=s.attention,
        dropout=s.dropout,
        mask_ratio=s.slide_mask_ratio,
    )


def _rna_retention(s: MirrorSettings) -> RnaRetention:
    return RnaRetention(
        s.width, heads=s.rna_heads, mlp_ratio=s.mlp_ratio, dropout=s.dropout, mask_ratio=s.rna_mask_ratio
    )


def _style(s: MirrorSettings) -> StyleEncoder:
    return StyleEncoder(s.width, s.style_widths, stochastic="style" in s.losses)


SETTINGS, NETWORK = MirrorSettings, Mirror
