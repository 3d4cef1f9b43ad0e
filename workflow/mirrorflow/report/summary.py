"""What was asked, in one screen: whose data, which methods are ahead, what tells them apart, what audits say."""

from collections import Counter
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import pandas as pd

from mirrorflow.config.adaptation import is_adapted
from mirrorflow.report.blocks import Block, Card, Cards, Cell, Details, Fact, Facts, Table, Text, counted
from mirrorflow.report.verdicts import ALIKE, missing, named, text_of, verdict_cell
from mirrorflow.tables.main import MAIN_METRICS, TITLES

ALL_DATA = "all"
FEW_CARDS = 4
"""Up to this many cohorts and tasks have a card each; more of them share a table."""
METHODS_SHOWN = 3


@dataclass(frozen=True)
class Run:
    """What the summary is made of.

    results: results.csv. methods, cohorts: name -> title. protocols: name -> whether it claims to be honest.
    sizes: cohort -> patients, slides. audits: the audits' records. simulated: cohorts that are.
    """

    results: pd.DataFrame
    methods: Mapping[str, str]
    cohorts: Mapping[str, str]
    protocols: Mapping[str, bool]
    sizes: Mapping[str, tuple[int, int]]
    audits: Sequence[Mapping[str, Any]] = ()
    simulated: frozenset[str] = field(default=frozenset())

    @property
    def asked(self) -> list[str]:
        """Protocols with results, those that claim to be honest first."""
        there = set(self.results["protocol"])
        return sorted((name for name in self.protocols if name in there), key=lambda name: not self.protocols[name])

    def rows(self, protocol: str) -> pd.DataFrame:
        """Rows of each task's first metric with all training data, of the run's own cohorts."""
        rows = self.results
        first = pd.Series({task: metrics[0] for task, metrics in MAIN_METRICS.items()})
        mine = (rows["protocol"] == protocol) & (rows["setting"] == ALL_DATA)
        mine &= rows["metric"] == rows["task"].map(first)
        mine &= ~rows["cohort"].astype(str).map(is_adapted).astype(bool)
        return rows[mine].sort_values("task", kind="stable")  # subtyping, survival


def summary_blocks(run: Run) -> list[Block]:
    """Facts, then a card a cohort and task under the first honest protocol; the other protocols behind a fold."""
    first, *others = run.asked or [""]
    blocks: list[Block] = [Facts((_data(run), _answer(run, first), _audits(run)))]
    if not first:
        return [*blocks, Text("No protocol of this run has a result: see Audits for what is withheld and why.")]
    blocks.append(_cards(run, first))
    for name in others:
        kind = "which claims to be honest" if run.protocols[name] else "which does not claim to be honest"
        blocks.append(Details(f"The same under protocol {name}, {kind}", (_cards(run, name),)))
    return blocks


def chosen(run: Run) -> dict[str, list[str]]:
    """Cohort -> the methods whose curves are shown first: of each task the one ahead, and the reference.

    Each as ``<encoder>_<method>``.
    """
    found: dict[str, list[str]] = {}
    for protocol in run.asked[:1]:
        for (cohort, _), part in run.rows(protocol).groupby(["cohort", "task"], sort=False):
            for row in _shown(part, 1):
                found.setdefault(str(cohort), []).append(f"{row['encoder']}_{row['method']}")
    return {cohort: list(dict.fromkeys(names)) for cohort, names in found.items()}


def _data(run: Run) -> Fact:
    answers = []
    for name, title in list(run.cohorts.items())[:5]:
        patients, slides = run.sizes.get(name, ("?", "?"))
        note = "simulated" if name in run.simulated and "simulated" not in title.lower() else ""
        sizes = ", ".join(filter(None, (f"{patients} patients, {slides} slides", note)))
        answers.append(Cell(title, below=sizes) if len(run.cohorts) < 3 else Cell(f"{title}: {sizes}"))
    if len(run.cohorts) > len(answers):
        answers.append(Cell(f"and {counted(len(run.cohorts) - len(answers), 'further cohort')}"))
    return Fact("Cohorts" if len(run.cohorts) > 1 else "Cohort", answers)


def _answer(run: Run, protocol: str) -> Fact:
    asked = "Can anything be told from the reference?"
    if not protocol:
        return Fact(asked, (Cell("no result is shown"),))
    rows = run.rows(protocol)
    kinds = Counter(text_of(one).partition(":")[0] for one in rows["verdict"])
    references = list(
        dict.fromkeys(named(text_of(one).split(" ")[0], run.methods) for one in rows["reference"].dropna())
    )
    total = kinds["better"] + kinds["worse"] + kinds[ALIKE]
    if not total:
        return Fact(asked, (Cell("nothing was compared", below="no reference in this run, or one fold alone"),))
    ahead = f"{kinds['better']} of {total} are" if kinds["better"] else "Nothing is"
    better = f"{ahead} better than {', '.join(references)}"
    below = (
        f"{kinds['worse']} worse, {kinds[ALIKE]} not told apart, of {counted(total, 'comparison')}: methods by cohort "
        f"and task under protocol {protocol}, against the reference named before the run."
    )
    return Fact(asked, (Cell(better, below=below, strong=True),))


def _audits(run: Run) -> Fact:
    answers = []
    for name, honest in run.protocols.items():
        records = [one for one in run.audits if one["protocol"] == name]
        counts = Counter(found["level"] for one in records for found in one["findings"])
        warned = counted(counts["warning"], "warning") if counts["warning"] else ""
        answers.append(_audit(name, honest, counts["leak"], warned, there=bool(records)))
    shown = answers[:4]
    more = [Cell(f"and {counted(len(answers) - len(shown), 'further protocol')}: see Protocols and audits")]
    return Fact("Did the audit pass?", shown + (more if len(answers) > len(shown) else []))


def _audit(name: str, honest: bool, leaks: int, warned: str, *, there: bool) -> Cell:  # noqa: FBT001
    if not there:
        return Cell(f"{name}: not audited", badge="warning")
    if not leaks:
        return Cell(f"{name}: passed", below="; ".join(filter(None, ("no leak", warned))), badge="ok")
    claim = "although it claims to be honest" if honest else "it does not claim to be honest"
    return Cell(f"{name}: {counted(leaks, 'leak')}", below="; ".join(filter(None, (warned, claim))), badge="leak")


def _cards(run: Run, protocol: str) -> Block:
    parts = list(run.rows(protocol).groupby(["cohort", "task"], sort=False))
    if not parts:
        return Text(f"Protocol {protocol} has no result of a main metric with all training data.")
    if len(parts) > FEW_CARDS:
        return _board(run, protocol)
    return Cards([_card(run, part) for _, part in parts])


def _board(run: Run, protocol: str) -> Table:
    """A row a cohort: of each task the method ahead, its value and verdict."""
    rows = run.rows(protocol)
    tasks = list(dict.fromkeys(rows["task"]))
    body = []
    for cohort, part in rows.groupby("cohort", sort=False):
        line = [Cell(run.cohorts.get(str(cohort), str(cohort)), strong=True)]
        for task in tasks:
            line += _ahead(part[part["task"] == task], run.methods)
        body.append(line)
    metrics = [TITLES.get(MAIN_METRICS[task][0], task) for task in tasks]
    heads = [
        (f"{task}:\nmethod ahead", f"{metric}\n[interval]", "against the\nreference")
        for task, metric in zip(tasks, metrics, strict=True)
    ]
    caption = (
        "The method of highest mean in each cohort and task (all of them: Main tables, Curves), its interval and "
        f"whether it can be told from the reference, whose mean stands below; protocol {protocol}. Rule make_results."
    )
    return Table(caption, ["cohort", *(head for three in heads for head in three)], body)


def _ahead(part: pd.DataFrame, titles: Mapping[str, str]) -> list[Cell]:
    if part.empty:
        return [Cell(""), Cell(""), Cell("")]
    row, *others = _shown(part, 1)
    reference = f"reference {others[0]['mean']:.3f}" if others and not missing(others[0]["mean"]) else ""
    method, value, verdict = _method_row(row, titles)
    return [method, replace(value, bar=None), replace(verdict, below=reference)]


def _card(run: Run, part: pd.DataFrame) -> Card:
    row = part.iloc[0]
    metric, cohort = str(row["metric"]), str(row["cohort"])
    shown = _shown(part, METHODS_SHOWN)
    n, folds = (sorted({int(part[name].min()), int(part[name].max())}) for name in ("n", "folds"))
    caption = (
        f"{TITLES.get(metric, metric)}: the first of {counted(len(part), 'method')} by their mean, and the reference; "
        f"n = {'-'.join(map(str, n))} in {'-'.join(map(str, folds))} folds, protocol "
        f"{row['protocol']}. Rule make_results."
    )
    header = ("method", "mean [interval], 0 to 1", "against the reference")
    rows = [_method_row(one, run.methods) for one in shown]
    title = f"{str(row['task']).capitalize()}, {run.cohorts.get(cohort, cohort)}"
    return Card(title, Table(caption, header, rows))


def _shown(part: pd.DataFrame, most: int) -> Sequence[Mapping[Hashable, Any]]:
    """The first methods by their mean, then the reference; where nothing is defined, the reference alone."""
    ordered = part.sort_values("mean", ascending=False, kind="stable")
    first = ordered[ordered["mean"].notna()].head(most)
    reference = ordered[(ordered["verdict"].fillna("") == "reference") & ~ordered.index.isin(first.index)]
    shown = pd.concat([first, reference.head(1)])
    return (shown if len(shown) else ordered.head(1)).to_dict("records")


def _method_row(row: Mapping[Hashable, Any], titles: Mapping[str, str]) -> list[Cell]:
    encoder = "" if row["encoder"] == "none" else str(row["encoder"])
    return [
        Cell(titles.get(str(row["method"]), str(row["method"])), below=encoder),
        _value(row),
        verdict_cell(row, titles),
    ]


def _value(row: Mapping[Hashable, Any]) -> Cell:
    if missing(row["mean"]):
        return Cell("undefined", below=text_of(row["why_undefined"]))
    mean, low, high = (float(row[name]) for name in ("mean", "ci_low", "ci_high"))
    if missing(low):
        return Cell(f"{mean:.3f}", strong=True)
    bar = (low, mean, high) if 0 <= low <= high <= 1 and 0 <= mean <= 1 else None
    return Cell(f"{mean:.3f}", below=f"[{low:.3f}, {high:.3f}]", strong=True, bar=bar)
