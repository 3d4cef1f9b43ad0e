"""Raw data of new patients made into what models take: slides to features, an expression sheet to genes by patients."""

import logging
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pandas as pd

from mirrorflow.cohorts.other_samples import counted_types
from mirrorflow.cohorts.written import Said, with_points
from mirrorflow.config.encoder_table import NamedEncoder, named_encoder
from mirrorflow.errors import InputError
from mirrorflow.reuse.feature_checks import Check
from mirrorflow.reuse.matrix_scale import against_training
from mirrorflow.reuse.patients import NewPatients, features_of, new_patients
from mirrorflow.reuse.request import Chosen
from mirrorflow.reuse.run_folder import FinishedRun
from mirrorflow.reuse.site_names import named_as_in_run
from mirrorflow.reuse.training_matrix import TrainingMatrix, training_matrix
from mirrorflow.reuse.training_slides import SHARED, TrainingSlides, extraction_settings, training_slides
from mirrorflow.slides.encoder_settings import HUB, RANDOM
from mirrorflow.steps.expression.convert_expression import convert_expression
from mirrorflow.steps.slides.extract_features import DEFAULTS, ShardFiles, extract_shard
from mirrorflow.steps.slides.patch_slides import patch_shard
from mirrorflow.store.digest import canonical, same_settings
from mirrorflow.store.expression import Expression, read_expression, read_record
from mirrorflow.store.ledger import read_rows
from mirrorflow.store.slide_sheet import SlideRow, read_slide_sheet
from mirrorflow.store.tables import read_users_sheet

ANNOTATION = frozenset(
    {
        "chr", "chromosome", "description", "end", "entrez", "entrezgene", "entrezgeneid", "entrezid", "genebiotype",
        "geneid", "genelength", "genename", "genesymbol", "genetype", "hugosymbol", "length", "start", "strand",
        "symbol",
    }
)  # fmt: skip
"""What columns that describe genes are called, letters alone: without a list of patients they look like some."""

UNNOTED = (
    "The run does not say how many patches of a slide may be unreadable (features.max_unreadable): new slides fail "
    f"above {DEFAULTS['max_unreadable']:.0%}, the default."
)

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Given:
    """What a user has of new patients; any may be None. ``work``: where features are made, and what is converted.

    matrix: how the expression sheet is read, where that is not as the training's. weights: file of the encoder's
    weights, where training had them from a file.
    """

    work: Path
    slides: Path | None = None
    features: Path | None = None
    expression: Path | None = None
    sheet: Path | None = None
    matrix: Mapping[str, Any] | None = None
    weights: Path | None = None


@dataclass(frozen=True)
class Gathered:
    """The new patients; slides that cannot be used, with the reason; what is worth telling of how files were read."""

    patients: NewPatients
    faults: dict[str, str]
    notes: list[str]
    checks: list[Check]


def gather(run: FinishedRun, asked: Chosen, given: Given, threads: int = 1) -> Gathered:
    """The new patients and what became of their files.

    Without ``features`` those of the sheet's slides are made in ``work`` as those of training were. Raises InputError
    for a file that is something else, and where training's way of making features is not known.
    """
    rows = read_slide_sheet(given.slides) if given.slides else None
    slides, folder, failed, said = None, given.features, dict[str, str](), ""
    if rows is not None:
        slides = pd.DataFrame([(row.slide_id, row.patient) for row in rows], columns=["slide_id", "patient"])
    if rows is not None and folder is None:
        folder, failed, said = make_features(run, asked, rows, given, threads)
    found = None if folder is None else features_of(folder, slides)
    matrix = training_matrix(run, asked) if given.expression else None
    read, no_tumours = _expression(matrix, given)
    expression, dropped = _of_patients(read)
    (sheet, converted), named = _sheet(given.sheet), ""
    if sheet is not None and "site" in sheet:
        sheet["site"], named = named_as_in_run(sheet["site"], run.cohort(asked.cohort)[0], run.site_codes(asked.cohort))
    patients = new_patients(
        None if found is None else found.slides,
        {} if found is None else found.files,
        expression,
        sheet,
    )
    checks = []
    if matrix and patients.expression:
        cohort = set(run.cohort(asked.cohort)[0]["patient"])
        scale = against_training(patients.expression, matrix.file, cohort)
        patients, checks = replace(patients, other_scale=scale.faults), [scale.check]
    notes = [said, matrix.note if matrix else "", *converted, named, no_tumours, _said_of(dropped)]
    return Gathered(patients, ({} if found is None else found.faults) | failed, list(filter(None, notes)), checks)


def make_features(
    run: FinishedRun, asked: Chosen, rows: list[SlideRow], given: Given, threads: int
) -> tuple[Path, dict[str, str], str]:
    """Patches and features of slides, by the settings that most feature files of training have, and judged as there.

    Returns the folder, by slide why it has none, and what is worth telling. Raises InputError where training's features
    were made elsewhere.
    """
    training = _training_slides(run, asked)
    settings = training.settings
    encoder = _encoder(settings["encoder"], given.weights)
    patches, features = given.work / "patches", given.work / "features"
    wanted = {key: settings["patches"][key] for key in SHARED}
    patch_shard(rows, patches, patches / "status.tsv", wanted, workers=threads)
    files = ShardFiles(patches, features, features / "status.tsv")
    noted = extraction_settings(run, asked)
    extract_shard(rows, files, encoder, {key: noted[key] for key in DEFAULTS if key in noted}, threads=threads)
    failed = {}
    for path in (features / "status.tsv", patches / "status.tsv"):
        for row in read_rows(path, ("slide_id", "status", "reason")):
            if row["status"] != "ok":
                failed[row["slide_id"]] = row["reason"]
    return features, failed, " ".join(filter(None, (training.note, "" if noted else UNNOTED)))


def _training_slides(run: FinishedRun, asked: Chosen) -> TrainingSlides:
    index = run.features(asked.cohort, asked.encoder)
    found = TrainingSlides(pd.DataFrame(), {}, 0, 0) if index is None else training_slides(index)
    if not found.settings:
        what = "its features were made elsewhere" if found.of else "the files of its features are gone"
        message = (
            f"{run.folder}: how the features of {asked.encoder} were made is not known ({what}): make those of the new "
            "slides the same way and give their folder (--features)"
        )
        raise InputError(message)
    return found


def _encoder(noted: Mapping[str, Any], weights: Path | None) -> dict[str, Any]:
    """Settings of training's encoder; a digest of weights is no file, so that one has to be given.

    The recipe that a feature file carries is no setting: it is held against the entry of config/encoders.yaml. Raises
    InputError where that is another one.
    """
    noted = dict(noted)
    _require_recipe(noted["name"], noted.pop("recipe", None), named_encoder(noted["model"]))
    if noted["weights"] in (RANDOM, HUB):
        return noted
    if weights is None:
        message = (
            f"encoder {noted['name']}: training had its weights from a file ({noted['weights']}); give it (--weights)"
        )
        raise InputError(message)
    return {**noted, "weights": str(weights)}


def _require_recipe(name: str, noted: Mapping[str, Any] | None, entry: NamedEncoder | None) -> None:
    """noted: the recipe in training's feature files, which files of before recipes lack."""
    now = {} if entry is None else entry.recipe()
    if noted is None or same_settings(canonical(noted), now):
        return
    differs = [f"{key} {noted.get(key)}, now {now.get(key)}" for key in noted if noted[key] != now.get(key)]
    message = (
        f"encoder {name}: config/encoders.yaml builds it in another way than for training ({'; '.join(differs)}): put "
        "the entry back as it was, or make the features elsewhere and give their folder (--features)"
    )
    raise InputError(message)


def _expression(training: TrainingMatrix | None, given: Given) -> tuple[Expression | None, str]:
    """The expression sheet, and what is worth telling of samples that were left out of it."""
    if given.expression is None or training is None:
        return None, ""
    target = given.work / "expression.parquet"
    target.unlink(missing_ok=True)
    settings = {**training.settings, **(given.matrix or {})}
    convert_expression(given.expression, target, settings)
    types = counted_types(read_record(target)["counts"]["samples_dropped_by_type"])
    told = f"Samples of the expression sheet that are no primary tumours are left out: {types}." if types else ""
    return read_expression(target), told


def _of_patients(expression: Expression | None) -> tuple[Expression | None, list[str]]:
    """Expression of the columns that are patients, and the names of those that describe genes."""
    if expression is None:
        return None, []
    plain = ["".join(filter(str.isalpha, name.casefold())) for name in expression.patients]
    kept = [row for row, name in enumerate(plain) if name not in ANNOTATION]
    dropped = [expression.patients[row] for row, name in enumerate(plain) if name in ANNOTATION]
    names = [expression.patients[row] for row in kept]
    return replace(expression, values=expression.values[kept], patients=names), dropped


def _said_of(dropped: list[str]) -> str:
    return (
        f"Columns of the expression sheet that describe genes are no patients: {', '.join(dropped)}." if dropped else ""
    )


def _sheet(path: Path | None) -> tuple[pd.DataFrame | None, list[str]]:
    """The sheet of new patients, its numbers read as those of a cohort's sheet, and what was converted."""
    if path is None:
        return None, []
    sheet, _, recognised = read_users_sheet(path)
    if "patient" not in sheet:
        message = f"{path}: no column patient (it has {', '.join(sheet.columns[:8])}); rename the column of names"
        raise InputError(message)
    sheet["patient"] = sheet["patient"].str.strip()
    if (twice := sheet["patient"][sheet["patient"].duplicated()]).any():
        message = f"{path}: patient {twice.iloc[0]!r} is there twice; keep one row a patient"
        raise InputError(message)
    said = Said(str(path), recognised)
    for name in sheet.columns.drop(["patient", "site"], errors="ignore"):
        sheet[name] = with_points(sheet[name].str.strip(), str(name), said, needed=False)
    for line in said.lines:
        logger.warning("%s", line)
    return sheet, [f"{line}." for line in said.lines]
