"""Sites that tell outcome, follow-up or class beyond permutation; real cohorts on MIRROR's published folds."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from mirrorflow.audit.chance import Chance, against_chance
from mirrorflow.audit.findings import WARNING
from mirrorflow.audit.sites import (
    CLASS,
    OUTCOME,
    audit_sites,
    censoring_by_site,
    class_by_site,
    lacking_sites,
    ranking_by_site,
    sites_lines,
)
from mirrorflow.cohorts.folds import random_folds, site_preserved_folds
from mirrorflow.cohorts.patients import barcode_sites, has_outcome
from mirrorflow.cohorts.splits import Fold
from mirrorflow.store.tables import read_folds, read_text_sheet
from site_cohort import cohort, mean_c

SHARED = Path(__file__).parents[2].parent / "shared" / "tcga"


def kinds(frame: pd.DataFrame, folds: list[Fold]) -> list[str]:
    found = audit_sites(frame, folds)
    assert {finding.level for finding in found} <= {WARNING}
    return [finding.kind for finding in found]


def test_a_planted_site_effect_is_a_warning_where_folds_mix_sites_and_nowhere_else():
    planted = cohort(250, 12, effect=1.0)
    (finding,) = audit_sites(planted, random_folds(planted, 5, 0), site_kind="institutions")
    assert finding.kind == OUTCOME
    assert finding.text.startswith("the event rate of a patient's institution alone")
    assert "largest of 199 permutations 0." in finding.text
    assert "p = 0.005" in finding.text
    assert audit_sites(planted, site_preserved_folds(planted, 5, 0)) == []
    assert kinds(cohort(250), random_folds(cohort(250), 5, 0)) == []


def test_its_c_index_is_that_of_the_method():
    planted = cohort(150, 8, effect=1.0)
    folds = random_folds(planted, 3, 0)
    assert ranking_by_site(planted, folds, permutations=0).value == pytest.approx(mean_c(planted, folds), abs=1e-12)


def test_permutations_are_the_same_each_time_and_count_themselves():
    values = np.array([9.0, 1, 2, 3])
    one, two = (against_chance(lambda order: float(values[order[0]]), 4, permutations=19, seed=1) for _ in range(2))
    assert one == two
    assert one.largest == 9
    assert one.p == (1 + one.p * 20 - 1) / 20 > 0.05
    assert not one.beyond
    assert against_chance(lambda order: float((order == np.arange(9)).all()), 9).p == 1 / 200
    assert not against_chance(lambda _: float("nan"), 4).beyond
    assert Chance(0.6, 0.55, 0.005, 199).words() == "largest of 199 permutations 0.550, p = 0.005"


def test_follow_up_by_site_is_told_with_what_it_does_to_censoring_weights():
    frame = cohort(300, 6)
    late = frame["site"].isin(["S00", "S01"])
    gone = np.random.default_rng(3).exponential(np.where(late, 3000, 150))
    frame["event"] = np.where(gone < frame["time_days"], 0.0, frame["event"])
    frame["time_days"] = np.minimum(frame["time_days"], gone) + 1
    for folds in (random_folds(frame, 5, 0), site_preserved_folds(frame, 3, 0)):  # whatever the folds
        texts = [one.text for one in audit_sites(frame, folds) if "followed" in one.text]
        assert len(texts) == 1
        assert "inverse-probability-of-censoring weights (Uno's C, Brier score" in texts[0]
        assert "years; log-rank statistic of censoring" in texts[0]
    assert not censoring_by_site(cohort(300, 6)).beyond


def test_a_log_rank_statistic_is_counted_as_by_hand():
    frame = pd.DataFrame({"site": ["x", "x", "y", "y"], "time_days": [1.0, 3, 2, 4], "event": [0.0, 1, 0, 0]})
    # censored at 1 of 4, at 2 of 3, at 4 of 1: hazards 1/4, 7/12, 7/12, 19/12
    expected = {"x": 1 / 4 + 7 / 12, "y": 7 / 12 + 19 / 12}
    wanted = (1 - expected["x"]) ** 2 / expected["x"] + (2 - expected["y"]) ** 2 / expected["y"]
    assert censoring_by_site(frame).value == pytest.approx(wanted)


def test_sites_that_tell_the_class_somewhat_are_a_warning_on_folds_that_mix_them():
    frame = cohort(300, 6)
    rng = np.random.default_rng(1)
    share = frame["site"].map({f"S{number:02d}": 0.15 + 0.14 * number for number in range(6)})
    frame["label"] = np.where(rng.random(300) < share, "a", "b")
    (finding,) = audit_sites(frame, random_folds(frame, 5, 0))
    assert finding.kind == CLASS
    assert "AUROC 0." in finding.text
    assert kinds(frame, site_preserved_folds(frame, 3, 0)) == []


def test_auroc_by_site_is_scikit_learns():
    from sklearn.metrics import roc_auc_score

    frame = cohort(80, 5)
    fold = Fold(tuple(frame["patient"][:50]), tuple(frame["patient"][50:]))
    train, evaluated = frame[:50], frame[50:]
    counts = train.groupby("site")["label"].agg(lambda labels: (labels == "a").sum())
    shares = (counts + 10 * (train["label"] == "a").mean()) / (train["site"].value_counts() + 10)
    wanted = roc_auc_score(evaluated["label"] == "a", evaluated["site"].map(shares))
    assert class_by_site(frame, [fold]).value == pytest.approx(wanted)


# Sites that tell nothing.


@pytest.mark.parametrize(
    ("sites", "said"),
    [
        ([""] * 4, "No patient's site is known"),
        (["x", "", "x", "x"], "All patients with a known site are of one (x)"),
        (["x", "x", "y", "y"], ""),
    ],
)
def test_no_site_and_one_site_are_said_and_nothing_is_asked(sites, said):
    frame = cohort(4).assign(site=sites)
    assert lacking_sites(frame).startswith(said)
    assert bool(lacking_sites(frame)) == bool(said)
    if said:
        assert audit_sites(frame, random_folds(frame, 2, 0)) == []
        assert list(sites_lines(frame, "barcode")) == [lacking_sites(frame)]


def test_sites_with_one_patient_and_patients_without_a_site_are_counted():
    frame = cohort(6).assign(site=["x", "x", "y", "z", "z", ""])
    assert list(sites_lines(frame, "institutions")) == [
        "1 of 3 institutions have one patient: where trained on, they hardly leave the overall rate.",
        "The site of 1 patients is unknown: the method site gives them the overall rate.",
    ]
    alone = cohort(40).assign(site=[f"S{number}" for number in range(40)])
    assert kinds(alone, random_folds(alone, 4, 0)) == []


# Real patients, MIRROR's published folds, codes of the barcodes.


@pytest.mark.skipif(not SHARED.exists(), reason="../shared/tcga is not here")
@pytest.mark.parametrize(
    ("name", "outcome", "low", "high", "beyond"),
    [
        ("coadread", "os", 0.635, 0.655, True),
        ("nsclc", "os", 0.565, 0.585, True),
        ("brca", "os", 0.505, 0.565, False),
        ("coadread", "dss", 0.655, 0.705, True),
    ],
)
def test_the_site_alone_ranks_real_patients(name, outcome, low, high, beyond):
    sheet = read_text_sheet(SHARED / name / "clinical.tsv")
    months, events = (pd.to_numeric(sheet[f"{outcome}_{key}"], errors="coerce") for key in ("months", "event"))
    frame = pd.DataFrame({"patient": sheet["case_id"], "time_days": months, "event": events})
    frame["site"] = barcode_sites(frame["patient"])
    known = frame[has_outcome(frame)].reset_index(drop=True)
    found = ranking_by_site(known, read_folds(SHARED / name / "splits", 5))
    assert low <= found.value <= high
    assert found.beyond == beyond
