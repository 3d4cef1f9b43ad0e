"""A step in parts or on several processes has the gradient of the same step in one go."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from mirrorflow.learners.pretrained import pretrain
from mirrorflow.models.draws import RowsOf, normal, uniform
from mirrorflow.models.families import build_network
from mirrorflow.models.mirror import MirrorSettings
from mirrorflow.models.paired import total_loss
from mirrorflow.models.tangle import TangleSettings
from mirrorflow.training.compute import ComputeSettings
from mirrorflow.training.devices import FLOAT32
from mirrorflow.training.pretraining import Layout, PairedData
from mirrorflow.training.settings import PretrainSettings
from mirrorflow.training.step import Gradients, StepInputs
from mirrorflow.training.world import ProcessGroup
from planted import GENES, PATCH_DIM, TOKENS, planted

UNITS = 7
SHAPE = {"width": 48, "tokens": TOKENS, "prototypes": 30, "style_widths": (24, 16, 8), "attention": "exact"}


def network_of(family: str = "mirror", **changes):
    if family == "tangle":
        settings = TangleSettings(PATCH_DIM, GENES, width=24, tokens=TOKENS, **changes)
    else:
        settings = MirrorSettings(PATCH_DIM, GENES, **(SHAPE | changes))
    return build_network(family, settings, 0).train()


def inputs(*, counts: torch.Tensor | None = None) -> StepInputs:
    generator = torch.Generator().manual_seed(0)
    patches = torch.randn(UNITS, TOKENS, PATCH_DIM, generator=generator)
    patients = torch.tensor([0, 0, 1, 2, 3, 4, 5])
    return StepInputs(patches, torch.randn(UNITS, GENES, generator=generator), counts, patients, 0, UNITS)


def gradient(network, batch: StepInputs, micro_batch: int | None = None):
    """Terms and gradients of one step."""
    with torch.random.fork_rng():
        network.zero_grad()
        checked: list[dict[str, float]] = []
        values = Gradients(network, FLOAT32, micro_batch, ProcessGroup()).backward(batch, 5, checked.append)
    assert checked == [values]
    return values, {name: parameter.grad.clone() for name, parameter in network.named_parameters()}


def assert_same(first, second) -> None:
    assert list(first[0]) == list(second[0])
    assert first[0] == pytest.approx(second[0], rel=1e-5, abs=1e-6)
    assert first[1].keys() == second[1].keys()
    for name, expected in second[1].items():
        atol = 1e-5 * max(1.0, expected.abs().max().item())
        torch.testing.assert_close(first[1][name], expected, rtol=1e-4, atol=atol, msg=name)


@pytest.mark.parametrize(
    ("family", "changes"),
    [
        ("mirror", {}),
        ("mirror", {"same_patient_negatives": "drop", "objective": "equations"}),
        ("mirror", {"losses": ("retention", "cluster"), "clustering": "hard"}),
        ("mirror", {"losses": ("alignment",)}),
        ("tangle", {"temperature": 0.1, "attention_dropout": 0.0, "rna_dropout": 0.0}),
    ],
)
@pytest.mark.parametrize("micro_batch", [1, 3])
def test_a_step_in_parts_has_the_gradient_of_the_whole(family, changes, micro_batch):
    network = network_of(family, dropout=0.0, **changes)
    assert_same(gradient(network, inputs(), micro_batch), gradient(network, inputs()))


def test_parts_of_padded_bags_have_the_gradient_of_the_whole():
    network, batch = network_of(dropout=0.0), inputs(counts=torch.tensor([10, 3, 1, 7, 10, 2, 5]))
    assert_same(gradient(network, batch, 2), gradient(network, batch))


def test_with_dropout_both_passes_of_a_part_draw_the_same():
    """The reference keeps every part's graph and takes the loss of all of them at once."""
    network, batch = network_of(dropout=0.3), inputs()
    by_hand = Gradients(network, FLOAT32, 3, ProcessGroup())
    with torch.random.fork_rng():
        network.zero_grad()
        outputs = [by_hand._part(part, 5) for part in by_hand._parts(batch)]
        slide, rna = (
            torch.cat([getattr(output, name) for output in outputs]) for name in ("aligned_slide", "aligned_rna")
        )
        terms = {"alignment": network.alignment_term(slide, rna, network.tau_tensor(), batch.patients)}
        for output, share in zip(outputs, (3 / 7, 3 / 7, 1 / 7), strict=True):
            for name, term in network.unit_terms(output).items():
                terms[name] = terms.get(name, 0.0) + share * term
        total_loss(terms, network.loss_weights()).backward()
    expected = {name: parameter.grad.clone() for name, parameter in network.named_parameters()}
    values = {name: term.item() for name, term in terms.items()}
    found = gradient(network, batch, 3)
    found[0].pop("total")
    assert_same(found, (values, expected))


def test_activation_checkpointing_keeps_the_gradient_and_less_memory():
    network, batch = network_of(dropout=0.3), inputs()
    plain, kept = gradient(network, batch), []
    with torch.autograd.graph.saved_tensors_hooks(lambda x: kept.append(x.numel()) or x, lambda x: x):
        gradient(network, batch)
    before = sum(kept)
    for block in network.heavy_blocks():
        block.checkpointing = True
    kept.clear()
    assert_same(gradient(network, batch), plain)
    with torch.autograd.graph.saved_tensors_hooks(lambda x: kept.append(x.numel()) or x, lambda x: x):
        network(batch.patches, batch.genes)
    assert sum(kept) < 0.7 * before


@pytest.mark.parametrize("draw", [uniform, normal])
def test_rows_of_a_batch_draw_what_the_whole_batch_would(draw):
    whole = draw(5, 3, torch.Generator().manual_seed(1), torch.device("cpu"))
    rows = draw(2, 3, RowsOf(torch.Generator().manual_seed(1), 2, 5), torch.device("cpu"))
    assert torch.equal(rows, whole[2:4])


@pytest.mark.filterwarnings("ignore:The .grad attribute")  # torch hides its own warning, which an error cannot be
def test_compiling_keeps_weights_names_and_losses(monkeypatch):
    compiled = []

    def compile_in_place(module):
        compiled.append(type(module).__name__)
        torch.nn.Module.compile(module, backend="eager")

    monkeypatch.setattr("mirrorflow.training.compute._compile", compile_in_place)
    bags, genes = planted(6)
    settings = PretrainSettings(epochs=1, tokens=TOKENS, precision="float32")
    plain, faster = network_of(dropout=0.0), network_of(dropout=0.0)
    first = pretrain(plain, PairedData(bags, genes), settings, layout=Layout("cpu"))
    layout = Layout("cpu", ComputeSettings(compile=True))
    second = pretrain(faster, PairedData(bags, genes), settings, layout=layout)
    assert compiled == ["SlideEncoder", "RnaEncoder", "AttentionBlock"]
    assert second[0]["total"] == pytest.approx(first[0]["total"], rel=1e-5)
    assert plain.state_dict().keys() == faster.state_dict().keys()


CASES = [(None, {}), (2, {"short": "mask", "drop_last": True})]


def histories(world: ProcessGroup, device: str = "cpu"):
    """15 units in batches of 7: 4 and 3 rows each for two processes, the last unit merged or dropped."""
    for micro_batch, changes in CASES:
        bags, genes = planted(15)
        settings = PretrainSettings(
            epochs=2, batch_size=7, learning_rate=1e-3, tokens=TOKENS, precision="float32", **changes
        )
        compute = ComputeSettings(micro_batch=micro_batch)
        network = network_of(dropout=0.0)
        yield pretrain(
            network, PairedData(bags, genes), settings, layout=Layout(device, compute or ComputeSettings(), world)
        )


WORKER = """
import json, sys
sys.path[:0] = {paths!r}
import torch
from test_step import histories
from mirrorflow.training.world import torchruns_world
torch.set_num_threads(1)
with torchruns_world("cpu") as (world, device):
    found = list(histories(world, device))
    if world.rank == 0:
        print("FOUND" + json.dumps(found))
"""


TORCHRUN = [
    *(sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2", "--nnodes", "1"),
    *("--rdzv-backend", "c10d", "--rdzv-endpoint", "127.0.0.1:0", "--local-addr", "127.0.0.1"),
]


def test_two_processes_give_the_losses_of_one(tmp_path):
    """As torchrun starts them, over gloo. Several GPUs were not tried."""
    script, here = tmp_path / "worker.py", Path(__file__)
    script.write_text(WORKER.format(paths=[str(here.parent), str(here.parents[1])]))
    done = subprocess.run(
        [*TORCHRUN, str(script)],
        capture_output=True, text=True, check=False, timeout=300,
        env=os.environ | {"PYTHONPATH": str(here.parents[2] / "workflow"), "OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    found = json.loads(done.stdout.partition("FOUND")[2].splitlines()[0])
    for one, two in zip(histories(ProcessGroup()), found, strict=True):
        for first, second in zip(one, two, strict=True):
            for name in ("total", "alignment", "slide_retention", "rna_retention", "style", "cluster", "tau"):
                assert second[name] == pytest.approx(first[name], rel=1e-4), name


def test_every_row_is_somebodys():
    for total in (1, 5, 8):
        rows = [ProcessGroup(rank, 3).rows(total) for rank in range(3)]
        assert np.concatenate(rows).tolist() == list(range(total))
