"""What comes from others (sheets, weights, downloads) is data: it is never executed and never names a path."""

import ast
import os
import pickle
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from mirrorflow.config.resolve import resolve
from mirrorflow.errors import ConfigError, InputError
from mirrorflow.runtime.locks import own_jobs
from mirrorflow.store.models import load_checkpoint
from mirrorflow.store.slide_sheet import read_slide_sheet
from mirrorflow.store.weights import read_weights
from rerun_example import example_config

ROOT = Path(__file__).parents[2]
MODULES = [*(ROOT / "workflow").rglob("*.py"), *(ROOT / "benchmarks").glob("*.py")]
SNAKEFILES = [ROOT / "Snakefile", *(ROOT / "workflow" / "rules").glob("*.smk")]

HOSTILE = [
    "a;touch hacked",
    "$(touch hacked)",
    "`touch hacked`",
    "a|b",
    "a&b",
    "a'b",
    'a"b',
    "../up",
    "a/../../up",
    "/etc/passwd",
    "..",
    ".hidden",
    "-rf",
    "a\x00b",
    "a\\b",
    "{store}",
    "*",
    "<script>alert(1)</script>",
    "x" * 300,
]


class Bomb:
    """Unpickled, it leaves a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.path),)


# sheets


@pytest.mark.parametrize("slide_id", HOSTILE)
def test_slide_ids_that_are_more_than_names_are_refused(tmp_path: Path, slide_id: str) -> None:
    sheet = tmp_path / "slides.tsv"
    cell = '"' + slide_id.replace('"', '""') + '"'
    sheet.write_text(f"slide_id\tpatient\tpath\n{cell}\tp\ta.svs\n", encoding="utf-8")
    with pytest.raises(InputError, match=r"slides\.tsv, line 2: slide_id .* cannot be a file name"):
        read_slide_sheet(sheet)


@pytest.mark.parametrize("ending", ["\n", "\r\n", "\r", "\x0b", "\x85", "\u2028"])
def test_line_breaks_in_a_cell_are_refused(tmp_path: Path, ending: str) -> None:
    sheet = tmp_path / "slides.csv"
    sheet.write_text(f'slide_id,patient,path\n"one{ending}two",p,a.svs\n', encoding="utf-8", newline="")
    with pytest.raises(InputError, match=r"slides\.csv, line"):
        read_slide_sheet(sheet)


def test_a_space_is_part_of_a_name(tmp_path: Path) -> None:
    (tmp_path / "slides.tsv").write_text("slide_id\tpatient\tpath\nslide 7\tpatient 7\tmy slides/7.svs\n")
    (row,) = read_slide_sheet(tmp_path / "slides.tsv")
    assert (row.slide_id, row.path) == ("slide 7", tmp_path / "my slides/7.svs")


@pytest.mark.parametrize("name", ["..", ".", "a/b", "a b", "a;b", "$(a)", "A", "name\n", ""])
def test_names_in_the_config_cannot_leave_their_folder(name: str) -> None:
    raw = example_config()
    raw["run"] = name
    with pytest.raises(ConfigError, match="run"):
        resolve(raw)


# weights and checkpoints


@pytest.mark.parametrize("name", ["weights.pth", "weights.bin", "weights.pt"])
def test_weights_are_read_without_executing_them(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(pickle.dumps({"conv1.weight": Bomb(tmp_path / "hacked")}))
    with pytest.raises(InputError):
        read_weights(tmp_path / name)
    assert not (tmp_path / "hacked").exists()


def test_a_checkpoint_is_read_without_executing_it(tmp_path: Path) -> None:
    import torch

    torch.save({"settings": "{}", "model": Bomb(tmp_path / "hacked")}, tmp_path / "checkpoint.pt")
    assert load_checkpoint(tmp_path, {}) is None
    assert not (tmp_path / "hacked").exists()


LOAD = "import sys, torch; torch.load(sys.argv[1], weights_only=False)"


def test_libraries_cannot_unpickle_weights_in_a_job_either(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """timm's, torchvision's and the hub's own loaders run inside jobs."""
    import torch

    torch.save({"model": Bomb(tmp_path / "hacked")}, tmp_path / "weights.pth")
    for name in ("MIRRORFLOW_OWNER", "PYTHONPATH", "TORCH_FORCE_WEIGHTS_ONLY_LOAD", "TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD"):
        monkeypatch.setenv(name, os.environ.get(name, ""))
    own_jobs(str(ROOT / "workflow"))
    done = subprocess.run(
        [sys.executable, "-c", LOAD, str(tmp_path / "weights.pth")], capture_output=True, text=True, check=False
    )
    assert done.returncode != 0
    assert "Weights only load failed" in done.stderr
    assert not (tmp_path / "hacked").exists()


# our own code

FORBIDDEN = {
    "os.system": "a shell",
    "os.popen": "a shell",
    "pickle.load": "a pickle",
    "pickle.loads": "a pickle",
    "pd.read_pickle": "a pickle",
    "pandas.read_pickle": "a pickle",
    "joblib.load": "a pickle",
    "torch.hub.load": "code from the network",
    "eval": "code",
    "exec": "code",
    "shutil.unpack_archive": "an archive's paths",
}


OWN_PICKLES = [
    ("workflow/mirrorflow/runtime/processes.py", "pickle.loads"),
    ("workflow/mirrorflow/runtime/warm.py", "pickle.loads"),
]
"""A job hands its own child processes a call, through a folder that only its user can read or write."""


def calls_of(path: Path) -> list[tuple[str, ast.Call]]:
    """Every call of a module with the dotted name of what is called."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    return [(ast.unparse(node.func), node) for node in ast.walk(tree) if isinstance(node, ast.Call)]


def said(call: ast.Call, name: str) -> Any:
    """The constant that a call gives as keyword ``name``."""
    found = [keyword.value for keyword in call.keywords if keyword.arg == name]
    return found[0].value if found and isinstance(found[0], ast.Constant) else None


def unsafe(name: str, call: ast.Call) -> str:
    """Why a call may execute what others wrote, or let it choose a path; empty if it does not."""
    if name in FORBIDDEN:
        return FORBIDDEN[name]
    if name == "torch.load" and said(call, "weights_only") is not True:
        return "a pickle (weights_only=True is missing)"
    if said(call, "allow_pickle") or said(call, "shell") or said(call, "trust_remote_code"):
        return "a pickle, a shell or remote code"
    if name.endswith(".extractall") and ".str." not in name and said(call, "filter") != "data":
        return "an archive's paths (filter='data' is missing)"
    if name == "yaml.load" and not any(k.arg == "Loader" and ast.unparse(k.value) == "LOADER" for k in call.keywords):
        return "YAML's own objects"
    return ""


def test_no_module_executes_what_others_wrote() -> None:
    found = [
        f"{path.relative_to(ROOT)}:{call.lineno}: {name} takes {why}"
        for path in MODULES
        for name, call in calls_of(path)
        if (why := unsafe(name, call)) and (str(path.relative_to(ROOT)), name) not in OWN_PICKLES
    ]
    assert found == []


@pytest.mark.parametrize(
    "line",
    [
        "torch.load(path)",
        "torch.load(path, weights_only=False)",
        "np.load(path, allow_pickle=True)",
        "subprocess.run(text, shell=True)",
        "archive.extractall(folder)",
        "yaml.load(text, Loader=yaml.Loader)",
        "pickle.loads(data)",
    ],
)
def test_the_check_sees_what_it_looks_for(tmp_path: Path, line: str) -> None:
    (tmp_path / "module.py").write_text(line)
    ((name, call),) = calls_of(tmp_path / "module.py")
    assert unsafe(name, call)


def test_no_rule_builds_a_shell_command() -> None:
    """Rules run scripts; what a sheet or config says never becomes part of a command line."""
    lines = [line.strip() for path in SNAKEFILES for line in path.read_text().splitlines()]
    assert not [line for line in lines if line.startswith(("shell:", "shell(", "run:"))]
