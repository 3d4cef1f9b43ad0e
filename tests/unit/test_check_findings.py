"""What ``mirrorflow check`` finds before anything is computed, one small input a finding."""

import os
from pathlib import Path

import h5py
import numpy as np
import pandas as pd
import pytest
import yaml

from mirrorflow.audit.inputs import InputFiles, audit_inputs
from mirrorflow.cohorts.follow_up import follow_up_line, median_follow_up
from mirrorflow.cohorts.meeting import meeting
from mirrorflow.commands.check import check_config
from mirrorflow.commands.checking import features
from mirrorflow.commands.checking.features import look_into
from mirrorflow.errors import InputError
from mirrorflow.expression.units import ValueLook
from mirrorflow.steps.expression.convert_expression import convert_expression
from mirrorflow.store.expression import read_expression

NAMES = [f"P{number:02d}" for number in range(12)]
LABELS = dict(zip(NAMES, "xy" * 6, strict=True))


def write_features(path: Path, width: int = 4, value: float = 0.5, rows: int = 20) -> None:
    with h5py.File(path, "w") as file:
        file["features"] = np.full((rows, width), value, np.float32)


class Own:
    """A small cohort that has no problem, one thing of it changed at a time."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        (folder / "features").mkdir()
        for name in NAMES:
            write_features(folder / "features" / f"s{name}.h5")
        self.slides = pd.DataFrame({"slide_id": [f"s{name}" for name in NAMES], "patient": NAMES})
        self.people = pd.DataFrame(
            {
                "patient": NAMES, "label": [LABELS[name] for name in NAMES], "time": range(100, 112),
                "event": [1, 0] * 6, "site": list("aabbccddeeff"),
            }
        )  # fmt: skip
        rng = np.random.default_rng(0)
        self.rna = pd.DataFrame(rng.uniform(0, 10, (30, 12)), [f"g{n}" for n in range(30)], NAMES).rename_axis("id")
        self.cohort = {
            "slides": {"sheet": "slides.tsv"}, "clinical": {"sheet": "patients.tsv"}, "site": "column",
            "expression": "own", "encoders": ["uni"], "features": {"uni": "features"},
        }  # fmt: skip
        self.config = {
            "run": "r", "splits": {"folds": 2}, "methods": {"linear": {}, "rna-linear": {}, "cox": {}},
            "evaluation": {"shots": []},
            "expression": {"sources": {"own": {"matrix": "rna.tsv", "sample_ids": "patient"}}},
        }  # fmt: skip

    def write(self) -> Path:
        self.slides.to_csv(self.folder / "slides.tsv", sep="\t", index=False)
        self.people.to_csv(self.folder / "patients.tsv", sep="\t", index=False)
        self.rna.to_csv(self.folder / "rna.tsv", sep="\t")
        path = self.folder / "c.yaml"
        path.write_text(yaml.safe_dump(self.config | {"cohorts": {"own": self.cohort}}))
        return path


@pytest.fixture
def own(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return Own(tmp_path)


@pytest.fixture
def said(own, capsys):
    def run(status: int) -> str:
        assert check_config([own.write()]) == status, capsys.readouterr().out
        return capsys.readouterr().out

    return run


def test_a_good_cohort_ends_with_a_table_of_what_runs(own, said):
    text = said(0)
    assert "WARNING" not in text
    lines = [" ".join(line.split()) for line in text.splitlines()]
    assert "own linear uni subtyping 12" in lines
    assert "own rna-linear none survival 12" in lines
    assert "own cox uni subtyping no task of the method" in lines
    assert "median follow-up (reverse Kaplan-Meier) 3.6 months" in text


def test_the_table_says_what_will_not_run_and_why(own, said):
    del own.cohort["expression"]
    text = said(0)
    assert "own: left out cox, rna-linear: sees expression" in text
    lines = [" ".join(line.split()) for line in text.splitlines()]
    assert "own rna-linear sees expression, and the cohort names no `expression:`" in lines


def test_available_counts_the_patients_of_each_method(own, said):
    own.cohort["train_on"] = "available"
    own.rna = own.rna.drop(columns=NAMES[:3])
    lines = [" ".join(line.split()) for line in said(0).splitlines()]
    assert "own linear uni subtyping 12" in lines
    assert "own rna-linear none subtyping 9" in lines
    assert "own cox uni survival 9" in lines


def test_genes_chosen_by_labels_that_nobody_has_stop_a_run(own, said):
    own.people["label"] = ""
    own.config["protocols"] = {"honest": {"splits": "random"}}
    problem = "PROBLEM: nobody has a label, and the genes of cox, rna-linear are chosen by labels"
    assert problem in said(1)
    own.config["expression"]["selection"] = {"method": "variance"}
    assert "chosen by labels" not in said(0)
    del own.config["expression"]["selection"]
    own.config["methods"] = {"linear": {}}
    assert "chosen by labels" not in said(0)


def test_small_classes_are_named_with_their_counts(own, said):
    own.people.loc[0, "label"] = "rare"
    own.config |= {"splits": {"folds": 3}, "evaluation": {"shots": [6]}, "protocols": {"honest": {"splits": "random"}}}
    text = said(0)
    assert (
        "fewer patients than 3 folds in class rare (1): some folds will lack it; join classes under `classes:`" in text
    )
    assert "fewer patients than 6 shots in class x (5), rare (1)" in text


def test_fewer_sites_than_folds_stop_a_run(own, said):
    own.people["site"] = "only"
    assert "PROBLEM: splits site_preserved: the cohort: 1 sites for 2 folds; set splits: random" in said(1)


def test_missing_sites_stop_a_run_that_keeps_them_apart(own, said):
    own.people.loc[:3, "site"] = ""
    assert "PROBLEM: splits site_preserved: the cohort: 4 patients have no site" in said(1)


def test_folds_with_one_class_are_named(own, said):
    own.people["site"] = list("aaaaaabbbbbb")
    own.people["label"] = ["x"] * 6 + ["y"] * 6
    assert "WARNING: splits site_preserved: only class" in said(0)


@pytest.mark.parametrize(
    ("changed", "hint"),
    [
        (lambda name: name.lower(), "with one case 12 more would meet"),
        (lambda name: f"{name}_T", "with the ending '_T' of the second cut 12 more would meet"),
        (lambda name: f"Q-{name}", ""),
    ],
)
def test_ids_that_do_not_meet_are_shown_with_what_would_help(own, said, changed, hint):
    own.rna.columns = list(map(changed, NAMES))
    text = said(1)
    assert "the clinical data and the matrix: 0 names are on both sides; 12 of the clinical data alone, such as" in text
    assert "'P00', 'P01', 'P02'" in text
    assert hint in text


@pytest.mark.parametrize(
    ("ours", "theirs", "hint"),
    [
        (["TCGA.AA.0001"], ["TCGA-AA-0001"], "dashes for dots"),
        (["TCGA-AA-0001"], ["TCGA-AA-0001-01A"], "TCGA barcodes cut"),
        (["tcga.aa.0001.01"], ["TCGA-AA-0001"], "dashes for dots and underscores, one case and TCGA barcodes cut"),
        (["A 1"], ["A1"], "no spaces"),
        (["007"], ["7"], "no leading zeros"),
    ],
)
def test_what_would_make_names_meet(ours, theirs, hint):
    assert f"with {hint}" in meeting(ours, theirs, ("a", "b"))


def test_names_that_meet_say_nothing():
    assert meeting(["A", "B"], ["A", "B", "C"], ("a", "b")) == ""


def look_at(values: np.ndarray, ids: list[str] | None = None) -> ValueLook:
    look = ValueLook()
    look.read(ids or [f"g{n}" for n in range(len(values))], values.astype(np.float32))
    return look


RNG = np.random.default_rng(1)
FPKM = RNG.gamma(0.5, 40, (60, 30)) * (RNG.random((60, 30)) > 0.3)


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        (RNG.poisson(300, (60, 30)), "raw counts"),
        (FPKM, "linear values"),
        (FPKM / FPKM.sum(0) * 1e6, "parts per million (TPM)"),
        (np.log2(FPKM + 1), "log2(x + 1)"),
        (np.log2(FPKM + 0.001), "log2(x + 0.001)"),
        (RNG.standard_normal((60, 30)), "z-scores"),
        (np.full((60, 30), np.nan), "of no kind that is known"),
    ],
)
def test_units_are_recognised_by_the_values(values, kind):
    assert look_at(values).kind == kind


def test_counts_are_said_with_the_transform_that_helps(own, said):
    own.rna = (own.rna * 1000).round().astype(int)
    text = said(0)
    assert "WARNING: values of 30 genes" in text
    assert "they look like raw counts" in text
    assert "set expression.sources.own.transform: log2_cpm" in text
    own.config["expression"]["sources"]["own"]["transform"] = "log2_cpm"
    text = said(0)
    assert "they look like raw counts; expression.sources.own.transform is log2_cpm" in text
    assert "WARNING: values" not in text


def test_a_transform_of_other_values_is_said(own, said):
    own.config["expression"]["sources"]["own"]["transform"] = "log2_cpm"
    assert "WARNING: values of 30 genes" in said(0)


@pytest.mark.parametrize("transform", ["log2_cpm", "log2_plus_1"])
def test_values_below_zero_under_a_transform_are_a_problem_as_a_run_refuses_them(own, said, transform):
    own.rna = own.rna - 5
    assert "PROBLEM" not in said(0)
    own.config["expression"]["sources"]["own"]["transform"] = transform
    text = said(1)
    assert f"PROBLEM: values of 30 genes from {own.rna.to_numpy().min():g}" in text
    assert f"expression.sources.own.transform: {transform} takes values from 0 on; leave it out" in text


def test_ensembl_ids_without_a_map_are_said(own, said):
    own.rna.index = pd.Index([f"ENSG{n:011d}.{n % 5}" for n in range(30)], name="id")
    text = said(0)
    assert "30 of 30 ids are Ensembl's, such as ENSG00000000000.0" in text
    assert "expression.sources.own.probemap: {download: gencode.v23.annotation.gene.probemap}" in text
    own.config["expression"]["sources"]["own"]["probemap"] = "map.tsv"
    (own.folder / "map.tsv").write_text("id\tgene\nENSG00000000000\tTP53\nENSG00000000001.9\tKRAS\n")
    assert "Ensembl's" not in said(0)
    (own.folder / "map.tsv").write_text("id\tgene\nENST00000000000\tTP53\n")
    assert "is it a map of other ids" in said(0)


def test_a_map_may_be_named_by_its_data_set(own):
    from mirrorflow.commands.check import read_config

    own.config["expression"]["sources"]["own"]["probemap"] = {"download": "gencode.v23.annotation.gene.probemap"}
    source = read_config([own.write()])["expression"]["sources"]["own"]
    assert source["probemap"].startswith("store/downloads/gencode.v23.annotation.gene.probemap/")


def test_kinds_of_slides_are_refused_unless_declared(own, said):
    names = [f"TCGA-AA-{n:04d}" for n in range(12)]
    kinds = ["01Z-00-DX1", "01A-01-TS1", "06A-01-BS1"] + ["01Z-00-DX1"] * 9
    own.slides = pd.DataFrame(
        {"slide_id": [f"{name}-{kind}" for name, kind in zip(names, kinds, strict=True)], "patient": names}
    )
    own.people["patient"], own.rna.columns = names, names
    for slide in own.slides["slide_id"]:
        write_features(own.folder / "features" / f"{slide}.h5")
    text = said(1)
    assert "PROBLEM: slides are DX (paraffin, diagnostic) 10, TS (frozen, top section) 1, BS (frozen, bottom" in text
    assert "PROBLEM: slides are of samples 01 (primary tumour) 11, 06 (metastasis) 1" in text
    assert 'declare them: slides: {mixed: ["06"]}' in text
    own.cohort["slides"] = {"sheet": "slides.tsv", "mixed": ["TS", "BS", "06"]}
    said(0)


def test_columns_that_say_how_slides_were_made_are_counted_and_audited(own, said):
    own.slides["scanner"] = ["old" if LABELS[name] == "x" else "new" for name in NAMES]
    assert "scanner: old 6, new 6" in said(0)


@pytest.mark.parametrize(("scanners", "kinds"), [("on" * 20, ["slides_tells_label"]), ("oonn" * 10, [])])
def test_a_column_of_the_slides_that_tells_the_class_is_a_warning(tmp_path, scanners, kinds):
    names = [f"P{n:02d}" for n in range(40)]
    frame = pd.DataFrame({"patient": names, "label": list("xy" * 20), "time_days": np.nan, "event": np.nan})
    frame["slide_ids"] = [[f"s{name}"] for name in names]
    sheet = pd.DataFrame({"scan": [f"s{name}" for name in names], "case": names, "scanner": list(scanners)})
    sheet.to_csv(tmp_path / "slides.tsv", sep="\t", index=False)
    files = InputFiles(sheet=str(tmp_path / "slides.tsv"), sheet_columns={"patient": "case"})
    findings, _ = audit_inputs(files, frame, [])
    assert [one.kind for one in findings] == kinds
    assert [one.examples for one in findings] == [("scanner",)] * len(kinds)


def test_follow_up_is_the_median_of_the_censoring():
    # deaths at 1 and 2 leave four in follow-up, which ends at 10, 20, 30, 40
    times, events = np.array([1, 2, 10, 20, 30, 40.0]), np.array([1, 1, 0, 0, 0, 0], bool)
    assert median_follow_up(times, events) == 20
    assert np.isnan(median_follow_up(np.array([1.0, 2.0]), np.array([True, True])))


def test_a_half_on_paper_is_the_median_follow_up_whatever_rounding_makes_of_it():
    """The running product is 0.5000000000000001 for 24 patients: the 13th time was said, or none."""
    days = np.arange(1.0, 25)
    assert median_follow_up(days, np.zeros(24, bool)) == 12
    assert median_follow_up(days, days > 12) == 12
    for patients in range(2, 300, 2):
        assert median_follow_up(np.arange(1.0, patients + 1), np.zeros(patients, bool)) == patients / 2


def test_follow_up_is_told_by_site():
    frame = pd.DataFrame({"time_days": [304.375] * 5 + [608.75] * 5, "event": 0.0, "site": ["a"] * 5 + ["b"] * 5})
    assert follow_up_line(frame).endswith("10.0 months; by site: a 10.0 (5), b 20.0 (5)")


@pytest.mark.parametrize(
    ("key", "change"),
    [
        ("cohorts.own.census", lambda own: own.cohort.update(census="nowhere.csv")),
        ("cohorts.own.splits.mine", lambda own: own.cohort.update(splits={"mine": "nowhere.csv"})),
        ("expression.selection.gene_sets",
         lambda own: own.config["expression"].update(selection={"gene_sets": "nowhere.csv"})),
        ("methods.concat-linear.selection.gene_sets", lambda own: own.config.update(
            methods={"concat-linear": {"selection": {"method": "families", "gene_sets": "nowhere.csv"}}})),
        ("explain.genes.gene_sets",
         lambda own: own.config.update(explain={"genes": {"gene_sets": "nowhere.csv"}})),
        ("features.encoders.own.weights", lambda own: (
            own.cohort.update(encoders=["own"], features={}),
            own.config.update(features={"encoders": {"own": {"model": "resnet50", "weights": "nowhere.csv"}}}),
        )),
    ],
)  # fmt: skip
def test_files_that_are_not_there_are_named_by_their_key(own, said, key, change):
    change(own)
    assert f"PROBLEM: {key}: nowhere.csv is not there" in said(1)


def test_files_of_new_patients_that_are_not_there_are_named_by_their_key(own, said):
    own.config["new_patients"] = {"spring": {"slides": "slides.tsv", "features": "features", "sheet": "patients.tsv"}}
    assert "new_patients.spring" not in said(0)
    own.config["new_patients"]["spring"] |= {"expression": "later.tsv", "sheet": "people.csv"}
    text = said(1)
    for key, path in (("expression", "later.tsv"), ("sheet", "people.csv")):
        assert f"PROBLEM: new_patients.spring.{key}: {path} is not there; correct the path" in text
    assert "new_patients.spring.slides" not in text


def test_features_that_are_not_finite_are_named(own, said):
    write_features(own.folder / "features" / "sP00.h5", value=np.nan)
    text = said(0)
    assert "WARNING: 1 of 12 feature files would be left out: features/sP00.h5: features hold NaN or infinity" in text
    assert "11 with slides and expression" in text
    for name in NAMES:
        write_features(own.folder / "features" / f"s{name}.h5", value=np.inf)
    assert "PROBLEM: 12 of 12 feature files would be left out" in said(1)


def test_drawn_rows_of_a_long_file_are_looked_at(tmp_path):
    values = np.zeros((1000, 3), np.float32)
    values[500:] = np.nan
    for name, options in (("plain", {}), ("packed", {"compression": "gzip", "chunks": (100, 3)})):
        with h5py.File(tmp_path / f"{name}.h5", "w") as file:
            file.create_dataset("features", data=values, **options)
        with pytest.raises(InputError, match="NaN or infinity"):
            look_into(tmp_path / f"{name}.h5", 1)


def test_many_files_are_looked_into_on_all_cores_with_the_same_findings(tmp_path, monkeypatch):
    names = [f"s{n:02d}" for n in range(11)]
    for n, name in enumerate(names):
        write_features(tmp_path / f"{name}.h5", width=5 + (n == 4), value=np.nan if n in (2, 9) else 0.5)
    (tmp_path / "s07.h5").write_bytes(b"no h5")
    alone = features.look_into_files(tmp_path, [*names, "not there"])
    monkeypatch.setattr(features, "A_CALL", 3)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 1})
    assert features.look_into_files(tmp_path, names) == alone
    assert list(alone.bad) == ["s02", "s07", "s09"]
    assert (alone.count, alone.widths) == (11, {5: 7, 6: 1})


def test_features_of_two_encoders_in_a_folder_stop_a_run(own, said):
    write_features(own.folder / "features" / "sP00.h5", width=7)
    assert "PROBLEM: feature files in features are of several encoders: 4 values (11 files), 7 values (1 " in said(1)


def test_a_store_of_other_settings_names_what_to_delete(own, said):
    own.cohort |= {"encoders": ["r"], "features": {}}
    own.slides["path"] = "none.svs"
    own.config["features"] = {"encoders": {"r": {"model": "resnet50", "weights": "random"}}}
    plan = own.folder / "store/slides/own/256px-20x/plan.json"
    plan.parent.mkdir(parents=True)
    plan.write_text('{"patch": {"size_px": 1}}')
    text = said(1)
    assert "PROBLEM: store/slides/own/256px-20x/plan.json" in text
    assert "To make all of it again delete store/slides/own/256px-20x" in text


def convert(folder: Path, frame: pd.DataFrame, transform: str) -> pd.DataFrame:
    frame.rename_axis("id").to_csv(folder / "m.tsv", sep="\t")
    settings = {"orientation": "genes_by_samples", "sample_ids": "patient", "transform": transform}
    convert_expression(folder / "m.tsv", folder / "out.parquet", settings)
    found = read_expression(folder / "out.parquet")
    return pd.DataFrame(found.values.T, found.ids, found.patients)


def test_counts_become_log2_of_parts_per_million_where_it_is_said(tmp_path):
    counts = pd.DataFrame({"A": [100, 300, 600], "B": [0, 5, 5]}, ["g1", "g2", "g3"])
    with_rest = pd.concat([counts, pd.DataFrame({"A": [99], "B": [99]}, ["__no_feature"])])
    found = convert(tmp_path, with_rest, "log2_cpm")
    expected = np.log2(counts / counts.sum() * 1e6 + 1)
    np.testing.assert_allclose(found.loc[expected.index], expected, rtol=1e-6)


def test_linear_values_become_log2_of_one_more(tmp_path):
    values = pd.DataFrame({"A": [0, 3.0], "B": [7, np.nan]}, ["g1", "g2"])
    np.testing.assert_allclose(convert(tmp_path, values, "log2_plus_1"), [[0, 3], [2, np.nan]])


def test_a_transform_refuses_values_below_zero(tmp_path):
    with pytest.raises(InputError, match=r"gene 'g2' holds -1, and transform: log2_cpm takes values from 0 on"):
        convert(tmp_path, pd.DataFrame({"A": [1, -1.0]}, ["g1", "g2"]), "log2_cpm")


def test_feature_files_of_other_names_are_shown_with_what_would_help(own, said):
    for path in (own.folder / "features").glob("*.h5"):
        path.rename(path.with_name(path.name.upper().replace(".H5", ".h5")))
    text = said(1)
    assert "PROBLEM: none of the 12 feature files" in text
    assert "the sheet of slides and the feature files: 0 names are on both sides" in text
    assert "with one case 12 more would meet" in text


def test_given_folds_with_one_class_and_other_names_are_said(own, said):
    own.cohort["splits"] = {"mine": "folds"}
    own.config["protocols"] = {"honest": {"splits": "mine"}}
    (own.folder / "folds").mkdir()
    for number in (0, 1):
        sides = [NAMES[number::2], NAMES[1 - number :: 2]]
        pd.DataFrame(dict(zip(("train", "val"), sides, strict=True))).to_csv(own.folder / f"folds/splits_{number}.csv")
    assert "WARNING: splits mine: only class x is trained on in fold 0" in said(0)
    pd.DataFrame({"train": ["q00"], "val": ["p01"]}).to_csv(own.folder / "folds/splits_0.csv")
    pd.DataFrame({"train": ["p01"], "val": ["p02"]}).to_csv(own.folder / "folds/splits_1.csv")
    text = said(1)
    assert "PROBLEM: splits mine: 2 folds name 3 patients, 0 of them known" in text
    assert "with one case 2 more would meet" in text


def test_a_gene_that_tells_the_label_is_a_problem_whatever_its_name(own, said):
    own.people = own.people.rename(columns={"label": "LUMINAL"})
    own.cohort["clinical"]["columns"] = {"label": "LUMINAL"}
    own.rna.loc["LUMINAL"] = [3.0 if LABELS[name] == "x" else 1.0 for name in NAMES]
    text = said(1)
    assert "PROBLEM: rna.tsv: 'LUMINAL' (label) among the genes" in text
    assert "take it out of the matrix" in text


def test_a_gene_that_shares_its_name_with_a_column_of_the_sheet_is_a_gene(own, said):
    own.people = own.people.rename(columns={"label": "TP53"}).assign(KRAS=[0, 1, 1] * 4)
    own.cohort["clinical"]["columns"] = {"label": "TP53"}
    own.rna = own.rna.rename({"g0": "TP53", "g1": "KRAS"})
    text = said(0)
    assert "among the genes" not in text


def test_a_further_column_among_the_genes_is_a_warning(own, said):
    own.people["PSA"] = [n % 7 + 0.25 for n in range(12)]
    own.rna.loc["PSA"] = np.log2(own.people["PSA"].to_numpy() + 1)
    assert "WARNING: rna.tsv: 'PSA' among the genes: the clinical data has the same column" in said(0)


def test_a_folder_of_another_tool_is_said_with_the_command_that_brings_it_in(own, said):
    (own.folder / "clam" / "pt_files").mkdir(parents=True)
    own.cohort["features"] = {"uni": "clam"}
    text = said(1)
    assert "PROBLEM: none of the 12 feature files in clam; missing e.g. sP00, sP01, sP02; clam has the layout" in text
    assert "mirrorflow import-features clam --out FOLDER" in text
