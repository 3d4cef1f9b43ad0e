import logging

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mirrorflow.cohorts import splits as folding
from mirrorflow.cohorts.folds import (
    inner_folds,
    keep_sites_apart,
    random_folds,
    scarce_classes,
    site_preserved_folds,
)
from mirrorflow.cohorts.patients import to_units
from mirrorflow.cohorts.splits import Fold
from mirrorflow.errors import InputError


def people(labels: str, sites: str | None = None, times: list[float] | None = None) -> pd.DataFrame:
    """One patient per letter of ``labels`` (``.`` for no label), at the site of the same place."""
    count = len(labels)
    return pd.DataFrame(
        {
            "patient": [f"P{i:03}" for i in range(count)],
            "label": [label.replace(".", "") for label in labels],
            "site": list(sites or "s" * count),
            "time_days": np.arange(1.0, count + 1) if times is None else times,
            "event": np.arange(count) % 2.0,
            "slide_ids": [[f"P{i:03}-1", f"P{i:03}-2"][: 1 + i % 2] for i in range(count)],
        }
    )


property_test = settings(max_examples=40, deadline=None, derandomize=True, database=None)
cohorts_of_letters = st.text("abc.", min_size=12, max_size=60)


# Folds.


@given(labels=cohorts_of_letters, count=st.integers(2, 6), seed=st.integers(0, 999))
@property_test
def test_random_folds_evaluate_every_patient_once_and_never_train_on_them(labels, count, seed):
    cohort = people(labels)
    folds = random_folds(cohort, count, seed)
    assert len(folds) == count
    for fold in folds:
        assert set(fold.train) & set(fold.val) == set()
        assert sorted(fold.train + fold.val) == cohort["patient"].tolist()
    assert sorted(patient for fold in folds for patient in fold.val) == cohort["patient"].tolist()


@given(data=st.data(), labels=cohorts_of_letters, count=st.integers(2, 5), seed=st.integers(0, 999))
@property_test
def test_site_preserved_folds_keep_every_site_on_one_side(data, labels, count, seed):
    # One patient at least in each of `count` sites, the others anywhere: site sizes may be very unequal.
    letters = "abcdefgh"
    others = data.draw(st.text(letters, min_size=len(labels) - count, max_size=len(labels) - count))
    cohort = people(labels, letters[:count] + others)
    site = dict(zip(cohort["patient"], cohort["site"], strict=True))
    folds = site_preserved_folds(cohort, count, seed)
    for fold in folds:
        assert {site[patient] for patient in fold.train} & {site[patient] for patient in fold.val} == set()
        assert fold.train
        assert fold.val
    assert sorted(patient for fold in folds for patient in fold.val) == cohort["patient"].tolist()


@pytest.mark.parametrize("make", [random_folds, site_preserved_folds])
def test_folds_follow_from_the_seed(make):
    cohort = people("ab" * 20, "abcdefghij" * 4)
    assert make(cohort, 5, 1) == make(cohort.copy(), 5, 1)
    assert make(cohort, 5, 1) != make(cohort, 5, 2)


def test_random_folds_are_balanced_by_label():
    label = dict(zip((cohort := people("a" * 30 + "b" * 10))["patient"], cohort["label"], strict=True))
    for fold in random_folds(cohort, 5, 0):
        assert sorted(label[patient] for patient in fold.val) == list("aaaaaabb")


def test_patients_without_a_label_are_balanced_by_event():
    cohort = people("." * 40)
    event = dict(zip(cohort["patient"], cohort["event"], strict=True))
    for fold in random_folds(cohort, 5, 0):
        assert sum(event[patient] for patient in fold.val) == 4


def test_a_class_smaller_than_the_folds_is_named_and_all_units_still_evaluated(caplog):
    cohort = people("a" * 20 + "bbb")
    with caplog.at_level(logging.WARNING):
        folds = random_folds(cohort, 5, 0, "demo")
    assert "demo: fewer patients than the 5 folds in class b (3)" in caplog.text
    assert sorted(patient for fold in folds for patient in fold.val) == cohort["patient"].tolist()


def test_a_class_in_fewer_sites_than_folds_is_said_with_the_counts_and_fewer_folds(caplog):
    # Ten sites of six patients; class b is in four of them, with five patients in each.
    cohort = people("abbbbb" * 4 + "aaaaaa" * 6, "".join(site * 6 for site in "qrstuvwxyz"))
    site_preserved_folds(cohort, 4, 0, "demo")
    assert caplog.text == ""
    folds = site_preserved_folds(cohort, 5, 0, "demo")
    assert "demo: fewer sites than the 5 folds in class b (4 sites, 20 patients)" in caplog.text
    assert "lack it in the evaluation of 1 or more; set splits.folds to at most 4" in caplog.text
    label = dict(zip(cohort["patient"], cohort["label"], strict=True))
    (lacking,) = (k for k, fold in enumerate(folds) if "b" not in {label[patient] for patient in fold.val})
    assert f"demo: no patient of class b is evaluated in fold {lacking}; their metrics" in caplog.text


def test_a_class_in_one_site_is_to_be_joined_and_inner_folds_name_their_key():
    cohort = people("ababac", "uvwxyz")
    assert "in class c (1 sites, 1 patients)" in scarce_classes(cohort, 2)
    assert "join the class to another, or draw folds" in scarce_classes(cohort, 2)
    assert "set splits.inner_folds to at most 2" in scarce_classes(people("abab", "uvwx"), 3, "splits.inner_folds")


def test_small_groups_without_a_label_are_no_reason_to_warn(caplog):
    with caplog.at_level(logging.WARNING):
        random_folds(people("a" * 20 + ".."), 5, 0)
    assert caplog.text == ""


def test_too_few_patients_sites_or_no_site_say_what_to_change():
    with pytest.raises(InputError, match=r"demo: 3 patients for 5 folds; set splits.folds to at most 3"):
        random_folds(people("aab"), 5, 0, "demo")
    with pytest.raises(InputError, match=r"demo: 2 sites for 5 folds; set splits.folds to at most 2"):
        site_preserved_folds(people("a" * 10, "xy" * 5), 5, 0, "demo")
    cohort = people("a" * 10, "abcde" * 2).assign(site=["", *"abcdeabcd"])
    with pytest.raises(InputError, match=r"demo: 1 patients have no site; give a `site` or set splits: random"):
        site_preserved_folds(cohort, 5, 0, "demo")


# Inner folds.


@pytest.mark.parametrize("by_site", [False, True])
def test_inner_folds_part_the_training_patients_and_leave_the_others_alone(by_site):
    cohort = people("ab" * 20, "abcdefghij" * 4)
    outer = site_preserved_folds(cohort, 2, 0)[0]
    inner = inner_folds(cohort, outer, 3, 1, by_site=by_site)
    site = dict(zip(cohort["patient"], cohort["site"], strict=True))
    for part in inner:
        assert sorted(part.train + part.val) == sorted(outer.train)
        assert not set(part.train) & set(part.val)
        assert not by_site or not {site[name] for name in part.train} & {site[name] for name in part.val}
    assert sorted(name for part in inner for name in part.val) == sorted(outer.train)
    assert inner == inner_folds(cohort.copy(), outer, 3, 1, by_site=by_site)
    assert inner != inner_folds(cohort, outer, 3, 2, by_site=by_site)


def test_inner_folds_are_balanced_by_label():
    label = dict(zip((cohort := people("a" * 30 + "b" * 10))["patient"], cohort["label"], strict=True))
    outer = random_folds(cohort, 2, 0)[0]
    for part in inner_folds(cohort, outer, 5, 0, by_site=False):
        assert sorted(label[patient] for patient in part.val) == list("aaab")


def test_an_evaluation_patient_who_is_trained_on_too_is_in_no_inner_fold():
    cohort = people("ab" * 6)
    all_units = cohort["patient"].tolist()
    for part in inner_folds(cohort, Fold(tuple(all_units), tuple(all_units[:4])), 2, 0, by_site=False):
        assert sorted(part.train + part.val) == all_units[4:]


def test_too_few_patients_or_sites_for_inner_folds_say_what_to_change():
    cohort = people("ab" * 6, "aabb" * 3)
    outer = Fold(("P000", "P001", "P002"), ("P003",))
    with pytest.raises(InputError, match=r"3 patients for 4 folds; set splits.inner_folds to at most 3"):
        inner_folds(cohort, outer, 4, 0, by_site=False)
    with pytest.raises(InputError, match=r"2 sites for 3 folds; set splits.inner_folds to at most 2"):
        inner_folds(cohort, outer, 3, 0, by_site=True)
    with pytest.raises(InputError, match=r"1 sites for 2 folds; set splits: random"):
        inner_folds(cohort, Fold(("P000", "P001"), ("P002",)), 2, 0, by_site=True)


def test_folds_that_keep_sites_apart_are_known_by_their_patients():
    cohort = people("abab", "xxyz")
    assert keep_sites_apart([Fold(("P000", "P001"), ("P002", "P003")), Fold(("P002",), ("P000", "P001"))], cohort)
    assert not keep_sites_apart([Fold(("P002",), ("P000", "P001")), Fold(("P000", "P003"), ("P001",))], cohort)
    unknown = cohort.assign(site=["x", "x", "", "z"])
    assert not keep_sites_apart([Fold(("P000", "P001"), ("P003",))], unknown)


def test_a_published_fold_loses_whom_the_cohort_lacks_and_nobody_else():
    fold = Fold(("A", "B", "C"), ("D", "B"))
    assert folding.restrict(fold, ["B", "C", "D"]) == Fold(("B", "C"), ("D", "B"))


# Units of a fold.


@pytest.mark.parametrize("unit", ["patient", "slide"])
@pytest.mark.parametrize("task", ["subtyping", "survival"])
def test_units_of_a_patient_are_on_one_side_and_take_part_where_they_can(unit, task):
    cohort = people("ab.." * 10)
    cohort.loc[::3, "event"] = np.nan
    units = to_units(cohort, unit)
    fold = random_folds(cohort, 4, 0)[0]
    train, evaluation = folding.training_units(units, fold, task), folding.evaluation_units(units, fold, task)
    assert set(train["patient"]) & set(evaluation["patient"]) == set()
    known = cohort["label"] != "" if task == "subtyping" else cohort["event"].notna()
    assert set(train["patient"]) == set(cohort.loc[known, "patient"]) & set(fold.train)
    assert set(evaluation["patient"]) == set(cohort.loc[known, "patient"]) & set(fold.val)


# Survival bins.


def test_bins_are_quartiles_of_the_uncensored_times():
    times = np.array([1.0, 2, 3, 4, 5, 1000])
    events = np.array([True, True, True, True, True, False])
    assert folding.survival_bin_edges(times, events, 4).tolist() == [0, 2, 3, 4, np.inf]


def test_a_time_on_an_edge_belongs_to_the_later_bin():
    edges = np.array([0, 2, 3, 4, np.inf])
    times = np.array([0.5, 2, 2.5, 3, 4, 99])
    assert folding.assign_bins(times, edges).tolist() == [0, 1, 1, 2, 3, 3]


@given(st.lists(st.tuples(st.floats(0.1, 1e4), st.booleans()), min_size=1, max_size=40), st.integers(2, 6))
@property_test
def test_every_time_has_a_bin_whose_edges_hold_it(outcomes, bins):
    times, events = np.array([time for time, _ in outcomes]), np.array([event for _, event in outcomes])
    events[0] = True
    edges = folding.survival_bin_edges(times, events, bins)
    place = folding.assign_bins(times, edges)
    assert len(edges) == bins + 1
    assert (edges[place] <= times).all()
    assert (times < edges[place + 1]).all()


def test_bins_without_an_event_cannot_be_set():
    with pytest.raises(InputError, match="no event among the training patients"):
        folding.survival_bin_edges(np.array([1.0, 2.0]), np.array([False, False]), 4)


def test_bins_of_a_fold_do_not_see_evaluation_outcomes():
    cohort = people("a" * 40)
    fold = random_folds(cohort, 4, 0)[0]
    changed = cohort.copy()
    changed.loc[changed["patient"].isin(fold.val), "time_days"] *= 100
    edges = [folding.training_edges(frame, fold, 4, "fold") for frame in (cohort, changed)]
    assert edges[0].tolist() == edges[1].tolist()
    published = [folding.training_edges(frame, fold, 4, "cohort") for frame in (cohort, changed)]
    assert published[0].tolist() != published[1].tolist()


def test_bins_ignore_unknown_outcomes():
    cohort = people("a" * 10)
    all_units = Fold(tuple(cohort["patient"]), ())
    unknown = pd.concat([cohort, cohort.assign(patient="X", event=np.nan)])
    before, after = (folding.training_edges(frame, all_units, 4, "cohort") for frame in (cohort, unknown))
    assert before.tolist() == after.tolist()


# Support sets.


def drawn(labels: str, k: int, *, replacement: bool, unit: str = "slide", seed: int = 0) -> pd.DataFrame:
    units = to_units(people(labels), unit)
    groups = folding.support_groups(units, "subtyping", None)
    return folding.draw_support(units, groups, k, np.random.default_rng(seed), replacement=replacement)


@pytest.mark.parametrize("unit", ["patient", "slide"])
def test_a_support_set_has_k_distinct_patients_a_class(unit):
    support = drawn("aabbbccccaaabbccc" * 2, 4, replacement=False, unit=unit)
    for _, group in support.groupby("group"):
        assert len(group) == group["patient"].nunique() == 4
    assert (support["k_real"] == 4).all()
    assert set(support["group"]) == set("abc")


def test_another_seed_draws_other_patients():
    first, second = (drawn("ab" * 20, 4, replacement=False, seed=seed) for seed in (0, 1))
    assert set(first["patient"]) != set(second["patient"])


def test_k_is_capped_by_the_smallest_class_and_said(caplog):
    with caplog.at_level(logging.WARNING):
        support = drawn("aaaaaaabb", 5, replacement=False)
    assert support.groupby("group")["patient"].nunique().tolist() == [2, 2]
    assert (support["k_real"] == 2).all()
    assert "the smallest group has 2 patients, so k is 2 instead of 5" in caplog.text


def test_published_support_sets_repeat_draws_and_take_sibling_slides_along():
    supports = [drawn("abababab", 6, replacement=True, seed=seed) for seed in range(20)]
    sizes = {size for support in supports for size in support.groupby("group")["patient"].nunique()}
    assert min(sizes) < 4  # of the 6 draws among 4 patients, some were the same
    for support in supports:
        assert (support["k_real"] == 6).all()
        assert not support["unit"].duplicated().any()
        slides = {name: set(part["unit"]) for name, part in support.groupby("patient")}
        for patient, units in slides.items():
            assert units == {f"{patient}-1", f"{patient}-2"}.intersection(to_units(people("abababab"), "slide")["unit"])


@given(st.text("abc", min_size=3, max_size=40), st.integers(1, 12), st.integers(0, 99), st.booleans())
@property_test
def test_support_sets_come_from_their_own_group_and_follow_from_the_seed(labels, k, seed, replacement):
    support = drawn(labels, k, replacement=replacement, seed=seed)
    label = dict(zip((cohort := people(labels))["patient"], cohort["label"], strict=True))
    assert [label[patient] for patient in support["patient"]] == support["group"].tolist()
    assert set(support["group"]) == set(labels)
    pd.testing.assert_frame_equal(support, drawn(labels, k, replacement=replacement, seed=seed))


def test_survival_support_is_drawn_per_bin_of_the_time():
    cohort = people("a" * 6, times=[1, 2, 3, 4, 5, 6])
    groups = folding.support_groups(cohort, "survival", np.array([0, 3, 5, np.inf]))
    assert groups.tolist() == ["0", "0", "1", "1", "2", "2"]
    with pytest.raises(ValueError, match="edges"):
        folding.support_groups(cohort, "survival", None)


# Published choices.


def test_the_last_incomplete_batch_is_lost_from_the_last_class():
    units = pd.DataFrame({"unit": [f"u{i}" for i in range(20)], "label": ["b", "a"] * 10})
    places = {unit: "ab".index(label) for unit, label in zip(units["unit"], units["label"], strict=True)}
    kept = folding.lose_last_batch(units, places, 16)
    assert list(kept) == list(units)
    assert kept["label"].tolist() == ["a"] * 10 + ["b"] * 6
    assert set(units["unit"]) - set(kept["unit"]) == {"u12", "u14", "u16", "u18"}


def test_whole_batches_and_a_fold_below_one_batch_lose_nobody():
    for count in (5, 16, 32):
        units = pd.DataFrame({"unit": [f"u{i}" for i in range(count)]})
        assert len(folding.lose_last_batch(units, dict.fromkeys(units["unit"], 0), 16)) == count


def test_honest_selection_sees_training_patients_only():
    cohort = people("ab" * 20)
    fold = random_folds(cohort, 4, 0)[1]
    assert folding.selection_patients(cohort, fold, "fold", 0) == sorted(fold.train)


def test_published_selection_sees_the_same_80_percent_in_every_fold():
    cohort = people("ab." * 20)
    folds = random_folds(cohort, 4, 0)
    chosen = [folding.selection_patients(cohort, fold, "cohort", 3) for fold in folds]
    assert all(patients == chosen[0] for patients in chosen)
    assert len(chosen[0]) == len(set(chosen[0])) == 32  # 80% of the 40 with a label
    assert set(chosen[0]) <= set(cohort.loc[cohort["label"] != "", "patient"])
    assert all(set(chosen[0]) & set(fold.val) for fold in folds)
    assert folding.selection_patients(cohort, folds[0], "cohort", 4) != chosen[0]


# Split files with a third part.

THREE = [Fold(("A", "B"), ("C",), ("D",)), Fold(("C", "D"), ("B",), ("A",))]


def test_the_test_part_is_evaluated_and_val_chooses():
    for evaluate in ("auto", "test"):
        folds = [folding.as_evaluated(fold) for fold in folding.choose_evaluated(THREE, evaluate, "f")]
        assert folds[0] == Fold(("A", "B"), ("D",), choice=("C",))
    assert folding.evaluated_part(folds).startswith("evaluated on the column test of the split files, whose val (1, 1 ")


def test_val_may_be_evaluated_and_test_then_takes_no_part():
    folds = [folding.as_evaluated(fold) for fold in folding.choose_evaluated(THREE, "val", "f")]
    assert folds[0] == Fold(("A", "B"), ("C",), unused=("D",))
    assert folds[0].parts == {"train": ("A", "B"), "val": ("C",)}
    assert "whose test (1, 1 patients by fold) takes no part" in folding.evaluated_part(folds)


def test_files_of_two_parts_are_as_they_were():
    two = [Fold(("A",), ("B",))]
    assert [folding.as_evaluated(fold) for fold in folding.choose_evaluated(two, "auto", "f")] == two
    assert folding.evaluated_part(two) == ""


@pytest.mark.parametrize(
    ("folds", "evaluate", "said"),
    [
        ([THREE[0], Fold(("A",), ("B",))], "auto", r"f/splits_1\.csv: no patient in the column test.*set .*: val"),
        ([Fold(("A",), ("B",))], "test", r"f/splits_0\.csv: no patient in the column test, .*splits\.evaluate: test"),
        ([Fold(("A",), (), ("B",))], "val", r"f/splits_0\.csv: no patient in the column val.*splits\.evaluate: test"),
    ],
)  # fmt: skip
def test_a_file_with_nobody_to_evaluate_is_named(folds, evaluate, said):
    with pytest.raises(InputError, match=said):
        folding.choose_evaluated(folds, evaluate, "f")


def test_a_published_fold_of_three_parts_keeps_each():
    assert folding.restrict(Fold(("A", "X"), ("C",), ("D", "Y")), list("ABCD")) == Fold(("A",), ("C",), ("D",))
    assert folding.restrict(Fold(("A",), ("D",), choice=("C", "X")), list("ABCD")) == Fold(
        ("A",), ("D",), choice=("C",)
    )


def test_a_repair_leaves_out_whom_nothing_uses():
    shared = [Fold(("A", "B"), ("B", "C"), unused=("D",)), Fold(("C",), ("A",), unused=("E",))]
    assert folding.repair_folds(shared)[0] == Fold(("A",), ("B", "C"), unused=("D",))


def test_a_repair_trains_on_nobody_who_takes_no_part():
    named = [Fold(("A", "B"), ("C",), ("D", "B")), Fold(("C", "D"), ("A",), ("B",))]
    first, second = folding.repair_folds(folding.choose_evaluated(named, "val", "f"))
    assert first == Fold(("A",), ("C",), unused=("B", "D"))  # D is trained on in the other fold
    assert second == Fold(("C", "D"), ("A",), unused=("B",))  # shares nobody


def test_whom_a_repair_takes_out_of_evaluation_and_who_takes_no_part_stays_out():
    shared = [Fold(("A",), ("B", "X"), unused=("X",)), Fold(("B",), ("X",), unused=("A",))]
    assert folding.repair_folds(shared) == [Fold(("A",), ("B",), unused=("X",)), shared[1]]


@pytest.mark.parametrize("evaluate", ["val", "test"])
def test_folds_that_share_nobody_are_repaired_to_themselves_whatever_they_leave_out(evaluate):
    named = [Fold(("A",), ("C",), ("D",)), Fold(("C", "D"), ("A",), ("B",)), Fold(("E",), ("F",), ("G",))]
    folds = folding.choose_evaluated(named, evaluate, "f")
    assert folding.repair_folds(folds) == folds
