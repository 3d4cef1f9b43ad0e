"""The page on one's own cohort with real inputs: slides exported from a scanner's file, a hospital's sheet as a German
Excel exports it, a featureCounts table; from nothing to the report.
"""

import copy
from pathlib import Path

import numpy as np
import openslide
import pandas as pd
import pytest
import tifffile
import yaml
from PIL import Image

import mirrorflow
from mirrorflow.cli import main
from runner import succeed
from slide_factory import REAL_SLIDE

pytestmark = [
    pytest.mark.workflow,
    pytest.mark.slow,
    pytest.mark.skipif(not REAL_SLIDE.exists(), reason="../shared/slides is not there"),
]
GRID = (2, 4)
"""The slide is cut into so many columns and rows of pieces, one a patient."""
PATIENTS = [f"Müller-{n}" for n in range(GRID[0] * GRID[1])]
FINER = (2, 6)
WITH_TISSUE = [3, 5, 8, 6, 7, 9]
"""Pieces of the finer grid that are not all glass, beside those of the patients held back."""
HELD_BACK = [10, 11]
"""Patients who come when the run is finished."""
MPP = 0.499
GENES = 40


def cut(folder: Path, grid: tuple[int, int] = GRID) -> list[str]:
    """Pieces of the real slide, exported in turn as OME-TIFF, BigTIFF and JPEG; their file names."""
    columns, rows = grid
    with openslide.OpenSlide(str(REAL_SLIDE)) as slide:
        width, height = slide.dimensions[0] // columns, slide.dimensions[1] // rows
        pieces = [
            np.asarray(slide.read_region((column * width, row * height), 0, (width, height)).convert("RGB"))
            for row in range(rows)
            for column in range(columns)
        ]
    names = []
    for number, piece in enumerate(pieces):
        name = f"export{number}" + (".ome.tif", ".tif", ".jpg")[number % 3]
        names.append(name)
        if name.endswith(".jpg"):
            Image.fromarray(piece).save(folder / name, quality=95)
        elif name.endswith(".ome.tif"):
            scale = {"PhysicalSizeX": MPP, "PhysicalSizeY": MPP, "PhysicalSizeXUnit": "µm", "PhysicalSizeYUnit": "µm"}
            metadata = {"axes": "YXS", **scale}
            tifffile.imwrite(folder / name, piece, ome=True, photometric="rgb", tile=(256, 256), metadata=metadata)
        else:
            tifffile.imwrite(folder / name, piece, bigtiff=True, photometric="rgb", tile=(256, 256))
    return names


def sheet_of_slides(path: Path, slides: dict[int, str], header: str) -> None:
    lines = [header]
    lines += [f"S{n};Müller-{n};{name};{str(MPP).replace('.', ',')}" for n, name in slides.items()]
    path.write_bytes("\r\n".join(lines).encode("cp1252"))


def sheets(folder: Path, slides: dict[int, str]) -> None:
    """Sheets of slides and patients with semicolons, decimal commas, dates, yes and no, in Windows-1252."""
    sheet_of_slides(folder / "schnitte.csv", slides, "Schnitt;Fall;Datei;mpp")
    lines = ["Fall;Entität;Diagnose;Zuletzt;Verstorben;Alter;Standort"]
    for n in slides:
        kind, died = "AC" if n % 2 else "SCC", "yes" if n % 4 < 2 else "no"
        seen = f"{n + 10:02d}.03.2019;{n + 11:02d}.0{n % 3 + 4}.2021;{died}"
        lines.append(f"Müller-{n};{kind};{seen};{60 + n},5;A")
    (folder / "faelle.csv").write_bytes("\r\n".join(lines).encode("cp1252"))


def counts(folder: Path, patients: list[int]) -> None:
    """featureCounts' table: a line of its command, annotation columns, Ensembl ids with versions."""
    ids = [f"ENSG{n:011d}.{n % 7 + 1}" for n in range(GENES)]
    table = pd.DataFrame({"Geneid": ids, "Chr": "chr1", "Start": 1, "End": 900, "Strand": "+", "Length": 900})
    for n in patients:
        rng = np.random.default_rng(n)
        table[f"Müller-{n}"] = rng.poisson(rng.gamma(1.0, 200.0, GENES))
    text = table.to_csv(sep="\t", index=False)
    (folder / "counts.txt").write_text("# Program:featureCounts v2.0.3; Command:featureCounts -a g.gtf\n" + text)
    symbols = "".join(f"{name.partition('.')[0]}\tGENE{n}\n" for n, name in enumerate(ids))
    (folder / "map.tsv").write_text("id\tgene\n" + symbols)


CONFIG = {
    "run": "hospital",
    "cohorts": {
        "hospital": {
            "slides": {"sheet": "schnitte.csv", "columns": {"slide_id": "Schnitt", "patient": "Fall", "path": "Datei"}},
            "clinical": {
                "sheet": "faelle.csv",
                "columns": {
                    "patient": "Fall", "label": "Entität", "start": "Diagnose", "end": "Zuletzt",
                    "event": "Verstorben", "site": "Standort",
                },
            },
            "classes": {"AC": "ac", "SCC": "scc"},
            "site": "column",
            "expression": "counts",
            "encoders": ["small-random"],
        }
    },
    "features": {"encoders": {"small-random": {"model": "timm/resnet10t", "weights": "random", "image_size": 64}}},
    "expression": {
        "sources": {"counts": {"matrix": "counts.txt", "sample_ids": "patient", "probemap": "map.tsv"}},
        "selection": {"method": "variance", "n_genes": 10, "census": False},
    },
    "splits": {"folds": 2},
    "protocols": {"honest": {"splits": "random", "epoch": "last"}},
    "methods": {
        "majority": {}, "clinical": {"columns": ["Alter"]}, "linear": {}, "rna-linear": {},
        "abmil": {"train": {"epochs": 2, "batch_size": 4, "tokens": 8, "min_steps": 0}, "network": {"width": 16}},
    },
    "evaluation": {"shots": [], "bootstrap": 20, "reference": "majority"},
}  # fmt: skip


def checked(path: Path, capsys: pytest.CaptureFixture[str]) -> tuple[int, str]:
    status = main(["check", "--configfile", str(path)])
    return status, capsys.readouterr().out


@pytest.mark.timeout(600)
def test_a_hospitals_export_runs_from_nothing_to_the_report(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    sheets(tmp_path, dict(enumerate(cut(tmp_path))))
    counts(tmp_path, list(range(len(PATIENTS))))
    config = tmp_path / "hospital.yaml"
    config.write_text(yaml.safe_dump(CONFIG, allow_unicode=True))
    status, said = checked(config, capsys)
    assert status == 0, said
    assert "WARNING: values of 40 genes" in said
    assert "set expression.sources.counts.transform: log2_cpm" in said
    config.write_text(config.read_text().replace("matrix: counts.txt", "matrix: counts.txt\n      transform: log2_cpm"))
    status, said = checked(config, capsys)
    assert status == 0, said
    assert "WARNING: values" not in said
    for line in (
        "faelle.csv: read as Windows-1252",
        "faelle.csv: separated by semicolons",
        "Diagnose to Zuletzt: 8 times as days between dates, days before months",
        "event: 8 words read: yes as 1 (4), no as 0 (4)",
        "Alter: 8 decimal commas read as points",
        "schnitte.csv: mpp: 8 decimal commas read as points",
    ):
        assert line in said
    succeed(tmp_path, config)
    results = pd.read_csv(tmp_path / "results/hospital/tables/results.csv")
    assert set(results["method"]) >= {"majority", "clinical", "linear", "rna-linear", "abmil"}
    assert set(results["task"]) == {"subtyping", "survival"}
    ledger = pd.read_csv(tmp_path / "store/slides/hospital/256px-20x/ledger.tsv", sep="\t")
    # the slide's upper left corner is glass
    assert ledger.set_index("slide_id")["status"].to_dict() == {"S0": "no_tissue"} | {
        f"S{n}": "ok" for n in range(1, 8)
    }
    cohort = pd.read_parquet(tmp_path / "results/hospital/cohort/hospital.parquet").set_index("patient")
    assert cohort.loc["Müller-1", ["time_days", "event", "Alter"]].tolist() == [793.0, 1.0, "61.5"]
    page = (tmp_path / "results/hospital/report.html").read_text(encoding="utf-8")
    assert "days between dates, days before months" in page
    assert "schnitte.csv: separated by semicolons; schnitte.csv: mpp: 8 decimal commas read as points" in page
    stored = pd.read_parquet(tmp_path / "store/expression/counts/hospital.parquet")
    assert stored["gene"].tolist()[:2] == ["GENE0", "GENE1"]
    assert stored[PATIENTS[0]].between(0, 20).all()


def finished(
    folder: Path, patients: list[int], grid: tuple[int, int], folds: list[tuple[list[int], list[int]]]
) -> Path:
    """The run of these patients on given folds (training, evaluation), in a folder of its own: its results."""
    folder.mkdir()
    names = cut(folder, grid)
    sheets(folder, {n: names[n] for n in patients})
    counts(folder, patients)
    (folder / "folds").mkdir()
    for number, (train, held) in enumerate(folds):
        columns = {"train": pd.Series(train), "val": pd.Series(held)}
        split = pd.DataFrame({key: "Müller-" + one.astype(str) for key, one in columns.items()})
        split.to_csv(folder / f"folds/splits_{number}.csv")
    config = copy.deepcopy(CONFIG)
    config["cohorts"]["hospital"]["splits"] = {"given": "folds"}
    config["protocols"]["honest"]["splits"] = "given"
    config["expression"]["sources"]["counts"]["transform"] = "log2_cpm"
    path = folder / "hospital.yaml"
    path.write_text(yaml.safe_dump(config, allow_unicode=True))
    succeed(folder, path)
    return folder / "results/hospital"


@pytest.mark.timeout(600)
@pytest.mark.usefixtures("threads_of_a_small_job")
def test_patients_held_back_get_what_a_run_that_had_them_says(tmp_path: Path) -> None:
    """Two patients come with slides, counts and a sheet after the run: fold 0's models say of them, to 1e-6, what the
    same models say in a second run whose fold 0 evaluates them.
    """
    before, (one, two) = WITH_TISSUE, (WITH_TISSUE[:3], WITH_TISSUE[3:])
    run = finished(tmp_path / "before", before, FINER, [(one, two), (two, one)])
    other = finished(tmp_path / "with", before + HELD_BACK, FINER, [(one, two + HELD_BACK), (two, one)])
    new = tmp_path / "new"
    new.mkdir()
    names = cut(new, FINER)
    sheet_of_slides(new / "slides.csv", {n: names[n] for n in HELD_BACK}, "slide_id;patient;path;mpp")
    counts(new, HELD_BACK)
    ages = ["patient;Alter", *(f"Müller-{n};{60 + n},5" for n in HELD_BACK)]
    (new / "ages.csv").write_bytes("\r\n".join(ages).encode("cp1252"))
    given = ["--slides", new / "slides.csv", "--expression", new / "counts.txt", "--sheet", new / "ages.csv"]
    assert main(["predict", str(run), "--out", str(new / "out"), *map(str, given)]) == 0
    compared = set()
    for task in ("subtyping", "survival"):
        said = pd.read_csv(new / f"out/{task}_folds.tsv", sep="\t").query("fold == 0")
        stored = mirrorflow.load_run(other).predictions(task).query("fold == 0 and setting == 'all'")
        for method, rows in stored.groupby("method"):
            theirs = rows.set_index("patient")
            mine = said[said["method"] == method].set_index("patient").loc[[f"Müller-{n}" for n in HELD_BACK]]
            if task == "subtyping":
                columns = ["prob_ac", "prob_scc"]
                np.testing.assert_allclose(mine[columns], theirs.loc[mine.index, columns], atol=1e-6, rtol=0)
            else:
                beside = theirs["risk"].drop(mine.index).to_numpy()
                risk = theirs.loc[mine.index, "risk"].to_numpy()[:, None]
                rank = 100 * ((beside < risk).mean(axis=1) + (beside == risk).mean(axis=1) / 2)
                np.testing.assert_allclose(mine["risk_percentile"], rank, atol=1e-6)
            compared.add((task, method))
    methods = ("clinical", "linear", "rna-linear", "abmil")
    assert compared >= {(task, name) for task in ("subtyping", "survival") for name in methods}
    left_out = pd.read_csv(new / "out/left_out.tsv", sep="\t")
    assert left_out.empty, left_out.to_string()
