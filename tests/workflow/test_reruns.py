"""What runs again after which change: the table is the workflow's own, and dry runs agree with it."""

import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

import made_from
from config_changes import Change
from mirrorflow.plan.jobs import Job, changed_jobs, following
from reruns import MADE_FROM, Example, table_cells
from runner import ROOT

pytestmark = pytest.mark.workflow
ON_REQUEST = {
    "measure_complexity", "permute_outcomes", "probe_sensitivity", "make_sensitivity", "score_training_folds",
    "make_training_folds",
}  # fmt: skip
"""Rules that `rule all` does not ask for."""
TABLE = ROOT / "config" / "reruns.md"


@pytest.fixture(scope="module")
def example(tmp_path_factory: pytest.TempPathFactory) -> Example:
    return Example(tmp_path_factory.mktemp("example"))


@pytest.fixture(scope="module")
def changes(example: Example) -> dict[str, list[Change]]:
    """Every key of the config, with its changes."""
    return example.changes_of(example.keys())


def test_table_was_made_by_this_code() -> None:
    said = subprocess.run([sys.executable, made_from.__file__], capture_output=True, text=True, check=True)
    assert TABLE.read_text().splitlines()[-1] == MADE_FROM.format(said.stdout.strip()), "run `make reference`"


@pytest.mark.slow
def test_rows_of_the_table_are_what_snakemake_says(example: Example, changes: dict[str, list[Change]]) -> None:
    """Of every fifteenth key: the test above holds the rest, as long as the tool wrote the page."""
    text = TABLE.read_text().splitlines()
    for key in list(changes)[::15]:
        (row,) = [line for line in text if f"`{key}`" in line]
        said = table_cells(example, example.after_change(changes[key]))
        assert [cell.strip() for cell in row.split("|")[2:4]] == list(said), key


def test_table_has_every_key(changes: dict[str, list[Change]]) -> None:
    text = TABLE.read_text()
    assert [key for key in changes if f"`{key}`" not in text] == [], "run `make reference`"


def test_the_same_number_written_otherwise_starts_nothing(example: Example) -> None:
    forms = {"probe": {"weight_decay": 0}, "pretrain": {"epochs": 100.0}, "compute": {"cache_gb": 4.0}}
    raw = example.raw | {key: example.raw.get(key, {}) | keys for key, keys in forms.items()}
    assert {job.rule for job in changed_jobs(example.before, example.plan(raw))} == set()
    raw["probe"]["weight_decay"] = 0.5
    assert changed_jobs(example.before, example.plan(raw)) != []


@pytest.mark.parametrize(
    ("key", "changed", "untouched"),
    [
        # make_results holds the mask's settings against the published ones
        ("slides.segmentation.pen", {"patch_slides", "make_results"}, {"convert_expression", "simulate_cohort"}),
        (
            "cohorts.<name>.title",
            {
                "make_tables",
                "make_optimism",
                "make_cause_bounds",
                "make_survival_field",
                "make_modality_gap",
            },
            {"make_results", "draw_figures", "evaluate"},
        ),
        ("features.batch_size", set(), {"extract_features", "index_features"}),
        (
            "adaptation.<name>.embedding_learning_rate",
            {"adapt"},
            {"embed_target", "pretrain_mirror", "embed", "probe_mirror", "select_genes"},
        ),
        ("embed.draws", {"embed", "embed_target"}, {"pretrain_mirror", "fit_baseline", "select_genes", "make_splits"}),
        ("strict", {"require_honesty", "evaluate"}, {"audit", "fit_baseline", "probe_mirror"}),
        (
            "splits.seed",
            {"make_splits", "make_inner_splits", "draw_support", "select_genes"},
            {"build_cohort", "index_features"},
        ),
    ],
)
def test_a_change_starts_these_rules_and_no_other(
    example: Example, changes: dict[str, list[Change]], key: str, changed: set[str], untouched: set[str]
) -> None:
    outcome = example.after_change(changes[key])
    assert outcome.changed - {"make_report"} == changed
    assert not untouched & (outcome.changed | outcome.after)


@pytest.mark.parametrize(
    ("number", "rules"), [("SEGMENTATION", {"patch_slides"}), ("PROBE", {"probe_mirror"}), ("ADAPTATION", {"adapt"})]
)
def test_a_raised_version_starts_its_rules(example: Example, number: str, rules: set[str]) -> None:
    outcome = example.after_version(number)
    assert outcome.changed == rules
    assert outcome.after


def test_fewer_folds_are_drawn_anew(example: Example) -> None:
    """All their files are there: of more folds, which evaluate fewer patients each."""
    splits = example.raw["splits"]
    for key, rule in (("folds", "make_splits"), ("inner_folds", "make_inner_splits")):
        more = example.plan(example.raw | {"splits": splits | {key: splits[key] + 1}})
        mine = [job for job in example.before if job.rule == rule]
        assert [job for job in changed_jobs(more, example.before) if job.rule == rule] == mine


def test_a_new_slide_starts_its_shard_alone(example: Example) -> None:
    jobs = [job for job in example.after_edit(lambda slides: [*slides, ("new", slides[0][1])]) if of_own(job)]
    assert Counter(job.rule for job in jobs) == {"patch_slides": 1, "extract_features": 1, "index_features": 1}
    assert "select_genes" in {job.rule for job in following(jobs)}


def test_a_new_date_starts_nothing(example: Example) -> None:
    assert example.after_edit(lambda slides: slides) == []


def test_two_plans_of_one_config_do_not_differ(example: Example) -> None:
    assert changed_jobs(example.before, example.plan(example.raw)) == []


def test_no_param_can_hide_behind_another(example: Example) -> None:
    """Snakemake compares params as a set of values: of three bare numbers one can change to another unseen."""
    crowded = {job.rule for job in example.before if sum(map(is_number, job.params)) > 2}
    assert not crowded, "put the numbers of these rules into one dict param"


def test_a_hidden_change_is_named() -> None:
    before = Job("rule", ("out",), ("1", "1", "4"), (), [])
    with pytest.raises(ValueError, match="one dict param"):
        changed_jobs([before], [Job("rule", ("out",), ("1", "4", "4"), (), [])])


def is_number(text: str) -> bool:
    return text.replace(".", "").replace("-", "").isdigit()


def of_own(job: Job) -> bool:
    return any("/own" in output for output in job.outputs)


def test_example_names_every_rule(example: Example) -> None:
    """A rule that the example does not need would be in no row."""
    lines = [line for path in rule_files() for line in path.read_text().splitlines()]
    rules = {line.split()[1].rstrip(":") for line in lines if line.startswith("rule ")}
    assert rules - set(example.rules) == ON_REQUEST


def rule_files() -> list[Path]:
    return sorted((ROOT / "workflow" / "rules").glob("*.smk"))
