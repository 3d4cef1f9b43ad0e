"""A tiny cohort on disk, read back with the libraries a stranger would use."""

import gzip
import shutil
import socket

import cv2
import numpy as np
import openslide
import pandas as pd
import pytest

from mirrorflow.demo.cohort import simulate_cohort
from mirrorflow.errors import SettingsMismatchError

TINY = {
    "patients": 24,
    "slide_width_um": 900,
    "slide_height_um": 700,
    "transcripts": 300,
    "site_count": 4,
    "pen_fraction": 0.0,
}
SMALLEST = {"patients": 12, "slide_width_um": 600, "slide_height_um": 500, "transcripts": 100, "site_count": 2}


@pytest.fixture(scope="module")
def cohort(tmp_path_factory):
    folder = tmp_path_factory.mktemp("cohort")
    simulate_cohort(folder, TINY, workers=2)
    return folder


@pytest.fixture(scope="module")
def smallest(tmp_path_factory):
    folder = tmp_path_factory.mktemp("smallest")
    simulate_cohort(folder, SMALLEST)
    return folder


def read(path):
    return pd.read_csv(path, sep="\t", keep_default_na=True)


def contents(folder):
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def dates(folder):
    return {str(p.relative_to(folder)): p.stat().st_mtime_ns for p in folder.rglob("*") if p.is_file()}


def fault(cohort, note):
    truth = read(cohort / "truth.tsv").fillna({"note": ""})
    return list(truth.loc[truth["note"] == note, "patient"])


def test_slides_open_as_aperio_with_levels_scale_and_objective(cohort):
    sheet = read(cohort / "slides.tsv")
    assert list(sheet) == ["slide_id", "patient", "path", "mpp"]
    bad = {*fault(cohort, "corrupt_slide")}
    objectives = set()
    for row in sheet.itertuples():
        if row.patient in bad and row.slide_id.endswith("DX2"):
            continue
        with openslide.OpenSlide(cohort / row.path) as slide:
            assert slide.properties["openslide.vendor"] == "aperio"
            assert slide.level_count == 3
            assert slide.level_downsamples == pytest.approx((1, 4, 16), rel=0.01)
            mpp = float(slide.properties["openslide.mpp-x"])
            objective = int(slide.properties["openslide.objective-power"])
            assert mpp == pytest.approx(10 / objective, rel=0.02)
            assert slide.dimensions == (round(900 / mpp), round(700 / mpp))
            objectives.add(objective)
    assert objectives == {20, 40}


def test_levels_show_the_same_picture(cohort):
    with openslide.OpenSlide(cohort / read(cohort / "slides.tsv")["path"][0]) as slide:
        means = [
            np.asarray(slide.read_region((0, 0), level, slide.level_dimensions[level]).convert("RGB")).mean((0, 1))
            for level in range(3)
        ]
    assert np.ptp(means, axis=0).max() < 2
    assert np.mean(means) > 200


def test_corrupt_slide_fails_in_openslide_and_its_patient_has_another(cohort):
    (patient,) = fault(cohort, "corrupt_slide")
    slides = read(cohort / "slides.tsv").set_index("patient").loc[patient]
    first, second = (cohort / path for path in slides["path"])
    openslide.OpenSlide(first).close()
    assert second.stat().st_size > 1000
    with pytest.raises(openslide.OpenSlideError):
        openslide.OpenSlide(second)


def test_empty_slide_has_no_tissue_and_is_its_patients_only_one(cohort):
    (patient,) = fault(cohort, "empty_slide")
    (path,) = read(cohort / "slides.tsv").set_index("patient").loc[[patient], "path"]
    with openslide.OpenSlide(cohort / path) as slide:
        assert not tissue(slide)[1].any()


def tissue(slide):
    image = np.asarray(slide.read_region((0, 0), 1, slide.level_dimensions[1]).convert("RGB"))
    return image, image.max(axis=2).astype(int) - image.min(axis=2) > 25


def test_otsu_on_saturation_separates_tissue_from_glass(cohort):
    with openslide.OpenSlide(cohort / read(cohort / "slides.tsv")["path"][0]) as slide:
        image, expected = tissue(slide)
    saturation = cv2.medianBlur(cv2.cvtColor(image, cv2.COLOR_RGB2HSV)[..., 1], 7)
    _, found = cv2.threshold(saturation, 0, 1, cv2.THRESH_OTSU)
    overlap = (found.astype(bool) & expected).sum() / (found.astype(bool) | expected).sum()
    assert overlap > 0.85


def test_slide_factors_are_seen_in_simple_statistics(cohort):
    sheet, truth = read(cohort / "slides.tsv"), read(cohort / "truth.tsv").set_index("patient")
    faulty = {*fault(cohort, "corrupt_slide"), *fault(cohort, "empty_slide")}
    rows = []
    for row in sheet[~sheet["patient"].isin(faulty)].itertuples():
        with openslide.OpenSlide(cohort / row.path) as slide:
            image, mask = tissue(slide)
        red, blue = image[..., 0][mask].astype(float), image[..., 2][mask].astype(float)
        nuclei = red < 150
        rows.append((row.patient, nuclei.mean(), (blue - red)[~nuclei].mean(), (blue - red)[~nuclei].std()))
    seen = pd.DataFrame(rows).groupby(0).mean()
    design = np.column_stack([np.ones(len(seen)), seen.to_numpy()])
    for factor in ("shared", "slide_only"):
        target = truth.loc[seen.index, factor].to_numpy()
        fitted = design @ np.linalg.lstsq(design, target, rcond=None)[0]
        assert np.corrcoef(fitted, target)[0, 1] > 0.75
    target = truth.loc[seen.index, "rna_only"].to_numpy()
    fitted = design @ np.linalg.lstsq(design, target, rcond=None)[0]
    assert np.corrcoef(fitted, target)[0, 1] < 0.75


def test_xena_tables_parse_and_speak_of_the_same_samples(cohort):
    expression = read(cohort / "rna/isoform_fpkm.tsv.gz")
    probe_map = read(cohort / "rna/transcript.probemap")
    survival, matrix = read(cohort / "clinical/survival.tsv"), read(cohort / "clinical/clinical_matrix.tsv")
    assert expression.columns[0] == "sample"
    assert list(probe_map) == ["id", "gene", "chrom", "chromStart", "chromEnd", "strand"]
    assert list(expression["sample"]) == list(probe_map["id"])
    assert expression.drop(columns="sample").dtypes.eq(float).all()
    assert set(expression.columns[1:]) <= set(survival["sample"])
    assert set(survival["sample"]) == set(matrix["sampleID"])
    assert {"OS", "OS.time", "DSS", "DSS.time"} <= set(survival)
    with gzip.open(cohort / "rna/isoform_fpkm.tsv.gz", "rt") as stream:
        assert stream.readline().startswith("sample\tDEMO-")


def test_gaps_are_where_the_truth_says(cohort):
    survival = read(cohort / "clinical/survival.tsv").drop_duplicates("_PATIENT").set_index("_PATIENT")
    matrix = read(cohort / "clinical/clinical_matrix.tsv").drop_duplicates("_PATIENT").set_index("_PATIENT")
    samples = pd.read_csv(cohort / "rna/isoform_fpkm.tsv.gz", sep="\t", nrows=1).columns[1:]
    assert sorted(survival.index[survival["OS"].isna()]) == sorted(fault(cohort, "no_outcome"))
    assert sorted(matrix.index[matrix["histological_type"].isna()]) == sorted(fault(cohort, "no_subtype"))
    without_rna = set(read(cohort / "truth.tsv")["patient"]) - set(samples.str[:12])
    assert without_rna == set(fault(cohort, "no_rna"))
    assert len(without_rna) == len(fault(cohort, "no_outcome")) == 2
    with_slides = set(read(cohort / "slides.tsv")["patient"])
    assert set(samples.str[:12]) - with_slides == set(fault(cohort, "no_slide"))


def test_outcomes_and_subtypes_are_the_planted_ones(cohort):
    truth = read(cohort / "truth.tsv").set_index("patient")
    survival = read(cohort / "clinical/survival.tsv").dropna(subset="OS").set_index("_PATIENT")
    assert (survival["OS.time"] == truth.loc[survival.index, "time_days"]).all()
    assert (survival["OS"] == truth.loc[survival.index, "event"]).all()
    assert (survival["PFI.time"] <= survival["OS.time"]).all()
    matrix = read(cohort / "clinical/clinical_matrix.tsv").dropna(subset="histological_type")
    planted = truth.loc[matrix["_PATIENT"], "subtype"].str.title() + " Carcinoma"
    assert list(matrix["histological_type"]) == list(planted)


def test_readme_names_the_signal_and_every_faulty_slide(cohort):
    text = (cohort / "README.md").read_text()
    for named in ("shared", "slide_only", "rna_only", "log hazard"):
        assert named in text
    for note in ("corrupt_slide", "empty_slide", "no_rna", "no_outcome", "no_subtype"):
        assert all(patient in text for patient in fault(cohort, note))


def test_any_number_of_workers_gives_the_same_bytes(smallest, tmp_path):
    simulate_cohort(tmp_path, SMALLEST, workers=2)
    assert contents(tmp_path) == contents(smallest)


def test_a_second_run_makes_only_what_is_missing_or_broken(smallest, tmp_path):
    shutil.copytree(smallest, tmp_path, dirs_exist_ok=True)
    paths = sorted((tmp_path / "slides").glob("*DX1.svs"))
    gone, cut = paths[0], paths[1]
    wanted = contents(tmp_path)
    gone.unlink()
    cut.write_bytes(cut.read_bytes()[:5000])
    (tmp_path / f"slides/.tmp-999999999@{socket.gethostname()}@left.svs").write_bytes(b"half")
    before = dates(tmp_path)
    simulate_cohort(tmp_path, SMALLEST)
    after = dates(tmp_path)
    assert contents(tmp_path) == wanted
    changed = {name for name, date in after.items() if before.get(name) != date}
    assert changed == {f"slides/{gone.name}", f"slides/{cut.name}"}


def test_other_settings_are_refused_by_name_and_nothing_is_touched(smallest):
    before = dates(smallest)
    with pytest.raises(SettingsMismatchError, match="seed: made with 7, this run wants 8"):
        simulate_cohort(smallest, SMALLEST | {"seed": 8})
    assert dates(smallest) == before


def test_a_failing_slide_stops_the_run_and_leaves_no_half_file(tmp_path, monkeypatch):
    def fail(path, image, **_):
        path.write_bytes(b"half")
        message = "disk broke"
        raise OSError(message)

    monkeypatch.setattr("mirrorflow.demo.cohort.write_svs", fail)
    with pytest.raises(OSError, match="disk broke"):
        simulate_cohort(tmp_path, SMALLEST)
    assert list((tmp_path / "slides").iterdir()) == []
