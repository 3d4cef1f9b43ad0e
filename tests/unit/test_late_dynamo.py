"""The import of torch.compile's machinery is put off; what trains or compiles is the same."""

import subprocess
import sys

import pytest

LATE = "from mirrorflow.runtime.late_dynamo import import_dynamo_late\nimport_dynamo_late()\n"
TRAIN = """
import sys, torch
torch.manual_seed(0)
network = torch.nn.Linear(5, 3)
for kind in (torch.optim.Adam, torch.optim.AdamW):
    optimizer = kind(network.parameters(), lr=0.1, weight_decay=0.01, fused=True)
    for _ in range(3):
        optimizer.zero_grad(set_to_none=True)
        network(torch.ones(2, 5)).square().sum().backward()
        optimizer.step()
print([value for weights in network.parameters() for value in weights.flatten().tolist()])
print("torch._dynamo.eval_frame" in sys.modules)
"""
COMPILE = """
network.compile(backend="eager")
print(network(torch.ones(2, 5)).sum().item())
print("torch._dynamo.eval_frame" in sys.modules, torch._dynamo is sys.modules["torch._dynamo"])
print(torch._dynamo.config is sys.modules["torch._dynamo.config"])
"""


def said_by(code: str) -> list[str]:
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


@pytest.fixture(scope="module")
def usual() -> list[str]:
    return said_by(TRAIN + COMPILE)


def test_training_gives_the_same_and_imports_no_compiler(usual: list[str]) -> None:
    weights, imported = said_by(LATE + TRAIN)
    assert weights == usual[0]
    assert (imported, usual[1]) == ("False", "True")


def test_what_compiles_after_all_gets_the_real_one(usual: list[str]) -> None:
    assert said_by(LATE + TRAIN + COMPILE)[2:] == usual[2:] == [usual[2], "True True", "True"]


@pytest.mark.parametrize("used", ["import torch._dynamo.config as real", "from torch._dynamo import config as real"])
def test_any_other_use_loads_it(used: str) -> None:
    assert said_by(f"{LATE}{used}\nprint(real.__name__)") == ["torch._dynamo.config"]


def test_it_changes_nothing_where_it_is_imported_already() -> None:
    assert said_by(f"import sys, torch._dynamo as real\n{LATE}print(sys.modules['torch._dynamo'] is real)") == ["True"]
