"""The table of the field: means over cohorts, differences, ranks, left-out methods, published means, pictures."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from mirrorflow.config.resources import RESOURCES
from mirrorflow.evaluation.field import Drawn, best_and_last, draws_of, gap, over_cohorts, rank_shares, shared_patients
from mirrorflow.evaluation.field_rows import MEAN, Predicted, field_rows
from mirrorflow.evaluation.verdicts import ALIKE, BETTER, ITSELF
from mirrorflow.evaluation.within_classes import columns_of, within_classes
from mirrorflow.metrics import c_index
from mirrorflow.metrics.inference import paired_difference
from mirrorflow.metrics.resampled_t import detectable
from mirrorflow.plan.paths import PredictionsManifest
from mirrorflow.steps.results import make_survival_field
from mirrorflow.steps.results.make_survival_field import draw_pictures
from mirrorflow.store.tables import read_numbers, read_text_sheet
from mirrorflow.tables.survival_field import as_table, caption, published_means, shown

HOW = Drawn(300, 0.95, 1)
NAMES = read_text_sheet(RESOURCES / "names.tsv")
TITLES: dict[str, dict[str, str]] = {"method": {}, "cohort": {}}
FIVE = ["brca", "blca", "stad", "coadread", "kirc"]


def predicted(noise: float, seed: int = 0, folds: int = 5, each: int = 30, cohort: int = 0) -> Predicted:
    """Outcomes of a cohort, and risks that know them up to ``noise``."""
    truth, rng = np.random.default_rng(cohort), np.random.default_rng([seed, cohort])
    count = folds * each
    times = truth.exponential(1000, count)
    rows = pd.DataFrame(
        {
            "seed": 42,
            "fold": np.repeat(np.arange(folds), each),
            "patient": [f"{cohort}-P{number}" for number in range(count)],
            "slide_id": "",
            "risk": -np.log(times) + noise * rng.normal(size=count),
            "time_days": times,
            "event": (truth.random(count) < 0.5).astype(float),
        }
    )
    return Predicted(rows, dict.fromkeys(range(folds), count - each))


def draws(one: Predicted, place: int = 0):
    return draws_of(one.rows, shared_patients([one.rows]), one.trained, place, HOW)


def field(**noises: float) -> dict[str, dict[str, Predicted]]:
    return {
        name: {method: predicted(noise, seed, cohort=c) for seed, (method, noise) in enumerate(noises.items())}
        for c, name in enumerate(("one", "two"))
    }


def of_fold(one: Predicted, fold: int) -> float:
    rows = one.rows[one.rows["fold"] == fold]
    columns = (rows["risk"].to_numpy(), rows["time_days"].to_numpy(), rows["event"].to_numpy() == 1)
    return float(c_index(*columns, np.ones((1, len(rows))))[0])


def test_the_mean_counts_cohorts_alike():
    small, large = predicted(1.0, folds=3, each=20), predicted(3.0, each=60, cohort=1)
    expected = np.mean([np.mean([of_fold(one, k) for k in one.folds]) for one in (small, large)])
    found = over_cohorts([draws(small), draws(large, 1)], 0.95)
    assert found.value == pytest.approx(expected)
    assert found.low < found.value < found.high


def test_cohorts_are_resampled_independently():
    """The variance of the mean of two is the sum of both over four, though fold numbers and sizes are the same."""
    one, other = predicted(2.0), predicted(2.0, cohort=1)
    many = Drawn(3000, 0.95, 1)
    sides = [draws_of(p.rows, shared_patients([p.rows]), p.trained, k, many) for k, p in enumerate((one, other))]
    alone = [over_cohorts([side], 0.95).resampled for side in sides]
    assert abs(np.corrcoef(*alone)[0, 1]) < 0.06
    both = over_cohorts(sides, 0.95).resampled
    assert both.var() == pytest.approx((alone[0].var() + alone[1].var()) / 4, rel=0.15)


def test_the_t_test_over_cohorts_is_welchs_with_the_correction():
    ours = [predicted(1.0, 1), predicted(1.0, 1, cohort=1)]
    theirs = [predicted(2.0, 2), predicted(2.0, 2, cohort=1)]
    pairs = [np.array([of_fold(a, k) - of_fold(b, k) for k in range(5)]) for a, b in zip(ours, theirs, strict=True)]
    variances = np.array([one.var(ddof=1) * (1 / 5 + 30 / 120) / 4 for one in pairs])
    mean, error = np.mean([one.mean() for one in pairs]), np.sqrt(variances.sum())
    freedom = variances.sum() ** 2 / (variances**2 / 4).sum()
    found = gap(*([draws(one, k) for k, one in enumerate(side)] for side in (ours, theirs)), 0.95)
    assert found.value == pytest.approx(mean)
    assert found.p_t_test == pytest.approx(2 * stats.t.sf(abs(mean) / error, freedom))
    half = stats.t.ppf(0.975, freedom) * error
    assert found.low <= mean - half + 1e-12
    assert found.high >= mean + half - 1e-12
    assert found.p_value == max(found.p_bootstrap, found.p_t_test)


def test_one_cohort_and_one_fold_have_no_t_test():
    one, other = predicted(1.0, folds=1), predicted(2.0, 1, folds=1)
    found = gap([draws(one)], [draws(other)], 0.95)
    assert np.isnan(found.p_value)
    assert np.isnan(found.detectable(0.05))


def test_the_smallest_difference_is_that_of_one_cohort_where_there_is_one():
    """As results.csv has it, where Welch's freedom is that of one cohort's folds; fewer with a second cohort."""
    one, other = draws(predicted(1.0, 1)), draws(predicted(2.0, 2))
    alone, theirs = gap([one], [other], 0.95), paired_difference(one, other, 0.95)
    assert theirs.t_test is not None
    expected = detectable(theirs.t_test, theirs.bootstrap_error, theirs.widened_by, 0.01)
    assert alone.detectable(0.01) == pytest.approx(expected)
    more = [draws(predicted(noise, seed, cohort=1), 1) for noise, seed in ((1.0, 1), (2.0, 2))]
    assert 0 < gap([one, more[0]], [other, more[1]], 0.95).detectable(0.01) < alone.detectable(0.01)


def test_rows_and_caption_say_the_smallest_difference_that_could_have_been_found():
    table = table_of("otsurv", "mmp", "cox")
    assert table["detectable"].notna().tolist() == [False, True, True]
    assert (table["detectable_holm"] > table["detectable"])[1:].all()
    cohort = {**table.iloc[1].to_dict(), "cohort": "brca", "detectable": 0.2, "detectable_holm": 0.3}
    sizes = [f"{table[name].median():.2f}" for name in ("detectable", "detectable_holm")]
    assert caption(as_table([*table.to_dict("records"), cohort])).endswith(
        f"Smallest difference detectable with 80 % power: C-index, mean of the cohorts, {sizes[0]} ({sizes[1]} after "
        "Holm); C-index of a cohort 0.20 (0.30 after Holm)."
    )
    without = as_table(row for row in field_rows(field(a=1.0), ["a"], "a", HOW))
    assert "Smallest difference" not in caption(without)


def test_shares_of_ranks_add_up_and_leave_undefined_resamples_out():
    values = [np.array([0.9, 0.6, np.nan]), np.array([0.5, 0.8, 0.9]), np.array([0.1, 0.1, 0.1])]
    np.testing.assert_array_equal(rank_shares(values), [[0.5, 0.5, 0], [0.5, 0.5, 0], [0, 0, 1]])


def test_methods_that_tie_share_their_ranks_in_any_order():
    """Constant risks (the majority, a site that stands in one fold) have C 0.5 in every resample."""
    above, same = np.array([0.6, 0.6, 0.4, 0.7]), np.full(4, 0.5)
    np.testing.assert_allclose(
        rank_shares([above, same, same + 1e-16]), [[0.75, 0, 0.25], [0.125, 0.5, 0.375], [0.125, 0.5, 0.375]]
    )
    np.testing.assert_allclose(rank_shares([same, above, same]), rank_shares([above, same, same])[[1, 0, 2]])
    np.testing.assert_allclose(rank_shares([same] * 3), np.full((3, 3), 1 / 3))


def test_two_methods_that_know_nothing_have_the_same_mean_rank():
    known = {name: predicted(1.0, cohort=c) for c, name in enumerate(("one", "two"))}
    flat = {name: replace(one, rows=one.rows.assign(risk=0.0)) for name, one in known.items()}
    whole = {name: {"majority": flat[name], "site": flat[name], "good": known[name]} for name in known}
    rows = {str(row["method"]): row for row in field_rows(whole, ["majority", "site", "good"], "good", HOW)}
    assert rows["good"]["mean_rank"] == pytest.approx(1.0)
    assert rows["majority"]["mean_rank"] == rows["site"]["mean_rank"] == pytest.approx(2.5)
    assert rows["site"]["rank_shares"] == "0.000 0.500 0.500"


def test_a_method_that_knows_more_is_better_and_first():
    rows = {
        str(row["method"]): row
        for row in field_rows(field(good=0.2, ref=5.0, same=5.0), ["good", "ref", "same"], "ref", HOW)
    }
    assert rows["good"]["verdict"] == BETTER
    assert rows["same"]["verdict"] == ALIKE
    assert rows["ref"]["verdict"] == ITSELF
    assert rows["good"]["comparison"] == "over cohorts"
    assert rows["good"]["rank_shares"].startswith("1.000")
    assert rows["good"]["mean_rank"] == pytest.approx(1.0)
    assert rows["good"]["p_holm"] >= rows["good"]["p_value"]
    assert rows["good"]["patients"] == 300


def test_a_method_without_a_cohort_or_a_fold_is_left_out_with_the_reason():
    whole = field(ref=2.0, short=2.0, none=2.0)
    del whole["two"]["none"]
    part = whole["one"]["short"]
    whole["one"]["short"] = Predicted(part.rows[part.rows["fold"] != 3], part.trained, "16 components, 3 patches")
    rows = {str(row["method"]): row for row in field_rows(whole, ["ref", "short", "none", "absent"], "ref", HOW)}
    assert rows["short"]["note"] == "one: no fold 3: 16 components, 3 patches"
    assert rows["none"]["note"] == "not on two"
    assert np.isnan(rows["none"]["mean"])
    assert rows["ref"]["mean"] > 0.5
    assert set(rows) == {"ref", "short", "none"}


def test_everything_rests_on_the_patients_that_all_have():
    whole = field(ref=2.0, other=1.0)
    part = whole["one"]["other"]
    whole["one"]["other"] = Predicted(part.rows[part.rows["patient"] != "0-P7"], part.trained)
    rows = list(field_rows(whole, ["ref", "other"], "ref", HOW))
    assert [row["patients"] for row in rows] == [299, 299]


def test_without_the_reference_there_are_means_and_ranks_and_no_verdict():
    rows = list(field_rows(field(a=1.0, b=2.0), ["a", "b"], "nobody", HOW))
    assert all("verdict" not in row for row in rows)
    assert all(row["rank_shares"] for row in rows)


def test_without_a_bootstrap_there_are_means_alone():
    rows = list(field_rows(field(a=1.0, b=2.0), ["a", "b"], "b", Drawn(0, 0.95, 1)))
    assert all(np.isfinite(row["mean"]) for row in rows)
    assert all(np.isnan(row["ci_low"]) for row in rows)
    assert not any(row.get("rank_shares") for row in rows)


def rows_of_run(monkeypatch: pytest.MonkeyPatch, shown_cohorts: list[str], **cell: object) -> pd.DataFrame:
    """The step's table of two methods on five cohorts, of which results.csv has ``shown_cohorts``; as published."""

    def found(place: PredictionsManifest, _: pd.DataFrame) -> Predicted:
        noise = 1.0 if place.method == "tta" else 2.0
        return predicted(noise, seed=int(noise), cohort=FIVE.index(place.cohort))

    monkeypatch.setattr(make_survival_field, "predicted", found)
    empty = pd.DataFrame({"patient": [], "label": []})
    monkeypatch.setattr(make_survival_field, "read_cohort", lambda _: (empty, []))
    places = [(cohort, method) for cohort in FIVE for method in ("tta", "mmp")]
    manifests = [Path(f"results/r/predictions/honest/{c}/uni/{m}/manifest.json") for c, m in places]
    inputs = make_survival_field.Inputs(manifests, [Path(name) for name in FIVE], Path("results.csv"))
    settings = {"bootstrap": 50, "confidence": 0.95, "seed": 1, "reference": "mmp"}
    params = make_survival_field.Params(FIVE, {}, ["tta", "mmp"], settings, [])
    named = {"protocol": "honest", "encoder": "uni", "setting": "all", "metric": "c_index", "mean": 0.6, "verdict": ""}
    cells = [named | {"cohort": c, "method": m, "comparison": ""} | cell for c, m in places if c in shown_cohorts]
    table = as_table(make_survival_field._rows(inputs, params, pd.DataFrame(cells)))
    known = read_numbers(RESOURCES / "published_results.csv", ["mean", "sd"])
    return published_means(table, known, NAMES, FIVE)


def test_there_is_no_mean_where_a_cohort_is_withheld(monkeypatch: pytest.MonkeyPatch):
    whole = rows_of_run(monkeypatch, FIVE)
    means = whole[whole["cohort"] == MEAN]
    assert means["mean"].notna().all()
    assert means["published_mean"].notna().all()
    table = rows_of_run(monkeypatch, FIVE[:4])
    means = table[table["cohort"] == MEAN]
    assert means[["mean", "published_mean", "difference"]].isna().all(axis=None)
    assert means["note"].tolist() == ["kirc is withheld (see Audits)"] * 2
    wide = shown(table, TITLES, FIVE)
    assert wide["Mean of the cohorts"].tolist() == ["", ""]
    assert "kirc is withheld" in wide["Left out"].tolist()[0]
    assert (wide["brca"] != "").all()


def test_a_cohorts_comparison_is_called_as_in_results(monkeypatch: pytest.MonkeyPatch):
    table = rows_of_run(monkeypatch, FIVE, comparison="primary", verdict="better", p_holm=0.03)
    assert set(table.loc[table["cohort"] == "brca", "comparison"]) == {"primary"}
    assert set(table.loc[table["cohort"] == MEAN, "comparison"]) == {"over cohorts", ""}, "empty of the reference"
    wide = shown(table, TITLES, FIVE)
    assert wide["brca"].str.contains("primary: better").all()
    assert not wide["Mean of the cohorts"].str.contains("primary").any()


def table_of(*methods: str, encoder: str = "uni") -> pd.DataFrame:
    found = field(**{name: 1.0 + number for number, name in enumerate(methods)})
    rows = field_rows(found, list(methods), methods[0], HOW)
    named = {"protocol": "honest", "encoder": encoder}
    return as_table(named | row for row in rows)


def test_published_means_stand_beside_the_five_cohorts_alone():
    known = read_numbers(RESOURCES / "published_results.csv", ["mean", "sd"])
    table = published_means(table_of("otsurv", "cox"), known, NAMES, FIVE)
    assert table["published_mean"].tolist()[0] == 0.644
    assert np.isnan(table["published_mean"].tolist()[1])
    assert table["comparable"].tolist()[0] == "no"
    assert published_means(table_of("otsurv"), known, NAMES, FIVE[:2])["published_mean"].isna().all()
    resnet = published_means(table_of("mmp", encoder="resnet50"), known, NAMES, FIVE)
    assert resnet["published_mean"].notna().all(), "Table 8"


def test_the_published_mean_of_a_method_without_slides_stands_with_every_encoder():
    known = read_numbers(RESOURCES / "published_results.csv", ["mean", "sd"])
    for encoder in ("uni", "resnet50", "none"):
        table = published_means(table_of("snn", "snntrans", encoder=encoder), known, NAMES, FIVE)
        assert table["published_mean"].tolist() == [0.611, 0.616]


def test_the_reader_sees_the_mean_the_rank_each_cohort_and_what_is_left_out():
    table = table_of("otsurv", "cox")
    cohort = {**table.iloc[0].to_dict(), "cohort": "brca", "mean": 0.61, "sd": 0.02, "note": "", "rank_shares": ""}
    table = as_table([*table.to_dict("records"), cohort])
    titles = {"method": {"otsurv": "OTSurv"}, "cohort": {"brca": "TCGA-BRCA"}}
    wide = shown(table, titles, ["brca"]).set_index("Method")
    assert wide.loc["OTSurv", "TCGA-BRCA"].startswith("0.610 ± 0.020")
    assert "first in" in wide.loc["OTSurv", "Rank"]
    assert wide.loc["cox", "TCGA-BRCA"] == ""


def test_cohorts_of_one_title_have_a_column_each():
    row = {"protocol": "honest", "encoder": "uni", "method": "tta", "sd": 0.1}
    table = as_table([row | {"cohort": "brca", "mean": 0.61}, row | {"cohort": "other", "mean": 0.72}])
    wide = shown(table, {"method": {}, "cohort": {"brca": "Breast", "other": "Breast"}}, ["brca", "other"])
    assert wide["Breast (brca)"].tolist() == ["0.610 ± 0.100"]
    assert wide["Breast (other)"].tolist() == ["0.720 ± 0.100"]


def test_a_picture_for_each_protocol_and_encoder_with_two_methods(tmp_path: Path):
    table = pd.concat([table_of("otsurv", "cox"), table_of("mmp", encoder="resnet50")])
    draw_pictures(table, "otsurv", {}, tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["honest-uni.svg"]
    assert (tmp_path / "honest-uni.svg").read_text().startswith("<?xml")


def test_the_best_epoch_and_the_last_are_those_of_one_training():
    one = predicted(2.0, folds=1)
    noises = [3.0, 0.1, 2.0]
    epochs = pd.concat(
        one.rows[["patient", "slide_id"]].assign(epoch=1 + k, risk=predicted(noise, k, folds=1).rows["risk"])
        for k, noise in enumerate(noises)
    )
    values = [of_fold(predicted(noise, k, folds=1), 0) for k, noise in enumerate(noises)]
    assert best_and_last(epochs, one.rows) == pytest.approx((max(values), values[-1]))
    assert np.isnan(best_and_last(epochs.iloc[:0], one.rows)).all()


def test_what_the_best_epoch_adds_is_a_column_where_epochs_were_written():
    found = field(a=1.0, b=2.0)
    assert np.isnan(next(iter(field_rows(found, ["a"], "a", HOW)))["best_epoch"])
    with_epochs = {
        name: {key: replace(one, best=0.7, gain=0.1) for key, one in part.items()} for name, part in found.items()
    }
    table = as_table({"protocol": "p", "encoder": "e"} | row for row in field_rows(with_epochs, ["a"], "a", HOW))
    assert shown(table, {"method": {}, "cohort": {}}, [])["Best epoch"].tolist() == ["0.700 (+0.100)"]


def test_what_is_missing_reads_as_nothing():
    rows = [*field_rows(field(a=1.0, b=2.0), ["a", "b"], "nobody", Drawn(0, 0.95, 1))]
    part = field(a=1.0, b=2.0)
    del part["two"]["b"]
    rows += [row for row in field_rows(part, ["a", "b"], "a", HOW) if row["method"] == "b"]
    table = as_table({"protocol": str(n), "encoder": "uni"} | row for n, row in enumerate(rows))
    wide = shown(table, {"method": {}, "cohort": {}}, ["one"])
    assert not wide.map(lambda cell: "nan" in str(cell)).to_numpy().any()
    assert wide["Left out"].tolist()[-1] == "not on two"
    assert list(shown(as_table([]), {"method": {}, "cohort": {}}, [])) == ["Protocol", "Encoder", "Method"]


def by_class(*, flip: bool = False) -> tuple[Predicted, dict[str, str]]:
    """Risks that tell two classes of unlike prognosis apart; within one they are noise, or with ``flip`` wrong."""
    one = predicted(0.0)
    rows, rng = one.rows.copy(), np.random.default_rng(3)
    bad = np.arange(len(rows)) % 2 == 0
    rows["time_days"] = np.where(bad, 1.0, 20.0) * rows["time_days"]
    rows["risk"] = 10.0 * bad + (0.1 * np.log(rows["time_days"]) if flip else rng.normal(size=len(rows)))
    return Predicted(rows, one.trained), dict(zip(rows["patient"], np.where(bad, "bad", "good"), strict=True))


def test_within_classes_a_method_that_knows_the_class_alone_knows_nothing():
    (one, labels), (wrong, _) = by_class(), by_class(flip=True)
    whole = np.mean([of_fold(one, fold) for fold in one.folds])
    found = columns_of(within_classes(one.rows, labels, one.trained, 0, HOW), 0.95)
    assert whole > 0.7
    assert found["within_class_low"] < 0.5 < found["within_class_high"]
    assert abs(found["within_class"] - 0.5) < 0.1
    assert columns_of(within_classes(wrong.rows, labels, wrong.trained, 0, HOW), 0.95)["within_class"] == 0.0


def test_within_classes_counts_the_pairs_of_one_class_by_hand():
    times, risks = [1.0, 2.0, 3.0, 4.0], [1.0, 4.0, 3.0, 2.0]
    columns = {"seed": 1, "fold": 0, "patient": list("abcd"), "risk": risks, "time_days": times, "event": 1.0}
    rows = pd.DataFrame({**columns, "slide_id": ""})
    labels = {"a": "x", "b": "x", "c": "y", "d": "y"}
    found = within_classes(rows, labels, {0: 9}, 0, Drawn(0, 0.95, 1))
    assert found is not None
    assert found.points == {1000: 0.5}  # a before b is lost, c before d is won; a before c and d is not compared
    assert within_classes(rows, {**labels, "c": "", "d": ""}, {0: 9}, 0, HOW) is None
    assert within_classes(rows, dict.fromkeys("abcd", "x"), {0: 9}, 0, HOW) is None


def test_within_classes_stands_beside_each_cohort_that_has_classes():
    base = {"protocol": "honest", "encoder": "uni", "method": "a", "mean": 0.6, "sd": 0.01}
    within = {"within_class": 0.55, "within_class_low": 0.5, "within_class_high": 0.6}
    wide = shown(as_table([{**base, "cohort": "one", **within}, {**base, "cohort": "two"}]), TITLES, ["one", "two"])
    assert wide["one, within classes"].tolist() == ["0.550 [0.500, 0.600]"]
    assert "two, within classes" not in wide


def test_a_training_whose_epochs_lack_a_unit_has_no_best_epoch():
    """One shared by a protocol that evaluates fewer: its C-index is of other patients than the table's."""
    one = predicted(2.0, folds=1)
    epochs = one.rows[["patient", "slide_id", "risk"]].assign(epoch=1)
    assert np.isfinite(best_and_last(epochs, one.rows)).all()
    assert np.isnan(best_and_last(epochs.iloc[1:], one.rows)).all()
    more = pd.concat([epochs, epochs.iloc[:1].assign(patient="another")])
    seeds = pd.concat([one.rows, one.rows.assign(seed=43)])
    assert best_and_last(more, one.rows) == best_and_last(epochs, seeds) == best_and_last(epochs, one.rows)
