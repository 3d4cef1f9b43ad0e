"""Cohorts that lack a modality: what is left out, who takes part, and what audit and tables say of it."""

import pandas as pd
import pytest

from mirrorflow.audit.origins import Origins
from mirrorflow.cohorts.assembly import assemble
from mirrorflow.cohorts.patients import to_units, who_has, who_has_all
from mirrorflow.config.modalities import left_out_lines, reference_of
from mirrorflow.config.queries import encoders_of
from mirrorflow.config.resolve import resolve
from mirrorflow.errors import ConfigError, InputError
from mirrorflow.evaluation import FoldRows
from mirrorflow.evaluation.cells import patient_set
from mirrorflow.plan.cohorts import CohortInputs
from mirrorflow.plan.genes import GeneInputs
from mirrorflow.plan.predictions import AuditInputs, PredictionInputs
from mirrorflow.plan.results import TableInputs
from mirrorflow.plan.run import Run
from mirrorflow.plan.slides import SlideInputs
from mirrorflow.plan.targets import all_targets
from mirrorflow.report.head import glance_section
from mirrorflow.steps.results.training_patients import Training
from mirrorflow.tables.main import patients_note, wide_table
from small_config import minimal

SLIDES = {"slides": {"sheet": "slides.tsv"}, "encoders": ["uni"], "features": {"uni": "somewhere"}}
CLINICAL = {"clinical": {"sheet": "patients.tsv"}}
RNA = {"expression": "own"}
METHODS = {name: {} for name in ("majority", "linear", "rna-linear", "concat-linear", "mirror")}


def config_of(cohort, **changes):
    return resolve(minimal(cohorts={"a": CLINICAL | cohort}, methods=METHODS, **changes))


class Ask:
    def __init__(self, **named):
        self.__dict__ |= named


def test_a_cohort_of_slides_alone_leaves_out_what_sees_rna():
    config = config_of(SLIDES, evaluation={"reference": "majority"})
    assert [name for name in METHODS if encoders_of(config, "a", name)] == ["majority", "linear"]
    assert left_out_lines(config) == [
        "a: left out rna-linear, concat-linear, mirror: sees expression, and the cohort names no `expression:`"
    ]


def test_a_cohort_of_rna_alone_leaves_out_what_sees_slides():
    config = config_of(RNA, evaluation={"reference": "majority"})
    assert [name for name in METHODS if encoders_of(config, "a", name)] == ["majority", "rna-linear"]
    assert left_out_lines(config) == [
        "a: left out linear, concat-linear, mirror: sees slides and features, and the cohort names no `slides:`"
    ]


def test_a_cohort_of_both_leaves_out_nothing():
    assert left_out_lines(config_of(SLIDES | RNA)) == []


@pytest.mark.parametrize(
    ("cohort", "said"),
    [
        ({}, "cohorts.a: neither `slides:` nor `expression:`"),
        (RNA | {"encoders": ["uni"], "features": {"uni": "x"}}, "cohorts.a.encoders: without `slides:`"),
        (RNA | {"train_on": "available"}, "cohorts.a.train_on: available: all patients of a cohort with one modality"),
        (SLIDES | RNA | {"train_on": "both"}, "cohorts.a.train_on: 'both' is not one of 'common', 'available'"),
    ],
)
def test_what_cannot_be_is_refused_by_name(cohort, said):
    with pytest.raises(ConfigError, match="config") as refused:
        config_of(cohort)
    assert said in str(refused.value)


def test_a_run_whose_methods_all_lack_something_is_refused():
    with pytest.raises(ConfigError, match="none of mirror can be run with what the cohorts have"):
        resolve(minimal(cohorts={"a": CLINICAL | SLIDES}, methods={"mirror": {}}))


def test_encoders_are_carried_over_between_cohorts_with_both_modalities_only():
    cohorts = {"a": CLINICAL | SLIDES | RNA, "b": CLINICAL | SLIDES}
    with pytest.raises(ConfigError, match=r"adaptation.a: b has no expression; take it out"):
        resolve(minimal(cohorts=cohorts, methods=METHODS, adaptation={"a": {"targets": ["b"]}}))


def plan_of(cohort):
    run = Run(config_of(cohort))
    slides, genes, predictions = SlideInputs(run), GeneInputs(run), PredictionInputs(run)
    return run, slides, genes, predictions


def test_without_expression_no_gene_step_is_planned():
    run, _, genes, _ = plan_of(SLIDES)
    asked = Ask(cohort="a", protocol="honest", method="linear")
    assert run.expression(asked) == []
    assert genes.of_protocol(asked) == genes.of_every_scope(["a"]) == []
    methods = {path.split("/")[-2] for path in run.manifests("honest", "a")}
    assert methods == {"majority", "linear"}
    audit = AuditInputs(run, None, genes, None, None)
    assert audit.expression(asked) == audit.matrix(asked) == []


def test_without_slides_no_slide_is_planned():
    run, slides, _, _ = plan_of(RNA)
    asked = Ask(cohort="a", source="own")
    assert slides.ledgers() == slides.indexes(asked) == slides.sheet(asked) == []
    assert CohortInputs(run).clinical_of_matrix(asked)["sheet"] == "patients.tsv"
    assert all("ledger" not in path for path in all_targets(run, slides, _Tables()))


class _Tables:
    def main(self, ending):
        return []

    def further(self):
        return []


def test_the_matrix_is_read_for_all_patients_where_those_without_slides_count():
    asked = Ask(cohort="a", source="own")
    common = CohortInputs(Run(config_of(SLIDES | RNA)))
    available = CohortInputs(Run(config_of(SLIDES | RNA | {"train_on": "available"})))
    assert common.clinical_of_matrix(asked) is None
    assert common.clinical_files_of_matrix(asked) == []
    assert available.clinical_of_matrix(asked)["sheet"] == "patients.tsv"


def people(*names):
    outcome = {"time_days": 100.0, "event": 1.0, "label": "x", "sheet_label": "x", "site": "s"}
    return pd.DataFrame([{"patient": name, **outcome} for name in names])


def index(*slides):
    rows = [dict(zip(("slide_id", "patient"), slide.split(), strict=True), status="ok", reason="") for slide in slides]
    return pd.DataFrame(rows)


def steps(flow):
    return {str(step["step"]): step["patients"] for step in flow.steps}


def test_slides_alone_make_a_cohort():
    frame, flow = assemble(people("A", "B"), {"uni": index("a1 A")}, None, "p.tsv")
    assert frame["patient"].tolist() == ["A"]
    assert frame["has_rna"].tolist() == [False]
    assert steps(flow)["with slides"] == 1
    assert "with slides and expression" not in steps(flow)


def test_rna_alone_makes_a_cohort():
    frame, flow = assemble(people("A", "B"), {}, ["B", "C"], "p.tsv")
    assert frame["patient"].tolist() == ["B"]
    assert frame["slide_ids"].tolist() == [[]]
    assert "has_rna" not in frame
    assert steps(flow)["with expression"] == 1
    assert {"step": "expression", "patient": "A", "slide_id": "", "reason": "no expression"} in flow.dropped


def test_available_keeps_who_has_either():
    frame, flow = assemble(people(*"ABCD"), {"uni": index("a1 A", "b1 B")}, ["B", "C"], "p.tsv", train_on="available")
    assert frame["patient"].tolist() == ["A", "B", "C"]
    assert frame["has_rna"].tolist() == [False, True, True]
    assert frame["slide_ids"].tolist() == [["a1"], ["b1"], []]
    assert steps(flow)["of these with slides and expression"] == 1
    dropped = [one for one in flow.dropped if one["step"] == "slides or expression"]
    assert [one["patient"] for one in dropped] == ["D"]


def test_nobody_is_named_by_what_the_cohort_has():
    with pytest.raises(InputError, match=r"nobody has slides and clinical data: clinical data name A, slides X; check"):
        assemble(people("A"), {"uni": index("x1 X")}, None, "p.tsv")
    with pytest.raises(InputError, match=r"nobody has clinical data and expression: clinical data name A, expression"):
        assemble(people("A"), {}, ["X"], "p.tsv")


def either():
    return assemble(people(*"ABC"), {"uni": index("a1 A", "a2 A", "b1 B")}, ["B", "C"], "p", train_on="available")[0]


@pytest.mark.parametrize(
    ("inputs", "patients"),
    [([], "ABC"), (["clinical"], "ABC"), (["slides"], "AB"), (["rna"], "BC"), (["slides", "rna"], "B")],
)
def test_each_method_takes_who_has_what_it_sees(inputs, patients):
    assert who_has(either(), inputs)["patient"].tolist() == list(patients)


def test_shots_are_drawn_of_who_has_all_that_the_cohort_has():
    assert who_has_all(either())["patient"].tolist() == ["B"]
    slides = assemble(people("A", "B"), {"uni": index("a1 A")}, None, "p.tsv")[0]
    assert who_has_all(slides)["patient"].tolist() == ["A"]


def test_a_patient_without_slides_is_a_unit_of_slides():
    units = to_units(either(), "slide")
    assert units["unit"].tolist() == ["a1", "a2", "b1", "C"]
    assert units["slide_ids"].tolist() == [["a1"], ["a2"], ["b1"], []]
    assert units["slide_id"].tolist() == ["a1", "a2", "b1", ""]


def test_features_of_other_patients_are_no_other_version():
    origins = Origins()
    origins.read("uni", "linear", {"features_digest": "1", "expression_digest": "e"}, "slides")
    origins.read("uni", "mirror", {"features_digest": "2", "expression_digest": "e"}, "rna+slides")
    assert list(origins.findings()) == []
    origins.read("uni", "abmil", {"features_digest": "3"}, "slides")
    assert [one.kind for one in origins.findings()] == ["mixed_features"]


def rows(*patients):
    shared = {
        "protocol": "honest", "cohort": "a", "encoder": "none", "setting": "all", "task": "subtyping",
        "metric": "accuracy", "mean": 0.5, "sd": 0.1, "ci_low": 0.4, "ci_high": 0.6, "note": "",
        "published_mean": float("nan"), "suspect": "",
    }  # fmt: skip
    named = [
        {"method": f"m{at}", "patients": n, "patient_set": f"p{n}", "train_patients": "9 8"}
        for at, n in enumerate(patients)
    ]
    return pd.DataFrame([shared | one for one in named])


def test_a_table_says_how_many_where_methods_are_of_other_patients():
    wide = wide_table(rows(10, 12), ["m0", "m1"], {})
    assert [cell.endswith(f", n = {n} (trained on 8 to 9)") for cell, n in zip(wide.iloc[:, 3], (10, 12), strict=True)]
    assert "on the patients that both have" in patients_note(rows(10, 12))
    assert "n = " not in wide_table(rows(10, 10), ["m0", "m1"], {}).iloc[0, 3]
    assert patients_note(rows(10, 10)) == ""
    others = rows(10, 10).assign(patient_set=["p1", "p2"])  # as many, but not the same: nothing is bold
    assert " n = 10 " in wide_table(others, ["m0", "m1"], {}).iloc[0, 3]


def test_the_report_lists_what_is_left_out_and_why():
    _, _, left_out = glance_section(config_of(SLIDES), {"a": (2, 2)}, []).blocks
    assert [[cell.text for cell in row][:2] for row in left_out.rows] == [
        ["a", "rna-linear"], ["a", "concat-linear"], ["a", "mirror"],
    ]  # fmt: skip
    assert len(glance_section(config_of(SLIDES | RNA), {"a": (2, 2)}, []).blocks) == 2


@pytest.mark.parametrize(("cohort", "instead"), [(SLIDES, "linear"), (RNA, "rna-linear")])
def test_a_cohort_whose_reference_is_left_out_is_held_against_the_linear_method_of_what_it_has(cohort, instead):
    config = config_of(cohort)
    assert left_out_lines(config)[-1] == (
        f"a: verdicts are against {instead}: evaluation.reference, concat-linear, is left out there"
    )
    assert reference_of(config, "a") == instead
    settings = TableInputs(Run(config)).evaluate_settings(Ask(cohort="a"))
    assert (settings["reference"], settings["primary"]) == (instead, {})
    both = config_of(SLIDES | RNA)
    assert reference_of(both, "a") == "concat-linear"
    assert TableInputs(Run(both)).evaluate_settings(Ask(cohort="a"))["reference"] == "concat-linear"
    assert not any("verdicts" in line for line in left_out_lines(both))


def test_a_cohort_with_neither_reference_has_no_verdicts_and_check_warns():
    methods = {name: {} for name in ("majority", "cox", "mirror")}
    config = resolve(minimal(cohorts={"a": CLINICAL | SLIDES}, methods=methods, evaluation={"reference": "mirror"}))
    assert left_out_lines(config)[-1] == (
        "WARNING: a: no verdicts: evaluation.reference, mirror, is left out there; add `linear: {}` to methods, or "
        "name another reference"
    )
    assert reference_of(config, "a") == ""
    assert not any("verdicts" in line for line in left_out_lines(config_of(SLIDES, evaluation={"reference": "linear"})))


@pytest.mark.parametrize(("alike", "counted"), [(True, 9), (False, 4)])
def test_methods_of_other_patients_say_themselves_how_many_they_were_trained_on(alike, counted):
    train = Training({0: pd.DataFrame()}, {"subtyping": {0: 9}}, alike)
    notes = {"settings": [{"setting": "2-shot", "train_patients": 2}, {"setting": "all", "train_patients": 4}]}
    assert train.beside("subtyping", pd.DataFrame({"fold": [0]}), notes).n_train == counted


def test_another_set_of_patients_has_another_name():
    def fold(*names):
        return FoldRows(pd.DataFrame({"patient": names, "fold": 0}), {})

    assert patient_set([fold("A", "B")]) == patient_set([fold("B", "A", "A")]) != patient_set([fold("A")])
    assert patient_set([fold("A")]).startswith("p")
