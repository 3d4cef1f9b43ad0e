"""Every path of the contract, written and read back."""

import pytest

from mirrorflow.errors import InputError
from mirrorflow.plan import job_paths, paths, store_paths
from mirrorflow.plan.contract_path import ContractPath, inner_number
from mirrorflow.plan.model_paths import LabelledModel

VALUES = {
    "root": "/somewhere/results/run", "scope": "patient-random-fold-train", "cohort": "nsclc--from--brca",
    "encoder": "uni_v2.1", "method": "mirror--alignment", "protocol": "honest", "seed": 42, "fold": 10,
    "genes": "inner3-", "inner": "inner1-", "variant": "mirror--own/", "mode": "frozen", "task": "survival",
    "name": "flow", "ending": "md", "source": "toil", "patching": "256px-20x", "shard": 7, "step": "dropped",
    "dataset": "xena", "file": "a.tsv.gz", "setting": "10-shot",
    "patients": "spring", "job": "embed/patient/brca/uni_v2.1/seed42",
}  # fmt: skip


def kinds() -> list[type[ContractPath]]:
    found = [ContractPath]
    for kind in found:
        found += kind.__subclasses__()
    return found[1:]


def of_kind(kind: type[ContractPath], **changed: object) -> ContractPath:
    values = VALUES | changed
    return kind(**{name: values[name] for name in kind.types})


def test_the_kinds_are_those_of_every_file():
    names = {kind.__name__ for kind in kinds()}
    assert {"PredictionsManifest", "ModelRecord", "GeneManifest", "Ledger", "FiguresFolder"} <= names
    assert {LabelledModel, job_paths.JobUsage} <= set(kinds())
    assert len({kind.TEMPLATE for kind in kinds()}) == len(kinds())


@pytest.mark.parametrize("kind", kinds())
@pytest.mark.parametrize("root", ["", "results/run", "/deep/in/a/store"])
@pytest.mark.parametrize("prefix", ["", "few-shot-", "inner0-"])
def test_what_is_written_is_read_back(kind, root, prefix):
    inner = prefix if prefix.startswith("inner") else ""
    path = of_kind(kind, root=root, genes=prefix, inner=inner, variant="" if prefix else "own/")
    assert kind.parse(path.format()) == path
    assert kind.parse(path.path) == path
    assert kind.fits(path.format())


@pytest.mark.parametrize(
    ("kind", "path"),
    [
        (paths.PredictionsManifest, "r/predictions/honest/brca/uni/mirror/subtyping/fold0.parquet"),
        (paths.PredictionsManifest, "r/honest/brca/uni/mirror/manifest.json"),
        (paths.ModelRecord, "r/s/brca/models/uni/mirror/seed1/foldx/done.json"),
        (paths.ModelRecord, "r/s/brca/models/uni/mirror/seed1/outer0-fold1/done.json"),
        (paths.SplitFile, "r/s/brca/splits/few-shot-splits_0.csv"),
        (paths.GeneManifest, "r/s/brca/genes/fold0.json"),
        (store_paths.Ledger, "ledger.tsv"),
    ],
)
def test_another_path_is_refused_by_name(kind, path):
    assert not kind.fits(path)
    with pytest.raises(InputError, match=f"{path}: no {kind.__name__}; its path should end with"):
        kind.parse(path)


def test_a_pattern_leaves_wildcards_where_nothing_is_known():
    pattern = paths.GeneManifest.pattern("results/run", genes="", fold=2)
    assert pattern == "results/run/{scope}/{cohort}/genes/{variant}fold2.tsv"


def test_a_path_says_what_lies_beside_it():
    manifest = paths.PredictionsManifest("r", "honest", "brca", "none", "cox")
    assert manifest.title == "cox"
    assert manifest.file("survival/fold10.parquet").fold == 10
    assert paths.PredictionsManifest("r", "honest", "brca", "uni", "mirror").title == "mirror (uni)"
    record = paths.EmbeddingsRecord("r", "s", "brca", "uni", "mirror", 1, "frozen", "inner0-")
    assert record.file(3).format() == "r/s/brca/embeddings/uni/mirror/seed1/frozen/inner0-fold3.safetensors"
    assert str(store_paths.FeatureStatus("s", "brca", "256px", "uni", 0).files) == "s/features/brca/256px/uni"


@pytest.mark.parametrize(("prefix", "number"), [("", None), ("few-shot-", None), ("inner0-", 0), ("inner12-", 12)])
def test_prefixes_of_inner_folds_are_numbers(prefix, number):
    assert inner_number(prefix) == number


def test_paths_of_inner_folds_are_grouped_by_what_they_say_in_any_order():
    files = [paths.SplitFile("r", "s", "c", f"inner{j}-", k).format() for k in range(2) for j in (10, 2)]
    grouped = paths.by_inner_fold(paths.SplitFile, files)
    assert [[paths.SplitFile.parse(path).inner_fold for path in group] for group in grouped] == [[2, 2], [10, 10]]
    assert [[paths.SplitFile.parse(path).fold for path in group] for group in grouped] == [[0, 1], [0, 1]]
    with pytest.raises(InputError, match="not of an inner fold"):
        paths.by_inner_fold(paths.SplitFile, ["r/s/c/splits/splits_0.csv"])
