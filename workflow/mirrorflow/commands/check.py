"""``mirrorflow check``: a config and the sheets it names, before anything is computed."""

import sys
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import yaml

from mirrorflow.cohorts.folds import scarce_classes
from mirrorflow.cohorts.patients import barcode_sites
from mirrorflow.cohorts.site_codes import differing_codes, unnamed_codes
from mirrorflow.cohorts.splits import as_evaluated, choose_evaluated, evaluated_part
from mirrorflow.config.datasets import PART, fold_files
from mirrorflow.config.modalities import has_rna, left_out_lines
from mirrorflow.config.protocols import GENERATED_SPLITS, REPAIRED, repair_hint
from mirrorflow.config.resolve import resolve
from mirrorflow.config.yaml_keys import check_files
from mirrorflow.errors import ConfigError, MirrorflowError
from mirrorflow.steps.cohort.clinical_tables import clinical_sheet, left_aside, matrices
from mirrorflow.steps.expression.convert_expression import look_at_matrix
from mirrorflow.store.slide_sheet import SlideRow, read_slide_sheet
from mirrorflow.store.tables import read_folds, read_institutions

MOST_VALUES = 5e7
"""Of a matrix that are looked at: seconds. ``mirrorflow preflight`` looks at all."""


def check_config(paths: Sequence[Path]) -> int:
    """Print what fits and what does not; returns 1 when anything does not.

    Raises MirrorflowError when the config itself is not valid.
    """
    config = read_config(paths)
    problems = 0
    for name, entry in config["cohorts"].items():
        if entry["simulated"]:
            sys.stdout.write(f"{name}: simulated, nothing to check\n")
            continue
        for line in cohort_lines(config, entry, MOST_VALUES):
            problems += line.startswith("PROBLEM")
            sys.stdout.write(f"{name}: {line}\n")
    sys.stdout.writelines(f"{line}\n" for line in left_out_lines(config))
    sys.stdout.write(f"{named(paths)}: {problems} problems\n")
    return int(problems > 0)


def named(paths: Sequence[Path]) -> str:
    """The files of a config, for messages."""
    return " + ".join(map(str, paths))


def read_config(paths: Sequence[Path]) -> dict[str, Any]:
    """The resolved config of files that stand on top of each other, as Snakemake takes them. Raises ConfigError."""
    from snakemake.utils import update_config

    config: dict[str, Any] = {}
    for path in paths:
        try:
            raw = yaml.safe_load(path.read_text(encoding="utf-8"))
        except (OSError, ValueError, yaml.YAMLError) as error:
            message = f"{path}: not readable as YAML: {error}"
            raise ConfigError(message) from error
        if not isinstance(raw, Mapping):
            message = f"{path}: holds no keys; a config is a YAML mapping such as config/config.yaml"
            raise ConfigError(message)
        update_config(config, raw)
    check_files(paths)
    return resolve(config)


def cohort_lines(config: Mapping[str, Any], entry: Mapping[str, Any], most_values: float) -> Iterator[str]:
    """What fits of a cohort, line by line; what does not begins with PROBLEM. ``most_values`` of a matrix are read.

    Names are compared across sheets only where all of them could be read.
    """
    slides = entry.get("slides")
    if slides and "gdc" in slides and not Path(slides["sheet"]).exists():
        yield f"slides of {', '.join(slides['gdc']['projects'])} are listed by GDC at the first run"
        return
    rows, patients = None, None
    try:
        if slides:
            rows = read_slide_sheet(slides["sheet"], slides["columns"])
            yield f"{len(rows)} slides of {len({row.patient for row in rows})} patients in {slides['sheet']}"
    except MirrorflowError as error:
        yield f"PROBLEM: {error}"
    if rows is not None:
        yield from _slide_lines(entry, rows)
    source = config["expression"]["sources"][entry["expression"]] if has_rna(entry) else {}
    if pending := list(_pending(config, [*matrices(entry["clinical"]), *entry["clinical"].values(), *source.values()])):
        yield from pending
        yield "clinical data and expression are checked once they are there"
        return
    try:
        clinical = clinical_sheet(entry["clinical"])
        patients = set(clinical["patient"])
        yield from _clinical_lines(clinical, entry)
        yield from _site_lines(clinical, entry)
        yield from _fold_lines(config, entry, clinical, rows)
    except MirrorflowError as error:
        yield f"PROBLEM: {error}"
    if source:
        yield from _expression_lines(source, rows, patients, most_values, with_slides=slides is not None)
    yield from _split_lines(config, entry, patients)


def _pending(config: Mapping[str, Any], values: Sequence[Any]) -> Iterator[str]:
    """Data sets among the config's ``values`` that a run has yet to fetch."""
    for name, dataset in config["downloads"].items():
        path = dataset["path"]
        if path in values and not Path(fold_files(path, 0)[0] if PART in path else path).exists():
            yield f"{name}: not there yet, a run fetches it from {dataset['url']}"


def _slide_lines(entry: Mapping[str, Any], rows: list[SlideRow]) -> Iterator[str]:
    for encoder in entry["encoders"]:
        if encoder not in entry["features"] and "gdc" in entry["slides"]:
            continue
        if encoder in entry["features"]:
            folder = Path(entry["features"][encoder])
            missing = [row.slide_id for row in rows if not (folder / f"{row.slide_id}.h5").exists()]
            what = f"feature files in {folder}"
        else:
            missing = [row.slide_id for row in rows if row.path is None or not row.path.exists()]
            what = f"slide files (for {encoder})"
        word = "PROBLEM: none of the" if rows and len(missing) == len(rows) else f"{len(rows) - len(missing)} of"
        yield f"{word} {len(rows)} {what}" + (f"; missing e.g. {', '.join(missing[:3])}" if missing else "")


def _clinical_lines(clinical: pd.DataFrame, entry: Mapping[str, Any]) -> Iterator[str]:
    labels = clinical.loc[clinical["label"] != "", "label"].value_counts()
    followed = clinical["time_days"].notna() & clinical["event"].notna()
    events = int(clinical.loc[followed, "event"].sum())
    yield f"{len(clinical)} patients with clinical data; outcome known of {int(followed.sum())}, {events} events"
    known = set(entry["classes"]) or set(labels.index)
    yield "labels: " + (", ".join(f"{name} {count}" for name, count in labels.items()) or "none: subtyping is left out")
    unknown = [name for name in entry["classes"] if name not in labels.index]
    if unknown:
        yield f"PROBLEM: classes names labels that nobody has: {', '.join(unknown)}"
    ignored = [str(name) for name in labels.index if name not in known]
    if ignored:
        yield f"labels not in `classes` count as unlabelled: {', '.join(ignored)}"


def _site_lines(clinical: pd.DataFrame, entry: Mapping[str, Any]) -> Iterator[str]:
    """Who is left aside for want of a primary tumour, and sites that are not the barcodes'."""
    if aside := left_aside(entry["clinical"]):
        types = "; ".join(f"{count} with {name}" for name, count in sorted(Counter(aside.values()).items()))
        yield f"{len(aside)} patients have no sample of a primary tumour and are left out: {types}"
    if entry["site"] == "column" and (differ := differing_codes(clinical)):
        yield differ
    named = entry.get("institutions")
    if named and (lost := unnamed_codes(_sites(clinical, entry), read_institutions(named))):
        yield f"{named}: {lost}"


def _sites(clinical: pd.DataFrame, entry: Mapping[str, Any]) -> pd.Series:
    return barcode_sites(clinical["patient"]) if entry["site"] == "barcode" else clinical["site"]


def _fold_lines(
    config: Mapping[str, Any], entry: Mapping[str, Any], clinical: pd.DataFrame, rows: list[SlideRow] | None
) -> Iterator[str]:
    """Classes in fewer sites than the folds that are to keep sites apart, of the patients who have slides."""
    if rows is None or not any(one["splits"] == "site_preserved" for one in config["protocols"].values()):
        return
    names = read_institutions(entry["institutions"]) if entry.get("institutions") else {}
    label = clinical["label"].map(entry["classes"]).fillna("") if entry["classes"] else clinical["label"]
    sites = _sites(clinical, entry).map(lambda site: names.get(site, site))
    frame = clinical.assign(label=label, site=sites)[clinical["patient"].isin({row.patient for row in rows})]
    if scarce := scarce_classes(frame, config["splits"]["folds"]):
        yield f"splits site_preserved: {scarce}"


def _expression_lines(
    source: Mapping[str, Any],
    rows: list[SlideRow] | None,
    patients: set[str] | None,
    most_values: float,
    *,
    with_slides: bool,
) -> Iterator[str]:
    try:
        look = look_at_matrix(Path(source["matrix"]), source, most_values)
    except MirrorflowError as error:
        yield f"PROBLEM: {error}"
        return
    of_all = "" if look.whole else " (the first; preflight looks at all)"
    yield f"{len(look.patients)} patients in {source['matrix']}, values of {look.genes} genes can be used{of_all}"
    what = "slides, clinical data and expression" if with_slides else "clinical data and expression"
    if (with_slides and rows is None) or patients is None:
        yield f"who has {what} is told once their sheets can be read"
        return
    shared = set(look.patients) & patients & ({row.patient for row in rows} if rows is not None else patients)
    word = "" if shared else "PROBLEM: "
    named = f"{len(look.patients)} in {source['matrix']}"
    yield f"{word}{len(shared)} patients have {what} ({named})"


def _split_lines(config: Mapping[str, Any], entry: Mapping[str, Any], patients: set[str] | None) -> Iterator[str]:
    read = {name: protocol["splits"] for name, protocol in config["protocols"].items()}
    for name in sorted({splits.removesuffix(REPAIRED) for splits in read.values()} - set(GENERATED_SPLITS)):
        try:
            folder = entry["splits"][name]
            if pending := list(_pending(config, [folder])):
                yield from pending
                continue
            given = read_folds(folder, config["splits"]["folds"])
            folds = [as_evaluated(fold) for fold in choose_evaluated(given, config["splits"]["evaluate"], folder)]
        except MirrorflowError as error:
            yield f"PROBLEM: {error}"
            continue
        listed = {patient for fold in given for part in fold.parts.values() for patient in part}
        word = "" if patients is None or listed & patients else "PROBLEM: "
        known = "" if patients is None else f", {len(listed & patients)} of them known"
        yield f"{word}splits {name}: {len(folds)} folds name {len(listed)} patients{known}"
        if said := evaluated_part(folds):
            yield f"splits {name}: {said}"
        shared = [len(set(fold.train) & set(fold.val)) for fold in folds]
        stopped = [key for key, splits in read.items() if splits == name and config["protocols"][key]["claims_honest"]]
        if any(shared) and stopped and config["strict"]:
            yield (
                f"PROBLEM: splits {name}: {', '.join(map(str, shared))} patients are in train and val (by fold), so "
                f"{', '.join(stopped)} would be withheld; {repair_hint(name)}"
            )
