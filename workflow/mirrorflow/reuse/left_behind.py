"""What an earlier config, or a run that was killed, left in a run's folder: it does not go with the rest."""

from pathlib import Path

from mirrorflow.audit.fits import units_group
from mirrorflow.cohorts.patients import PAIRED, to_units, who_has
from mirrorflow.errors import InputError
from mirrorflow.learners.saved import SavedModel
from mirrorflow.plan.paths import EmbeddingsFile, ModelRecord, SplitFile, SplitSummary
from mirrorflow.reuse.run_folder import FinishedRun, source_of, target_of
from mirrorflow.store.digest import digest, file_digest
from mirrorflow.store.model_records import read_config
from mirrorflow.store.tables import read_fold


def hold_split(run: FinishedRun, cohort: str, model: SavedModel, folder: Path) -> None:
    """Raise InputError for a model of other folds than the split file of its number has now.

    A model that does not say what it was made from is let through.
    """
    recorded = model.config.get("made_from", {}).get("split")
    place = SplitFile(str(run.folder), model.config["model_scope"], target_of(cohort), "", model.config["fold"])
    if recorded is not None and recorded != file_digest(place.path):
        message = (
            f"{folder}: trained on another fold than {place.path} has now: the folds were made anew since; run "
            "snakemake to its end with a config that has this method and protocol"
        )
        raise InputError(message)


def why_outdated(run: FinishedRun, place: EmbeddingsFile, made_with: str | None) -> str:
    """Why embeddings are not of the model and fold that lie there now, in words; empty where they are, or nobody knows.

    made_with: digest of the model that they say they are of.
    """
    home = source_of(place.cohort) or target_of(place.cohort)
    names = {"scope": place.scope, "cohort": home, "encoder": place.encoder, "method": place.method}
    root = str(run.folder)
    if SplitSummary(root, place.scope, home).path.exists() and place.fold not in run.fold_numbers(place.scope, home):
        return f"the run has no fold {place.fold} now"
    folder = ModelRecord(root, **names, seed=place.seed, genes=place.genes, fold=place.fold).folder
    model = {key: value for key, value in read_config(folder).items() if key != "digest"}
    if not model:
        return ""
    if made_with not in (None, digest(model)):
        return f"they are of another model than {folder} holds now"
    split = SplitFile(root, place.scope, home, "", place.fold).path
    units = model.get("data", {}).get("units")
    if units is None or not split.exists():
        return ""
    cohort = to_units(who_has(run.cohort(home)[0], PAIRED), place.scope.split("-")[0])
    training = cohort[cohort["patient"].isin(read_fold(split).train)]
    if units == units_group(training).digest:
        return ""
    return f"{folder} was trained on others than the training part of {split} has now"
