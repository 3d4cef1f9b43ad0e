"""What the figures of a run are drawn from, and what their captions say: one task a figure."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pandas as pd
from matplotlib.figure import Figure

from mirrorflow.config.adaptation import ADAPTED
from mirrorflow.errors import InputError
from mirrorflow.figures.cohort_flow import draw_cohort_flow
from mirrorflow.figures.forest import draw_forest
from mirrorflow.figures.ranks import draw_ranks, fold_ranks
from mirrorflow.figures.style import shorten
from mirrorflow.figures.training_curves import draw_training_curves, last_values
from mirrorflow.plan.paths import ModelRecord
from mirrorflow.store.tables import read_numbers
from mirrorflow.tables.main import MAIN_METRICS
from mirrorflow.tables.results import NUMBERS, without_single_changes

ALL_DATA = "all"
"""The setting that curves are drawn of: k-shot risks are too unsure to cut a cohort in two."""


@dataclass(frozen=True)
class FigureSpec:
    """A figure, its title, its words for those who cannot see it, and its caption: n, protocol, what is shown."""

    figure: Figure
    title: str
    alt: str
    caption: str
    table: pd.DataFrame | None = None
    """What is drawn, where no other file of the run has it."""
    parquet: bool = False
    """Whether the table is for programs: parquet beside the figure, else CSV."""
    vectors_only: bool = False
    """Whether there is no PNG: of kinds with many figures it takes as long as all else."""


@dataclass(frozen=True)
class Task:
    """One figure to come: ``draw`` raises InputError when the data allow none."""

    name: str
    kind: str
    draw: Callable[[], FigureSpec]


def left_out(name: str, kind: str, why: str) -> Task:
    """In place of a figure that cannot be drawn: the reason."""

    def draw() -> FigureSpec:
        raise InputError(why)

    return Task(name, kind, draw)


def flow_task(cohort: str, path: Path) -> Task:
    """The cohort's flow, from its flow.tsv."""

    def draw() -> FigureSpec:
        flow = pd.read_csv(path, sep="\t")
        if flow.empty:
            message = f"{path}: no step of the cohort's flow"
            raise InputError(message)
        title = f"Who is in {cohort}"
        steps = "; ".join(f"{row.step}: {row.patients}" for row in flow.itertuples())
        caption = (
            f"Patients and slides left after each step of building {cohort}, n = {flow['patients'].iloc[0]} patients "
            "at the start; the same for every protocol."
        )
        return FigureSpec(draw_cohort_flow(flow, title), title, f"Patients left by step. {steps}.", caption)

    return Task("cohort_flow", "cohort_flow", draw)


def forest_tasks(cohort: str, results: Path, methods: Sequence[str], titles: Mapping[str, str]) -> Iterator[Task]:
    """A forest plot a task, from results.csv; an adapted cohort's shows its target's own encoders beside it."""
    table, note = _shown(results), ""
    mine = table[table["cohort"] == cohort]
    if pair := ADAPTED.fullmatch(cohort):
        target, source = pair["target"], pair["source"]
        mine = beside_target(mine, table[table["cohort"] == target], target, source)
        note = (
            f"From {source}: encoders pretrained on {source}, frozen, and adapted to {target}. {target} itself, where "
            f"it is drawn: the same methods pretrained on {target}. All training data. "
        )
    for task in sorted(set(mine["task"])):
        yield Task(f"forest_{task}", "forest", partial(_forest, mine, cohort, task, methods, titles, note))


def beside_target(adapted: pd.DataFrame, own: pd.DataFrame, target: str, source: str) -> pd.DataFrame:
    """Rows of an adapted cohort, and those its target has of the same cells, all data; ``setting`` says which."""
    cell = ["protocol", "encoder", "method", "task", "metric"]
    beside = own[own["setting"] == ALL_DATA].merge(adapted[cell], on=cell)
    named = [adapted.assign(setting=f"from {source}"), beside.assign(setting=f"{target} itself")]
    return pd.concat([part for part in named if len(part)] or named, ignore_index=True)


def _forest(
    table: pd.DataFrame, cohort: str, task: str, methods: Sequence[str], titles: Mapping[str, str], note: str
) -> FigureSpec:
    metrics = MAIN_METRICS[task]
    rows = table[(table["task"] == task) & table["metric"].isin(metrics)]
    if rows["mean"].notna().sum() == 0:
        message = f"{task} of {cohort}: every metric is undefined (results.csv says why)"
        raise InputError(message)
    title = f"{task.capitalize()} of {cohort}: methods by protocol"
    caption = (
        f"Mean over folds (filled) and bootstrap interval over patients (line) of each method on {cohort}, by "
        f"protocol: {_n_by_protocol(rows)}. Dotted line: what chance gives, where that does not depend on the cohort. "
    )
    caption += note
    if rows["published_mean"].notna().any():
        caption += (
            "Hollow diamond: the published value, a cross if it is suspect (results.csv says why); comparable only "
            "where results.csv says so."
        )
    best = rows.nlargest(1, "mean").iloc[0]
    alt = (
        f"Forest plot, the values are those of results.csv. Highest {best['metric']}: {best['mean']:.3f} by "
        f"{best['method']} ({best['protocol']}, {best['setting']})."
    )
    return FigureSpec(draw_forest(rows, metrics, methods, titles), title, alt, caption.strip())


def _shown(results: Path) -> pd.DataFrame:
    """Rows of results.csv that figures show: :func:`without_single_changes`."""
    return without_single_changes(read_numbers(results, NUMBERS))


def protocols_shown(cohort: str, results: Path) -> set[str]:
    """Protocols whose results of a cohort are not withheld."""
    table = _shown(results)
    return set(table.loc[table["cohort"] == cohort, "protocol"])


def rank_tasks(cohort: str, results: Path, titles: Mapping[str, str]) -> Iterator[Task]:
    """A rank plot a task, from the values by fold in results.csv."""
    table = _shown(results)
    mine = table[(table["cohort"] == cohort) & (table["setting"] == ALL_DATA)]
    for task in sorted(set(mine["task"])):
        yield Task(f"ranks_{task}", "ranks", partial(_ranks, mine, cohort, task, titles))


def _ranks(table: pd.DataFrame, cohort: str, task: str, titles: Mapping[str, str]) -> FigureSpec:
    metric = MAIN_METRICS[task][0]
    rows = table[(table["task"] == task) & (table["metric"] == metric)]
    found = {str(name): fold_ranks(of_same_patients(part)) for name, part in rows.groupby("protocol", sort=False)}
    by_protocol = {name: ranks for name, ranks in found.items() if len(ranks) > 1}
    if not by_protocol:
        message = f"{task} of {cohort}: fewer than two methods have a {metric} in every fold"
        raise InputError(message)
    title = f"{task.capitalize()} of {cohort}: ranks of the methods"
    best = "; ".join(
        f"{name}: {ranks.index[0][0]}, mean rank {ranks.iloc[0].mean():.1f} of {len(ranks)}"
        for name, ranks in by_protocol.items()
    )
    caption = (
        f"Rank of each method by {metric} within each evaluation fold of {cohort} (small marks, from the first fold "
        f"above to the last below) and mean over folds (diamonds), all training data: "
        f"{_n_by_protocol(_drawn(rows, by_protocol))}. {not_ranked(rows, found, titles)}"
        "A mean rank says who leads, not by how much, nor whether the difference can be told from chance: for that "
        "see the verdicts in the tables."
    )
    return FigureSpec(draw_ranks(by_protocol, titles), title, f"Rank plot. First by protocol: {best}.", caption)


def of_same_patients(rows: pd.DataFrame) -> pd.DataFrame:
    """The rows of the patients that most rows are of: ranks of others would not compare.

    Of two sets with as many rows it is that of the reference, else that of more patients.
    """
    if "patient_set" not in rows or rows["patient_set"].nunique() < 2:
        return rows
    most = rows[rows["patient_set"].isin(rows["patient_set"].mode())]
    reference = most[most["verdict"] == "reference"] if "verdict" in most else most.head(0)
    chosen = (reference if len(reference) else most.nlargest(1, "n")).iloc[0]
    return rows[rows["patient_set"] == chosen["patient_set"]]


def _drawn(rows: pd.DataFrame, by_protocol: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    """The rows whose methods have a rank."""
    lines = zip(rows["protocol"], rows["method"], rows["encoder"], strict=True)
    return rows[
        [name in by_protocol and (method, encoder) in by_protocol[name].index for name, method, encoder in lines]
    ]


def not_ranked(rows: pd.DataFrame, found: Mapping[str, pd.DataFrame], titles: Mapping[str, str]) -> str:
    """Which methods have no rank, and why, protocol by protocol; "" where all have. found: ranks by protocol."""
    said = []
    for protocol, part in rows.groupby("protocol", sort=False):
        ranks, same = found[str(protocol)], of_same_patients(part).index
        if len(ranks) < 2:
            said.append(f"{protocol} (fewer than two methods have a value in every fold on the same patients)")
            continue
        for method, encoder, n, row in zip(part["method"], part["encoder"], part["n"], part.index, strict=True):
            if (method, encoder) not in ranks.index:
                why = "no value in some fold" if row in same else f"other patients, n = {n:.0f}"
                name = titles.get(method, method) + ("" if encoder == "none" else f" with {encoder}")
                said.append(f"{name} under {protocol} ({why})")
    return f"Not ranked: {'; '.join(said)}. " if said else ""


def _n_by_protocol(rows: pd.DataFrame) -> str:
    parts = [
        f"{protocol}, n = {'-'.join(str(int(n)) for n in sorted({group['n'].min(), group['n'].max()}))}"
        for protocol, group in rows.groupby("protocol", sort=False)
    ]
    return "; ".join(parts)


def training_tasks(models: Sequence[Path], titles: Mapping[str, str]) -> Iterator[Task]:
    """Training curves of each model scope, encoder and method, from the history.csv beside every done.json."""
    groups: dict[tuple[str, str, str, str], list[ModelRecord]] = {}
    for model in map(ModelRecord.parse, models):
        groups.setdefault((model.scope, model.cohort, model.encoder, model.method), []).append(model)
    for (scope, cohort, encoder, method), folders in groups.items():
        name = f"training_{scope}_{encoder}_{method}"
        draw = partial(_training, folders, scope, cohort, encoder, method, titles)
        yield Task(name, "training_curves", draw)


def _part_of_evaluation(histories: Iterable[pd.DataFrame]) -> str:
    chosen = any("evaluation_total" in history for history in histories)
    return "The epoch best on evaluation patients is kept" if chosen else "Evaluation patients take no part"


def _training(
    models: Sequence[ModelRecord], scope: str, cohort: str, encoder: str, method: str, titles: Mapping[str, str]
) -> FigureSpec:
    paths = {f"seed{model.seed}/{model.genes}fold{model.fold}": model.folder / "history.csv" for model in models}
    lacking = [path for path in paths.values() if not path.exists()]
    if lacking:
        message = f"{lacking[0]}: not there"
        raise InputError(message)
    histories = {name: pd.read_csv(path) for name, path in paths.items()}
    title = f"{titles.get(method, method)} · {encoder} · {scope}"
    epochs = max(len(history) for history in histories.values())
    alt = f"Loss terms by epoch. After {epochs} epochs, mean: " + ", ".join(
        f"{name} {value:.3g}" for name, value in last_values(histories).items()
    )
    caption = (
        f"Pretraining of {method} on {cohort}, encoder {encoder}, scope {scope}: each loss term, unweighted, mean over "
        f"the training units of an epoch; total is the weighted sum. Thin lines: n = {len(histories)} runs (folds and "
        f"seeds); thick: their mean. {_part_of_evaluation(histories.values())}, and the protocols of this scope share "
        "the models."
    )
    return FigureSpec(draw_training_curves(histories, shorten(title, 90)), title, f"{alt}.", caption)
