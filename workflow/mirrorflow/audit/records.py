"""What the files of a run say they were made from, read for the auditor."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pandas as pd

from mirrorflow.audit import evidence
from mirrorflow.audit.evidence import Seen
from mirrorflow.audit.findings import LEAK, Finding, audit_gene_labels, unseen_by
from mirrorflow.audit.fits import Fits, units_group
from mirrorflow.audit.origins import Contents, Origins
from mirrorflow.audit.places import ModelInputs, audit_place, labelled_models, manifest_digests
from mirrorflow.cohorts.patients import PAIRED, to_units, unit_names, who_has
from mirrorflow.cohorts.splits import Fold, evaluation_units, training_edges
from mirrorflow.errors import InputError
from mirrorflow.learners.tasks import ALL_DATA
from mirrorflow.plan.contract_path import FEW_SHOT, inner_number
from mirrorflow.plan.paths import GeneManifest, ModelRecord, PredictionsManifest
from mirrorflow.store.digest import file_digest
from mirrorflow.store.method_predictions import Manifest, read_manifest, read_stored
from mirrorflow.store.predictions import Predictions
from mirrorflow.store.tables import read_fold, read_text_sheet


@dataclass
class Evidence:
    """Findings, and the lines "who was seen" of the page."""

    findings: list[Finding] = field(default_factory=list)
    seen: list[Seen] = field(default_factory=list)


@dataclass(frozen=True)
class Records:
    """Paths of what a protocol's rules left on a cohort, beside the folds: any of them may be empty."""

    genes: Sequence[str] = ()
    """Gene manifests ``[few-shot-|inner<j>-]fold<k>.tsv``, each with a ``.json`` beside it."""
    support: str = ""
    models: Sequence[str] = ()
    """done.json of pretrained folds, each with a ``config.json`` beside it."""
    manifests: Sequence[str] = ()
    """Of the methods' predictions."""
    inner_splits: Sequence[Sequence[str]] = ()
    """Split files [inner fold][fold] on which the epoch is chosen."""
    own_genes: Sequence[str] = ()
    """Those of ``genes`` that a method has for itself, in a folder of its name."""
    inputs: Mapping[str, Sequence[str]] = field(default_factory=dict)
    """Method -> what it sees, where methods take the patients who have that; empty: all take the same."""


class Folds:
    """A protocol's folds and their inner folds, by the names of what is fitted on them."""

    def __init__(self, outer: Sequence[Fold], inner_splits: Sequence[Sequence[str]]) -> None:
        self.outer = outer
        self.inner = [[read_fold(path) for path in paths] for paths in inner_splits]
        self._digests = [[file_digest(path) for path in paths] for paths in inner_splits]

    def of(self, prefix: str, number: int) -> Fold:
        """Fold ``number`` for files that begin with ``prefix``: its own, or as its inner fold may see it."""
        inner = inner_number(prefix)
        if inner is None:
            return self.outer[number]
        return unseen_by(self.outer[number], self.inner[inner][number])

    def inner_of(self, number: int) -> tuple[list[Fold], list[str]]:
        """The inner folds of a fold, and the digests of their split files."""
        return [parts[number] for parts in self.inner], [digests[number] for digests in self._digests]


def gather(records: Records, frame: pd.DataFrame, outer: Sequence[Fold], protocol: Mapping[str, Any]) -> Evidence:
    """Everything the records say about a protocol on a cohort."""
    found, folds = Evidence(), Folds(outer, records.inner_splits)
    found.findings += evidence.audit_membership(outer, frame)
    for path in records.genes:
        manifest, own = GeneManifest.parse(path), path in records.own_genes
        record = json.loads(Path(path).with_suffix(".json").read_text())
        number, owner = manifest.fold, f" of {manifest.method}" if own else ""
        fold, what = folds.of(manifest.genes, number), f"genes{owner}{_purpose(manifest.genes)}"
        findings, seen = evidence.audit_gene_record(fold, number, record, what)
        found.findings += findings
        found.seen += seen
        if own:
            found.findings += audit_gene_labels(what, fold, number, record)
    support = _support_of(records.support, protocol) if records.support else pd.DataFrame()
    if len(support):
        found.findings += evidence.audit_support(support, outer)
    paired = to_units(who_has(frame, PAIRED), protocol["unit"]) if records.models else frame
    found.findings += _audit_places(records)
    for path in records.models:
        read_model(Path(path), folds, paired, found)
    fits = Fits(to_units(frame, protocol["unit"]), support)
    _read_predictions(records, frame, folds, protocol, found, fits)
    found.findings += fits.findings
    found.seen += fits.lines()
    return found


def _audit_places(records: Records) -> Iterator[Finding]:
    """Pretrained models against the places that they lie in, and against each other."""
    genes, inputs = manifest_digests(records.genes, records.own_genes), ModelInputs()
    for model in map(ModelRecord.parse, records.models):
        stem = f"{model.genes}fold{model.fold}"
        yield from audit_place(model.folder, genes.get((model.method, stem)) or genes.get(("", stem), ""))
        inputs.read(model.folder)
    yield from inputs.findings()


def _purpose(name: str) -> str:
    """What is made for the k-shot settings alone lies under ``few-shot-...``, for an inner fold ``inner<j>-...``."""
    number = inner_number(name)
    if number is not None:
        return f" of inner fold {number}"
    return " of the k-shot settings" if name == FEW_SHOT else ""


def _support_of(path: str, protocol: Mapping[str, Any]) -> pd.DataFrame:
    """The sets that this protocol draws from the file of its scope."""
    support = read_text_sheet(path)
    mine = support["replacement"] == str(protocol["few_shot_replacement"])
    return support[mine & (support["survival_bins"] == protocol["survival_bins"])]


def read_model(
    record: Path, folds: Folds, units: pd.DataFrame, found: Evidence, on: str = "", evaluated_on: Sequence[Fold] = ()
) -> None:
    """Add to ``found`` what a pretrained model has seen; ``units`` and ``folds`` are those of its own cohort.

    on: ends its name; evaluated_on: folds of the cohort that is evaluated with it, where that is another.
    """
    config = record.with_name("config.json")
    made_with = json.loads(config.read_text()) if config.exists() else {"data": {}}
    model, data = ModelRecord.parse(record), made_with["data"]
    number, prefix = model.fold, model.genes
    fold = folds.of(prefix, number)
    scalers = ["RNA"] if data.get("rna_scaling") == "train" else []
    scalers += ["patch"] if made_with.get("training", {}).get("feature_scaling") == "train" else []
    scaled = f" and {' and '.join(scalers)} scaler" if scalers else ""
    name = f"pretraining{on}{scaled} of {model.method}{_purpose(prefix)} ({model.encoder}, seed{model.seed})"
    training, all_units = units_group(units[units["patient"].isin(fold.train)]), units_group(units)
    findings, seen = evidence.audit_fitted(
        name, number, fold.val, data.get("units"), training, all_units, kind="pretraining"
    )
    found.findings += findings
    if evaluated_on and seen.patients >= 0:
        known = set(units["patient"]) & set(fold.train)
        seen = replace(seen, of_evaluation=len(known & set(evaluated_on[number].val)))
    found.seen.append(seen)
    if chosen_on := made_with.get("epoch_chosen_on"):
        evaluated = units_group(units[units["patient"].isin(fold.val)])
        kept, line = evidence.audit_kept_epoch(name, number, chosen_on["units"], evaluated)
        found.findings.append(kept)
        found.seen.append(line)


def _read_predictions(
    records: Records,
    frame: pd.DataFrame,
    folds: Folds,
    protocol: Mapping[str, Any],
    found: Evidence,
    fits: Fits,
) -> None:
    """Findings of all methods; one that all methods share stands once."""
    epochs: set[str] = set()
    bins: dict[int, str] = {}
    shared: dict[Finding, None] = {}
    contents, origins = Contents(), Origins()
    for manifest in map(read_manifest, records.manifests):
        place = PredictionsManifest.parse(manifest.path)
        inputs = set(records.inputs.get(place.method, ())) & set(PAIRED)
        seen, whose = who_has(frame, inputs), "+".join(sorted(inputs))
        fits = replace(fits, units=to_units(seen, protocol["unit"]))
        for folder in labelled_models(manifest, protocol):
            found.findings += audit_place(folder)
            fits.read_model(place.title, folder, folds.outer)
        for name in manifest.written:
            stored, task = _stored(manifest, name), place.file(name).task
            number = int(stored.rows["fold"].iloc[0])
            contents.read(manifest, name, stored)
            origins.read(place.encoder, place.method, stored.notes, whose)
            fits.read(place.title, task, number, folds.outer[number], stored.notes)
            epochs.add(str(stored.notes.get("protocol", protocol)["epoch"]))
            shared |= dict.fromkeys(_file_findings(stored, task, folds.outer[number], frame, fits.units))
            if protocol["epoch"] == "nested" == stored.notes.get("protocol", protocol)["epoch"]:
                _read_epochs(f"{place.method}, {task} ({place.encoder}", stored, folds, found)
            if task == "survival":
                noted, who = _bins_of(stored, seen, folds.outer[number], number)
                bins[number] = graver(who, bins.get(number, who))
                found.findings += [one for one in noted if one not in found.findings]
    found.findings += [*contents.findings(), *origins.findings()]
    found.findings += evidence.audit_epochs(epochs, protocol["epoch"])
    found.findings += shared
    found.findings += _leaking_bins(bins, protocol)
    found.seen += [_seen_by_bins(number, who, frame, folds.outer[number]) for number, who in sorted(bins.items())]


def _read_epochs(what: str, stored: Predictions, folds: Folds, found: Evidence) -> None:
    """On what the epochs of the setting with all units were chosen; methods without epochs have none."""
    number = int(stored.rows["fold"].iloc[0])
    inner, digests = folds.inner_of(number)
    for note in stored.notes["settings"]:
        if note["setting"] == ALL_DATA and note.get("epoch") is not None:
            name, fold = f"{what}, {note['seed']})", folds.outer[number]
            findings, seen = evidence.audit_epoch_choice(name, number, note, inner, fold, digests)
            found.findings += findings
            found.seen.append(seen)


def _stored(manifest: Manifest, name: str) -> Predictions:
    stored, path = read_stored(manifest, name), manifest.path.parent / name
    missing = {"fold", "patient", "setting"} - set(stored.rows)
    if missing or stored.rows.empty:
        message = f"{path}: no predictions file (columns missing: {', '.join(sorted(missing)) or 'none, but no row'})"
        raise InputError(message)
    return stored


def _file_findings(
    stored: Predictions, task: str, fold: Fold, frame: pd.DataFrame, units: pd.DataFrame
) -> Iterator[Finding]:
    rows, number = stored.rows, int(stored.rows["fold"].iloc[0])
    predicted = rows.assign(unit=unit_names(rows))[["setting", "patient", "unit"]].drop_duplicates()
    last_batch = {note["setting"] for note in stored.notes["settings"] if note["lost_units"]}
    yield from evidence.audit_lost(task, number, evaluation_units(units, fold, task), predicted, last_batch)
    yield from evidence.audit_evaluated(task, number, fold, predicted)
    yield from evidence.audit_filled_in(task, number, rows, frame)


def _bins_of(stored: Predictions, frame: pd.DataFrame, fold: Fold, number: int) -> tuple[list[Finding], str]:
    noted = next((note["bin_edges_days"] for note in stored.notes["settings"] if note.get("bin_edges_days")), None)
    if noted is None:
        return [], "unknown"
    scopes = {"training": "fold", "all units": "cohort"}
    edges = {who: training_edges(frame, fold, len(noted), scope) for who, scope in scopes.items()}
    return evidence.audit_bins(number, noted, edges)


def graver(who: str, other: str) -> str:
    """Of two methods' answers to whose outcomes set a fold's bins the one that weighs more."""
    return max(who, other, key=("training", "unknown", "all units").index)


def _leaking_bins(bins: Mapping[int, str], protocol: Mapping[str, Any]) -> list[Finding]:
    """Bins of all units under a protocol that says otherwise (where it says so, the protocol's key is the leak)."""
    wrong = [number for number, who in bins.items() if who == "all units"]
    if protocol["survival_bins"] == "cohort" or not wrong:
        return []
    text = f"survival bins of folds {', '.join(map(str, sorted(wrong)))} were set with the outcomes of all units"
    return [Finding(LEAK, "survival_bins", text, None, len(wrong))]


def _seen_by_bins(number: int, who: str, frame: pd.DataFrame, fold: Fold) -> Seen:
    known = set(frame.loc[frame["time_days"].gt(0) & frame["event"].notna(), "patient"])
    if who == "unknown":
        return Seen("survival bins", number, -1, -1, "edges of unknown origin")
    seen = known & set(fold.train) if who == "training" else known
    return Seen("survival bins", number, len(seen), len(seen & set(fold.val)), f"outcomes of {who}, by the edges")
