"""Figures: what they group, count and show; that equal data give equal files; that nothing warns."""

import io
from dataclasses import replace
from pathlib import Path

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure

from mirrorflow.config.resources import RESOURCES
from mirrorflow.figures.cohort_flow import draw_cohort_flow
from mirrorflow.figures.forest import draw_forest
from mirrorflow.figures.kaplan_meier import (
    HIGH,
    LOW,
    beside_published,
    estimate_curve,
    evaluated_twice,
    hazard_ratio,
    hazard_ratio_text,
    log_rank,
    numbers_at_risk,
    p_value_text,
    split_by_risk,
)
from mirrorflow.figures.ranks import draw_ranks, fold_ranks
from mirrorflow.figures.style import SAVED, shorten, to_png, to_svg
from mirrorflow.figures.survival_curves import draw_survival_curves
from mirrorflow.figures.training_curves import curve_names, draw_training_curves, last_values
from mirrorflow.runtime.forks import Cores
from mirrorflow.steps.results.figure_files import draw_all
from mirrorflow.steps.results.figure_tasks import (
    flow_task,
    forest_tasks,
    of_same_patients,
    protocols_shown,
    rank_tasks,
)
from mirrorflow.steps.results.report_inputs import read_results
from mirrorflow.steps.results.survival_figures import published_tests
from mirrorflow.store.tables import read_text_sheet
from mirrorflow.tables.main import MAIN_METRICS
from mirrorflow.tables.results import published_key


def prediction_rows(risks: dict[int, list[float]], seed: int = 0) -> pd.DataFrame:
    """One row a patient of each fold; the higher the risk within a fold, the earlier the event."""
    rows = [
        {"seed": seed, "fold": fold, "patient": f"P{fold}{i}", "time_days": 400.0 - 30 * i, "event": 1.0, "risk": risk}
        for fold, values in risks.items()
        for i, risk in enumerate(values)
    ]
    return pd.DataFrame(rows)


def group_of(groups: pd.DataFrame) -> dict[str, str]:
    return dict(zip(groups["patient"], groups["group"], strict=True))


def test_groups_are_split_within_each_fold() -> None:
    rows = prediction_rows({0: [1.0, 2.0, 3.0, 4.0], 1: [101.0, 102.0, 103.0, 104.0]})
    groups = group_of(split_by_risk(rows))
    assert [groups[f"P0{i}"] for i in range(4)] == [LOW, LOW, HIGH, HIGH]
    assert [groups[f"P1{i}"] for i in range(4)] == [LOW, LOW, HIGH, HIGH]


def test_patient_at_the_median_is_low() -> None:
    groups = group_of(split_by_risk(prediction_rows({0: [1.0, 2.0, 3.0]})))
    assert groups == {"P00": LOW, "P01": LOW, "P02": HIGH}


def test_equal_risks_give_one_group() -> None:
    groups = split_by_risk(prediction_rows({0: [5.0] * 6}))
    assert set(groups["group"]) == {LOW}
    assert np.isnan(log_rank(groups))
    assert p_value_text(log_rank(groups)) == "log-rank undefined"


def test_seeds_are_averaged_as_ranks() -> None:
    first = prediction_rows({0: [1.0, 2.0, 3.0, 4.0]}, seed=0)
    second = prediction_rows({0: [100.0, 300.0, 200.0, 400.0]}, seed=1)
    groups = split_by_risk(pd.concat([first, second]))
    assert len(groups) == 4
    # ranks 1, 2.5, 2.5, 4: the median is 2.5, and who lies at it is low
    assert group_of(groups) == {"P00": LOW, "P01": LOW, "P02": LOW, "P03": HIGH}


def test_slides_of_a_patient_count_once() -> None:
    rows = prediction_rows({0: [1.0, 2.0, 3.0, 4.0]})
    rows["patient"] = ["A", "A", "B", "C"]
    groups = split_by_risk(rows)
    assert sorted(groups["patient"]) == ["A", "B", "C"]


def test_patient_in_two_folds_counts_in_the_first() -> None:
    rows = prediction_rows({0: [1.0, 9.0], 1: [9.0, 1.0]})
    rows["patient"] = ["A", "B", "A", "C"]
    groups = split_by_risk(rows)
    assert evaluated_twice(rows) == 1
    assert group_of(groups) == {"A": LOW, "B": HIGH, "C": LOW}


def test_kaplan_meier_by_hand() -> None:
    curve = estimate_curve(np.array([1.0, 2.0, 3.0, 4.0]), np.array([True, False, True, False]))
    assert curve.time_days.tolist() == [0, 1, 2, 3, 4]
    assert curve.survival == pytest.approx([1, 3 / 4, 3 / 4, 3 / 4 * 1 / 2, 3 / 8])
    assert (curve.patients, curve.events) == (4, 2)
    assert np.all(curve.low <= curve.survival)
    assert np.all(curve.survival <= curve.high)


def test_numbers_at_risk_by_hand() -> None:
    assert numbers_at_risk(np.array([1.0, 2.0, 3.0]), np.array([0.0, 2.0, 2.5, 4.0])).tolist() == [3, 2, 1, 0]


def exponential_groups() -> pd.DataFrame:
    rng = np.random.default_rng(3)
    groups = pd.DataFrame(
        {"time_days": rng.exponential(300, 60), "event": rng.random(60) < 0.7, "group": np.repeat([HIGH, LOW], 30)}
    )
    groups.loc[groups["group"] == HIGH, "time_days"] *= 0.6
    return groups


def test_log_rank_equals_lifelines() -> None:
    from lifelines.statistics import logrank_test

    groups = exponential_groups()
    high, low = (groups[groups["group"] == name] for name in (HIGH, LOW))
    other = logrank_test(high["time_days"], low["time_days"], high["event"], low["event"]).p_value
    assert log_rank(groups) == pytest.approx(other, rel=1e-6)


def test_curve_and_log_rank_equal_scikit_survival() -> None:
    from sksurv.compare import compare_survival
    from sksurv.nonparametric import kaplan_meier_estimator
    from sksurv.util import Surv

    groups = exponential_groups()
    times, event = groups["time_days"].to_numpy(), groups["event"].to_numpy()
    outcome = Surv.from_arrays(event, times)
    assert log_rank(groups) == pytest.approx(compare_survival(outcome, groups["group"].to_numpy())[1], rel=1e-6)
    curve = estimate_curve(times, event)
    at, survival, (low, high) = kaplan_meier_estimator(event, times, conf_level=0.95, conf_type="log-log")
    assert curve.time_days[1:] == pytest.approx(at)
    assert curve.survival[1:] == pytest.approx(survival)
    before_last = survival > 0
    assert curve.low[1:][before_last] == pytest.approx(low[before_last], abs=1e-6)
    assert curve.high[1:][before_last] == pytest.approx(high[before_last], abs=1e-6)


def test_the_hazard_ratio_is_that_of_the_planted_rates() -> None:
    rng = np.random.default_rng(0)
    rates = np.repeat([1.0, 0.5], 2000)
    groups = pd.DataFrame(
        {"time_days": rng.exponential(1 / rates), "event": True, "group": np.repeat([HIGH, LOW], 2000)}
    )
    found = hazard_ratio(groups)
    assert found.ratio == pytest.approx(2.0, abs=0.15)
    assert found.low < 2.0 < found.high
    assert hazard_ratio_text(found).startswith(f"hazard ratio {found.ratio:.2f} (95% {found.low:.2f} to ")
    assert hazard_ratio_text(hazard_ratio(groups.assign(event=groups["group"] == HIGH))) == "hazard ratio undefined"
    assert np.isnan(hazard_ratio(groups[groups["group"] == HIGH]).ratio)


@pytest.mark.parametrize("events", [[True, False, True, False], [1.0, 0.0, 1.0, 0.0], [1, 0, 1, 0]])
def test_events_are_handed_over_as_zeros_and_ones(events) -> None:
    curve = estimate_curve(np.array([1.0, 2.0, 3.0, 4.0]), np.array(events))
    assert (curve.events, curve.survival[-1]) == (2, pytest.approx(3 / 8))
    groups = pd.DataFrame({"time_days": [1.0, 2.0, 3.0, 4.0], "event": events, "group": [HIGH, LOW, LOW, HIGH]})
    assert log_rank(groups) == pytest.approx(log_rank(groups.assign(event=np.array(events) == 1)))


@pytest.mark.parametrize("events", [["1", "0"], [1, 2], [1.0, float("nan")]])
def test_events_that_lifelines_would_count_as_dead_are_refused(events) -> None:
    with pytest.raises(ValueError, match="events are 0 and 1, not"):
        estimate_curve(np.array([1.0, 2.0]), np.array(events))


def texts(figure: Figure) -> set[str]:
    import matplotlib.text

    return {artist.get_text() for artist in figure.findobj(matplotlib.text.Text) if artist.get_text()}


def survival_groups(scale: float = 1.0) -> pd.DataFrame:
    rng = np.random.default_rng(0)
    return pd.DataFrame(
        {
            "time_days": rng.exponential(900 * scale, 40) + 1,
            "event": rng.random(40) < 0.6,
            "group": np.tile([HIGH, LOW], 20),
        }
    )


def test_survival_figure_says_who_is_at_risk_and_p() -> None:
    groups = survival_groups()
    p_value = beside_published(log_rank(groups), 2.61e-3)
    shown = texts(draw_survival_curves(groups, "MIRROR", p_value=p_value))
    assert p_value in shown
    assert p_value == f"{p_value_text(log_rank(groups))} (published: 0.00261); not a valid test"
    assert hazard_ratio_text(hazard_ratio(groups)) in shown
    assert "20" in shown
    assert any(text.startswith("high risk: 20 patients") for text in shown)
    assert "Time (years)" in shown
    assert "Time (months)" in texts(draw_survival_curves(survival_groups(0.1), "MIRROR"))


@pytest.mark.parametrize("size", [2, 3])
def test_survival_figure_of_very_few_patients(size: int) -> None:
    groups = survival_groups().head(size).assign(event=False)
    assert to_svg(draw_survival_curves(groups, "few"))
    assert p_value_text(log_rank(groups)) == "log-rank undefined"


def test_without_a_published_test_no_p_is_shown() -> None:
    shown = " ".join(texts(draw_survival_curves(survival_groups(), "MIRROR")))
    assert "hazard ratio" in shown
    assert "log-rank" not in shown
    assert "p =" not in shown


def test_the_hazard_ratio_is_stratified_by_fold() -> None:
    """Folds of unlike baseline hazards, groups of unlike sizes: only within folds is the planted ratio seen."""
    rng = np.random.default_rng(1)
    fold, high = np.repeat([0, 1], 2000), rng.random(4000) < np.repeat([0.8, 0.2], 2000)
    rates = np.where(fold == 0, 0.2, 1.0) * np.where(high, 2.0, 1.0)
    groups = pd.DataFrame(
        {"time_days": rng.exponential(1 / rates), "event": True, "group": np.where(high, HIGH, LOW), "fold": fold}
    )
    assert hazard_ratio(groups).ratio == pytest.approx(2.0, abs=0.15)
    assert hazard_ratio(groups.drop(columns="fold")).ratio < 1.2


def test_published_tests_are_found_by_the_names_of_paths() -> None:
    names = read_text_sheet(RESOURCES / "names.tsv")
    found = published_tests(RESOURCES / "published_log_rank.csv", names)
    assert found["brca", "tta", "DSS"] == 2.61e-3
    assert found["kirc", "tta", "DSS"] == 1.86e-10
    methods = {method for _, method, _ in found}
    assert methods == {name for name, label in published_key(names, "method").items() if label == "tta"}
    assert "tta" in methods
    assert {(cohort, endpoint) for cohort, _, endpoint in found} == {
        (cohort, "DSS") for cohort in ("brca", "blca", "stad", "coadread", "kirc")
    }


def test_equal_figures_are_equal_files() -> None:
    first, second = (to_svg(draw_survival_curves(survival_groups(), "same")) for _ in range(2))
    assert first == second
    assert b"<dc:date>" not in first
    assert to_png(draw_survival_curves(survival_groups(), "same"))[:8] == b"\x89PNG\r\n\x1a\n"


def test_a_figure_laid_out_once_is_the_one_that_savefig_lays_out(monkeypatch) -> None:
    drawn = []
    draw = Figure.draw
    monkeypatch.setattr(Figure, "draw", lambda self, renderer: drawn.append(self) or draw(self, renderer))
    figure = draw_survival_curves(survival_groups(), "same")
    images = to_svg(figure), to_png(figure)
    assert len(drawn) == 2, "each image is one drawing"
    other = draw_survival_curves(survival_groups(), "same")
    stream = io.BytesIO()
    with mpl.rc_context(SAVED):
        other.savefig(stream, format="svg", metadata={"Date": None, "Creator": None})
    other.set_layout_engine("none")
    assert images == (stream.getvalue(), to_png(other))


def test_figures_dealt_out_to_processes_are_the_same_files(tmp_path: Path) -> None:
    flow = tmp_path / "flow.tsv"
    flow.write_text("step\tpatients\tslides\nall\t9\t12\nwith slides\t7\t9\n")
    (tmp_path / "none.tsv").write_text("step\tpatients\tslides\n")
    tasks = [replace(flow_task("brca", flow), name=f"flow{i}") for i in range(4)]
    tasks.append(replace(flow_task("brca", tmp_path / "none.tsv"), name="none"))
    one, two = tmp_path / "one", tmp_path / "two"
    first, second = draw_all(tasks, "brca", one, "r"), draw_all(tasks, "brca", two, "r", Cores(processes=2))
    assert first == second
    assert [entry.name for entry in first] == ["flow0", "flow1", "flow2", "flow3", "none"]
    names = sorted(path.name for path in one.iterdir())
    assert len(names) == 9
    assert names == sorted(path.name for path in two.iterdir())
    assert all((one / name).read_bytes() == (two / name).read_bytes() for name in names)


def test_names_are_shown_as_they_are() -> None:
    figure = draw_survival_curves(survival_groups(), "cost $a_1$ & <b>")
    assert to_svg(figure)
    assert "cost $a_1$ & <b>" in texts(figure)


def history(epochs: int, offset: float = 0.0) -> pd.DataFrame:
    epoch = np.arange(1, epochs + 1, dtype=float)
    return pd.DataFrame(
        {"epoch": epoch, "total": 1 / epoch + offset, "alignment": 2 / epoch, "tau": np.nan, "seconds": 3.0}
    )


def test_training_curves_draw_every_defined_term() -> None:
    histories = {"seed0/fold0": history(5), "seed0/fold1": history(5, 0.5)}
    assert curve_names(list(histories.values())) == ["total", "alignment"]
    figure = draw_training_curves(histories, "MIRROR")
    drawn = [axes for axes in figure.axes if axes.lines]
    assert [len(axes.lines) for axes in drawn] == [3, 3]
    assert drawn[0].lines[-1].get_ydata() == pytest.approx(1 / np.arange(1, 6) + 0.25)
    assert last_values(histories) == pytest.approx({"total": 0.45, "alignment": 0.4})
    assert to_svg(figure)


def test_training_curves_of_one_epoch_are_points() -> None:
    figure = draw_training_curves({"seed0/fold0": history(1)}, "short")
    assert figure.axes[0].lines[0].get_marker() == "."
    assert to_svg(figure)


def result_rows() -> pd.DataFrame:
    rows = [
        {
            "protocol": protocol,
            "encoder": encoder,
            "method": method,
            "setting": setting,
            "metric": metric,
            "mean": 0.7,
            "ci_low": 0.6,
            "ci_high": 0.8,
            "published_mean": 0.75 if protocol == "paper" else np.nan,
            "suspect": "",
        }
        for protocol in ("honest", "paper")
        for method, encoder in (("mirror", "resnet50"), ("majority", "none"))
        for setting in ("all", "10-shot")
        for metric in ("accuracy", "f1_macro")
    ]
    return pd.DataFrame(rows)


def forest(rows: pd.DataFrame) -> Figure:
    return draw_forest(rows, ["accuracy", "f1_macro"], ["majority", "mirror"], {"mirror": "MIRROR"})


def test_forest_has_a_panel_a_protocol_and_metric() -> None:
    figure = forest(result_rows())
    titles = [axes.get_title(loc="left") for axes in figure.axes]
    assert titles == ["Accuracy · honest", "Accuracy · paper", "Macro F1 · honest", "Macro F1 · paper"]
    labels = [label.get_text() for label in figure.axes[0].get_yticklabels()]
    assert labels == ["majority", "MIRROR"]
    assert to_svg(figure)


def test_forest_shows_published_values_hollow() -> None:
    figure = forest(result_rows())
    hollow = [[line for line in axes.lines if line.get_markerfacecolor() == "white"] for axes in figure.axes]
    assert [len(lines) for lines in hollow] == [0, 4, 0, 4]
    assert hollow[1][0].get_xdata().tolist() == [0.75]
    assert "published" in texts(figure)


def test_forest_marks_suspect_published_values() -> None:
    rows = result_rows()
    rows.loc[(rows["method"] == "mirror") & (rows["metric"] == "accuracy"), "suspect"] = "sd below rounding"
    figure = forest(rows)
    crosses = [[line for line in axes.lines if line.get_marker() == "x"] for axes in figure.axes]
    assert [len(lines) for lines in crosses] == [0, 2, 0, 0]
    assert {"published", "published, suspect"} <= texts(figure)
    assert "published, suspect" not in texts(forest(result_rows()))


def test_forest_leaves_undefined_cells_empty() -> None:
    rows = result_rows()
    rows.loc[rows["method"] == "majority", ["mean", "ci_low", "ci_high", "published_mean"]] = np.nan
    figure = forest(rows)
    places = {round(float(y)) for line in figure.axes[0].lines if line.get_marker() == "o" for y in line.get_ydata()}
    assert places == {-1}


def test_forest_with_long_names_and_one_method() -> None:
    rows = result_rows().query("method == 'mirror'").assign(method="x" * 90, encoder="y" * 90, protocol="z" * 90)
    rows = rows.drop_duplicates(["metric", "setting"])
    assert to_svg(draw_forest(rows, ["accuracy"], [], {}))


def results_of_a_pair(path: Path) -> Path:
    """results.csv of cohorts a (mirror, majority) and b--from--a (mirror, all data), under two protocols."""
    rows = result_rows().assign(task="subtyping", n=30.0)
    adapted = rows.query("method == 'mirror' and setting == 'all'")
    parts = [rows.assign(cohort="a"), rows.assign(cohort="b", mean=0.65), adapted.assign(cohort="b--from--a")]
    pd.concat(parts).to_csv(path, index=False)
    return path


def test_forest_of_an_adapted_cohort_shows_its_targets_own_encoders_beside_it(tmp_path: Path) -> None:
    results = results_of_a_pair(tmp_path / "results.csv")
    (task,) = forest_tasks("b--from--a", str(results), ["majority", "mirror"], {"mirror": "MIRROR"})
    spec = task.draw()
    assert {"from a", "b itself", "MIRROR"} <= texts(spec.figure)
    assert not {"all", "10-shot", "majority"} & texts(spec.figure)
    filled = [line for line in spec.figure.axes[0].lines if line.get_markersize() == 5 and len(line.get_xdata()) == 1]
    assert [float(line.get_xdata()[0]) for line in filled] == [0.7, 0.65]
    assert "From a: encoders pretrained on a, frozen, and adapted to b." in spec.caption
    assert "(honest, from a)" in spec.alt


def test_a_pair_whose_results_are_withheld_has_no_forest(tmp_path: Path) -> None:
    results = results_of_a_pair(tmp_path / "results.csv")
    pd.read_csv(results).query("cohort == 'c'").to_csv(results, index=False)
    assert list(forest_tasks("b--from--a", results, ["mirror"], {})) == []


@pytest.mark.parametrize(("cohort", "protocol"), [("2019", "01"), ("null", "nan")])
def test_names_that_pandas_takes_for_something_else_have_their_figures(
    cohort: str, protocol: str, tmp_path: Path
) -> None:
    """They were said to be withheld: a column of digits is read as numbers."""
    path = tmp_path / "results.csv"
    rows = result_rows().assign(task="subtyping", cohort=cohort, protocol=protocol, by_fold="0.7 0.6", patient_set="p1")
    rows.assign(train_patients="20 20", n=30).to_csv(path, index=False)
    assert protocols_shown(cohort, path) == {protocol}
    (forest_task,) = forest_tasks(cohort, path, ["majority", "mirror"], {})
    assert f"({protocol}, " in forest_task.draw().alt
    assert [task.name for task in rank_tasks(cohort, path, {})] == ["ranks_subtyping"]
    table = read_results(path)
    assert set(table["cohort"]) == {cohort}
    assert set(table["protocol"]) == {protocol}
    assert table["n"].tolist() == [30] * len(table)
    assert table["suspect"].isna().any()


def test_forest_of_a_cohort_leaves_adapted_ones_out(tmp_path: Path) -> None:
    (task,) = forest_tasks("b", str(results_of_a_pair(tmp_path / "results.csv")), ["majority", "mirror"], {})
    spec = task.draw()
    assert {"all", "10-shot"} <= texts(spec.figure)
    assert "adapted" not in spec.caption


def test_cohort_flow_names_every_step() -> None:
    flow = pd.DataFrame({"step": ["patients in the sheet", "with slides"], "patients": [90, 88], "slides": [120, 117]})
    shown = texts(draw_cohort_flow(flow, "demo"))
    assert {"patients in the sheet", "with slides", " 88 patients, 117 slides"} <= shown


def test_cohort_flow_of_nobody() -> None:
    flow = pd.DataFrame({"step": ["patients in the sheet"], "patients": [0], "slides": [0]})
    assert to_svg(draw_cohort_flow(flow, "empty"))


def test_shorten_keeps_both_ends() -> None:
    assert shorten("short") == "short"
    assert shorten("abcdefghij", 5) == "ab…ij"


def test_no_figure_touches_pyplot_or_the_users_settings() -> None:
    import sys

    import matplotlib as mpl

    before = dict(mpl.rcParams)
    forest(result_rows())
    assert dict(mpl.rcParams) == before
    assert "matplotlib.pyplot" not in sys.modules or not sys.modules["matplotlib.pyplot"].get_fignums()


# Ranks.


def by_fold(**values: str) -> pd.DataFrame:
    return pd.DataFrame([{"method": name, "encoder": "none", "by_fold": text} for name, text in values.items()])


def test_ranks_within_folds_by_hand() -> None:
    ranks = fold_ranks(by_fold(worst="0.1 0.2", best="0.9 0.5", tied="0.3 0.5"))
    assert [method for method, _ in ranks.index] == ["best", "tied", "worst"]
    assert ranks.to_numpy().tolist() == [[1, 1.5], [2, 1.5], [3, 3]]


def test_methods_that_lack_a_fold_are_not_ranked() -> None:
    ranks = fold_ranks(by_fold(whole="0.5 0.5", short="0.9", gap="0.9 nan"))
    assert [method for method, _ in ranks.index] == ["whole"]
    assert fold_ranks(by_fold()).empty


def ranked_rows(*rows: tuple[str, str, str, int]) -> pd.DataFrame:
    """method, by_fold, patient_set, n of results.csv under one protocol."""
    frame = pd.DataFrame(rows, columns=["method", "by_fold", "patient_set", "n"])
    cell = {"protocol": "honest", "cohort": "brca", "setting": "all", "task": "subtyping"}
    return frame.assign(encoder="uni", mean=0.5, verdict="", train_patients="20", **cell)


def ranks_caption(frame: pd.DataFrame, path: Path) -> str:
    frame = frame.assign(metric=MAIN_METRICS["subtyping"][0])
    frame.to_csv(path, index=False)
    (task,) = rank_tasks("brca", path, {"lacking": "Lacking"})
    return task.draw().caption


def test_methods_without_a_rank_are_named_and_their_patients_not_counted(tmp_path: Path) -> None:
    rows = ranked_rows(
        ("a", "0.5 0.6", "p1", 40),
        ("b", "0.6 0.6", "p1", 40),
        ("lacking", "0.6 nan", "p1", 40),
        ("other", "0.7 0.7", "p2", 25),
    )
    single = rows.head(1).assign(protocol="single", n=12)
    caption = ranks_caption(pd.concat([rows, single]), tmp_path / "results.csv")
    assert "all training data: honest, n = 40. " in caption
    assert (
        "Lacking with uni under honest (no value in some fold); other with uni under honest (other patients, "
        in caption
    )
    assert "(other patients, n = 25)" in caption
    assert "single (fewer than two methods" in caption


def test_where_all_methods_are_ranked_none_is_said_to_be_left_out(tmp_path: Path) -> None:
    rows = ranked_rows(("a", "0.5 0.6", "p1", 40), ("b", "0.6 0.6", "p1", 40))
    assert "Not ranked" not in ranks_caption(rows, tmp_path / "results.csv")


@pytest.mark.parametrize(("reference", "kept"), [("a", {"a", "b"}), ("c", {"c", "d"}), ("none", {"c", "d"})])
def test_of_two_sets_of_patients_with_as_many_methods_the_references_counts(reference: str, kept: set[str]) -> None:
    rows = ranked_rows(("a", "1", "p1", 25), ("b", "1", "p1", 25), ("c", "1", "p2", 40), ("d", "1", "p2", 40))
    rows.loc[rows["method"] == reference, "verdict"] = "reference"
    assert set(of_same_patients(rows)["method"]) == kept


def test_rank_plot_has_a_panel_a_protocol_and_the_best_on_top() -> None:
    ranks = fold_ranks(by_fold(worst="0.1 0.2", best="0.9 0.5"))
    figure = draw_ranks({"honest": ranks, "paper": ranks}, {"best": "The best"})
    assert len(figure.axes) == 2
    assert {"honest", "paper", "The best", "worst"} <= texts(figure)
    assert figure.axes[0].get_yticklabels()[0].get_text() == "The best"
    assert to_svg(draw_ranks({"one": ranks}, {})) == to_svg(draw_ranks({"one": ranks}, {}))
