"""The gradient of one optimisation step, in one go or in parts that fit the memory or lie on several devices.

In one go: forward, losses, backward. In parts: InfoNCE compares every unit with every other, so its gradient is
taken first, on the aligned vectors of the whole batch; every other term is a mean over units. A part then runs
forward and backward with the gradient of its own rows of InfoNCE added (Gao et al. 2021, "GradCache"). Both give
the same gradient, up to rounding and to what dropout draws.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from mirrorflow.models.draws import RowsOf
from mirrorflow.models.paired import PairedNetwork, PairedOutput, total_loss
from mirrorflow.training.devices import UNSCALED, Arithmetic
from mirrorflow.training.seeds import seed_torch
from mirrorflow.training.world import ProcessGroup


@dataclass(frozen=True)
class StepInputs:
    """This process's rows of a batch on the device: ``first`` is the place of the first of them among ``total``.

    patches [row, patch, feature], genes [row, gene], counts [row] or None; patients [total] or None: of all.
    """

    patches: Tensor
    genes: Tensor
    counts: Tensor | None
    patients: Tensor | None
    first: int
    total: int


@dataclass(frozen=True)
class Gradients:
    """How a step's gradients are made: in parts of ``micro_batch`` (None: whole), in which arithmetic."""

    network: PairedNetwork
    arithmetic: Arithmetic
    micro_batch: int | None
    world: ProcessGroup
    scaler: torch.amp.GradScaler = UNSCALED

    def backward(self, inputs: StepInputs, seed: int, check: Callable[[dict[str, float]], None]) -> dict[str, float]:
        """Leave the gradient of the whole batch on the parameters; returns the terms and their weighted total.

        ``check`` is told the terms before any gradient is taken, where they are known by then.
        """
        if self.world.size == 1 and (self.micro_batch is None or self.micro_batch >= inputs.total):
            return self._whole(inputs, seed, check)
        return self._in_parts(inputs, seed, check)

    @torch.no_grad()
    def values(self, inputs: StepInputs, seed: int) -> dict[str, float]:
        """The terms and their weighted total of a whole batch without gradients, in this process alone.

        In parts, too: they draw the same rows of masks and style samples. For a network without active dropout.
        """
        if self.micro_batch is None or self.micro_batch >= inputs.total:
            return _values(*self._losses(inputs, seed))
        return self._values_in_parts(inputs, seed)

    def _values_in_parts(self, inputs: StepInputs, seed: int) -> dict[str, float]:
        weights, terms, aligned = self.network.loss_weights(), dict[str, Tensor](), []
        for part in self._parts(inputs):
            output = self._part(part, seed)
            for name, term in self.network.unit_terms(output).items():
                terms[name] = terms.get(name, 0.0) + term * (len(part.genes) / inputs.total)
            aligned.append((output.aligned_slide, output.aligned_rna))
        tau = self.network.tau_tensor()
        if tau is not None:
            slide, rna = (torch.cat(some).float() for some in zip(*aligned, strict=True))
            terms = {"alignment": self.network.alignment_term(slide, rna, tau, inputs.patients)} | terms
        return _values(total_loss(terms, weights), terms)

    def halved(self, total: int) -> "Gradients":
        """The same with half as many units at a time, of a batch of ``total``."""
        return replace(self, micro_batch=max(1, min(self.micro_batch or total, total) // 2))

    def _whole(self, inputs: StepInputs, seed: int, check: Callable[[dict[str, float]], None]) -> dict[str, float]:
        total, terms = self._losses(inputs, seed)
        values = _values(total, terms)
        check(values)
        self.scaler.scale(total).backward()
        return values

    def _losses(self, inputs: StepInputs, seed: int) -> tuple[Tensor, dict[str, Tensor]]:
        """The weighted total and the terms of a whole batch."""
        seed_torch(seed, inputs.genes.device)
        terms = self.network.loss_terms(self._forward(inputs, self._generator(inputs, seed)), inputs.patients)
        return total_loss(terms, self.network.loss_weights()), terms

    def _in_parts(self, inputs: StepInputs, seed: int, check: Callable[[dict[str, float]], None]) -> dict[str, float]:
        parts = self._parts(inputs)
        outputs: list[PairedOutput | None] = [None] * len(parts)
        if len(parts) == 1:
            outputs[0] = self._part(parts[0], seed)
        weights = self.network.loss_weights()
        values: dict[str, float] = {}
        pulls = self._alignment(inputs, parts, outputs[0] if parts else None, seed, values)
        for number, part in enumerate(parts):
            output = outputs[number] or self._part(part, seed)
            terms = self.network.unit_terms(output)
            share = len(part.genes) / inputs.total
            loss = [self.scaler.scale(weights[name] * share * term) for name, term in terms.items()]
            for name, term in terms.items():
                values[name] = values.get(name, 0.0) + share * term.item()
            if pulls is not None:
                assert output.aligned_slide is not None
                assert output.aligned_rna is not None
                rows = slice(part.first, part.first + len(part.genes))
                loss += [(output.aligned_slide.float() * pulls[0][rows]).sum()]
                loss += [(output.aligned_rna.float() * pulls[1][rows]).sum()]
            torch.stack(loss).sum().backward()
        return self._joined(values, check)

    def _alignment(
        self,
        inputs: StepInputs,
        parts: list[StepInputs],
        only: PairedOutput | None,
        seed: int,
        values: dict[str, float],
    ) -> tuple[Tensor, Tensor] | None:
        """Gradient of InfoNCE by the aligned vectors of the whole batch; the value's share goes into ``values``."""
        tau = self.network.tau_tensor()
        if tau is None:
            return None
        aligned = [self._aligned(part, seed) for part in parts] if only is None else [_aligned_of(only)]
        width = self.network.settings.width
        nothing = torch.zeros(0, width, device=inputs.genes.device)
        slide, rna = (
            self.world.gather(torch.cat([nothing, *(pair[i].float() for pair in aligned)]), inputs.total)
            for i in (0, 1)
        )
        slide.requires_grad_()
        rna.requires_grad_()
        # Every process takes the whole gradient of tau, and these are summed later.
        own = tau / self.world.size
        term = self.network.alignment_term(slide, rna, own + (tau - own).detach(), inputs.patients)
        values["alignment"] = term.item() / self.world.size
        self.scaler.scale(self.network.loss_weights()["alignment"] * term).backward()
        assert slide.grad is not None
        assert rna.grad is not None
        return slide.grad, rna.grad

    def _joined(self, values: dict[str, float], check: Callable[[dict[str, float]], None]) -> dict[str, float]:
        names = self.network.term_names()
        summed = self.world.sum_values([values.get(name, 0.0) for name in names])
        joined = dict(zip(names, summed, strict=True))
        weights = self.network.loss_weights()
        joined = {"total": sum(weights[name] * value for name, value in joined.items())} | joined
        check(joined)
        self.world.sum_gradients(self.network.parameters())
        return joined

    def _parts(self, inputs: StepInputs) -> list[StepInputs]:
        rows = np.arange(len(inputs.genes))
        size = self.micro_batch or max(1, len(rows))
        return [_cut(inputs, start, min(start + size, len(rows))) for start in range(0, len(rows), size)]

    def _part(self, part: StepInputs, seed: int) -> PairedOutput:
        seed_torch(seed + 2 + part.first, part.genes.device)
        return self._forward(part, RowsOf(self._generator(part, seed), part.first, part.total))

    @torch.no_grad()
    def _aligned(self, part: StepInputs, seed: int) -> tuple[Tensor, Tensor]:
        """As the part's own pass will have them: the same dropout, since encoding comes first in it."""
        seed_torch(seed + 2 + part.first, part.genes.device)
        with self.arithmetic.autocast():
            return self.network.align(*self.network.encode(part.patches, part.genes, counts=part.counts))

    def _forward(self, inputs: StepInputs, draws: torch.Generator | RowsOf) -> PairedOutput:
        with self.arithmetic.autocast():
            return self.network(inputs.patches, inputs.genes, counts=inputs.counts, generator=draws)

    def _generator(self, inputs: StepInputs, seed: int) -> torch.Generator:
        """For masks and style samples; dropout draws from torch's own generator (forked by the caller)."""
        return torch.Generator(inputs.genes.device).manual_seed(seed + 1)


def _values(total: Tensor, terms: Mapping[str, Tensor]) -> dict[str, float]:
    return dict(zip(["total", *terms], torch.stack([total, *terms.values()]).tolist(), strict=True))


def _aligned_of(output: PairedOutput) -> tuple[Tensor, Tensor]:
    assert output.aligned_slide is not None
    assert output.aligned_rna is not None
    return output.aligned_slide.detach(), output.aligned_rna.detach()


def _cut(inputs: StepInputs, start: int, stop: int) -> StepInputs:
    return StepInputs(
        inputs.patches[start:stop],
        inputs.genes[start:stop],
        None if inputs.counts is None else inputs.counts[start:stop],
        inputs.patients,
        inputs.first + start,
        inputs.total,
    )
