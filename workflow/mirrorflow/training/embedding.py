"""Embeddings of units by a pretrained network: once and frozen, or drawn anew for every epoch of a probe."""

import zlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from mirrorflow.config.fields import COUNT, Settings, of_run, same
from mirrorflow.config.probe_settings import Embed
from mirrorflow.config.training_settings import Precision, PretrainSettings, ShortBags
from mirrorflow.models.paired import PairedNetwork
from mirrorflow.training.bags import Bags, Batch, prefetched
from mirrorflow.training.devices import arithmetic_of, choose_device, guarded
from mirrorflow.training.loading import Loader, halves, on_device, received
from mirrorflow.training.seeds import seed_torch

RNA_AT_A_TIME = 256
"""Units whose RNA is embedded at once, where no dropout is drawn."""
TOKENS_AT_A_TIME = 4096
"""Patches that are embedded at once, where no dropout is drawn: of small bags more units than a training step takes."""


@dataclass(frozen=True)
class EmbedSettings(Settings):
    """How units are embedded.

    ``frozen``: evaluation mode; ``draws`` bags a unit, drawn once by the seed, their embeddings averaged.
    ``resampled_dropout``: the published probe's way (encoders left in training mode, patches drawn anew in
    each epoch): ``draws`` arrays with dropout for training units, and as many without for evaluation.
    """

    draws: int = same(Embed, "draws")
    mode: Literal["frozen", "resampled_dropout"] = of_run(
        "Whether dropout is active.", "frozen", enum=["frozen", "resampled_dropout"]
    )
    tokens: int = same(PretrainSettings, "tokens")
    short: ShortBags = same(PretrainSettings, "short")
    batch_size: int = of_run("Units a step.", PretrainSettings.batch_size, **COUNT)
    precision: Precision = same(Embed, "precision")

    @classmethod
    def as_trained(cls, training: Mapping[str, Any], settings: Mapping[str, Any] | None = None) -> "EmbedSettings":
        """Bags as the model's ``training`` drew them, unless ``settings`` say otherwise."""
        return cls(**{key: training[key] for key in ("tokens", "short", "batch_size")} | dict(settings or {}))

    @property
    def cache_gb(self) -> float:
        """Bags worth keeping in memory, in 10^9 bytes: several draws read them again."""
        return 4.0 if self.draws > 1 else 0.0


@dataclass(frozen=True)
class Embeddings:
    """Slide and RNA embeddings, float32 [draw, unit, width], of ``units`` in this order.

    ``slide`` and ``rna`` are for training a probe (draw e at its epoch e, modulo the draws), ``slide_eval``
    and ``rna_eval`` for judging it; the two are the same arrays where the encoders were frozen.
    """

    units: tuple[str, ...]
    slide: np.ndarray
    rna: np.ndarray
    slide_eval: np.ndarray
    rna_eval: np.ndarray

    def joined(self, *, draw: int = 0, evaluation: bool = False) -> np.ndarray:
        """Slide and RNA side by side [unit, 2 * width], as the linear head takes them."""
        slide, rna = (self.slide_eval, self.rna_eval) if evaluation else (self.slide, self.rna)
        return np.concatenate([slide[draw % len(slide)], rna[draw % len(rna)]], axis=1)


def embed(
    model: PairedNetwork,
    bags: Bags,
    genes: np.ndarray | None,
    units: Sequence[str],
    settings: EmbedSettings,
    *,
    seed: int,
    device: str = "auto",
) -> Embeddings:
    """Embed every unit; a unit's bag follows from (seed, draw, its name), whoever else is there.

    ``genes`` [unit, gene] is scaled as in training; None: slides alone, RNA embeddings have width 0. A batch gives what
    one by one gives; with Nystrom attention padded bags (``short: mask``) go through one by one.
    """
    embedder = Embedder(model, bags, genes, units, settings, seed, choose_device(device))
    with torch.random.fork_rng(devices=[embedder.device] if embedder.device.type == "cuda" else []):
        if settings.mode == "frozen":
            slide, rna = (part.mean(axis=0, keepdims=True) for part in embedder.draws(training=False))
            result = Embeddings(tuple(units), slide, rna, slide, rna)
        else:
            result = Embeddings(tuple(units), *embedder.draws(training=True), *embedder.draws(training=False))
    model.eval()
    return result


class Embedder:
    """Draws the bags of units and embeds them; arguments as those of :func:`embed`."""

    def __init__(
        self,
        model: PairedNetwork,
        bags: Bags,
        genes: np.ndarray | None,
        units: Sequence[str],
        settings: EmbedSettings,
        seed: int,
        device: torch.device,
    ) -> None:
        self.model, self.bags, self.units, self.settings = model.to(device), bags, units, settings
        self.slides_only = genes is None
        given = np.zeros((len(units), 0)) if genes is None else genes
        self.genes = torch.as_tensor(np.asarray(given, dtype=np.float32)).to(device)
        self.seed, self.device = seed, device
        self.arithmetic = arithmetic_of(settings.precision, device, model.settings.width)

    def draws(self, *, training: bool) -> tuple[np.ndarray, np.ndarray]:
        """Slide and RNA embeddings [draw, unit, width], with dropout active where ``training``.

        Without it the RNA is the same in every draw, and embedded once.
        """
        self.model.train(training)
        rna = None if training or self.slides_only else self._rna()
        both = [self.draw(draw, rna, training=training) for draw in range(self.settings.draws)]
        return np.stack([slide for slide, _ in both]), np.stack([one for _, one in both])

    @torch.inference_mode()
    def draw(
        self, draw: int, rna: np.ndarray | None = None, *, training: bool = False
    ) -> tuple[np.ndarray, np.ndarray]:
        """Slide and RNA embeddings [unit, width] of one draw; the model is in the mode that ``training`` names.

        rna: that of the units, where it is known.
        """
        seed_torch(int(np.random.SeedSequence([self.seed, draw]).generate_state(1)[0]), self.device)
        with closing(prefetched(self.batches(draw, training=training))) as batches:
            parts = [part for batch in batches for part in self._guarded(batch, rna=rna is None)]
        slide, own = (torch.cat(part).float().cpu().numpy() for part in zip(*parts, strict=True))
        return slide, own if rna is None else rna

    @torch.inference_mode()
    def _rna(self) -> np.ndarray:
        """RNA embeddings [unit, width], many units at a time: most of the work is reading the weights."""
        with self.arithmetic.autocast():
            parts = [self.model.encode_rna(some) for some in self.genes.split(RNA_AT_A_TIME)]
        return torch.cat(parts).float().cpu().numpy()

    def batches(self, draw: int, *, training: bool) -> Iterator[Batch]:
        """The bags of a draw; one unit at a time where the network looks at padding, and there is some."""
        loader = Loader(self.device)
        alone = self.settings.short == "mask" and self.model.looks_at_padding()
        size = self.settings.batch_size
        if not training:  # with dropout, draws follow from the batch
            size = max(size, TOKENS_AT_A_TIME // self.settings.tokens)
        size = 1 if alone else size
        for start in range(0, len(self.units), size):
            rows = np.arange(start, min(start + size, len(self.units)))
            rngs = [
                np.random.default_rng([self.seed, draw, training, zlib.crc32(self.units[int(row)].encode())])
                for row in rows
            ]
            yield loader.draw(self.bags, rows, tokens=self.settings.tokens, short=self.settings.short, rngs=rngs)

    def _guarded(self, batch: Batch, *, rna: bool) -> list[tuple[Tensor, Tensor]]:
        """The batch's vectors; in halves where the GPU's memory is full."""

        def in_halves() -> list[tuple[Tensor, Tensor]]:
            return [self._encode(half, rna=rna) for half in halves(batch, self.device)]

        return guarded(lambda: [self._encode(batch, rna=rna)], self._full, in_halves)

    def _full(self) -> str:
        return (
            f"the GPU's memory is full while {self.settings.batch_size} units of {self.settings.tokens} tokens are "
            "embedded, and while half of them are; lower pretrain.batch_size, or set embed.precision: bfloat16"
        )

    def _encode(self, batch: Batch, *, rna: bool = True) -> tuple[Tensor, Tensor]:
        """Slide and RNA vectors [unit, width]; of the RNA none where it is not asked for, or not there."""
        patches = received(batch, self.device)
        with self.arithmetic.autocast():
            if self.slides_only or not rna:
                slide = self.model.encode_slides(patches, counts=batch.counts)
                return slide, slide[:, :0]
            genes = self.genes[on_device(batch.units, self.device)]
            return self.model.encode(patches, genes, counts=batch.counts)
