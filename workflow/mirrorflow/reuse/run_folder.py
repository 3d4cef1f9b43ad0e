"""The folder of a finished run: its methods, models, folds and patients, wherever the folder lies now."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import pandas as pd

from mirrorflow.cohorts.splits import Fold
from mirrorflow.config.adaptation import ADAPTED
from mirrorflow.errors import InputError
from mirrorflow.learners.tasks import ALL_DATA
from mirrorflow.plan.model_paths import LabelledModel
from mirrorflow.plan.paths import CohortFile, FeatureIndex, PredictionsManifest, SplitFile, SplitSummary
from mirrorflow.store.method_predictions import Manifest, read_manifest, read_task
from mirrorflow.store.model_files import stored_config
from mirrorflow.store.predictions import Predictions
from mirrorflow.store.tables import read_cohort, read_endpoint, read_fold, read_site_codes, read_text_sheet

NO_ENCODER = "none"


@dataclass(frozen=True)
class FinishedRun:
    """``folder`` is ``results/<run>``, or a copy of it under any name. ``only``: the methods that count; None: all."""

    folder: Path
    only: frozenset[PredictionsManifest] | None = None

    def of(self, manifests: Iterable[str | Path]) -> "FinishedRun":
        """The run with the methods of these manifests alone: others may lie there of an earlier config."""
        return replace(self, only=frozenset(map(PredictionsManifest.parse, manifests)))

    @cached_property
    def manifests(self) -> dict[PredictionsManifest, Manifest]:
        """What every method of the run left, in the order of the paths."""
        paths = sorted((self.folder / "predictions").glob("*/*/*/*/manifest.json"))
        places = {PredictionsManifest.parse(path): path for path in paths}
        return {place: read_manifest(path) for place, path in places.items() if self.only is None or place in self.only}

    def unfinished(self) -> list[str]:
        """Methods that count, were planned and have no predictions yet, as ``protocol/cohort/encoder/method``."""
        plans = sorted((self.folder / "predictions").glob("*/*/*/*/plan.json"))
        missing = [path for path in (plan.with_name("manifest.json") for plan in plans) if not path.exists()]
        return [
            path.parent.relative_to(self.folder / "predictions").as_posix()
            for path in missing
            if self.only is None or PredictionsManifest.parse(path) in self.only
        ]

    def models(self, place: PredictionsManifest, task: str) -> list[LabelledModel]:
        """Models of all training data of a method and task, by fold and seed, below this very folder.

        Raises InputError naming a model that is gone, or that was trained anew since the method predicted with it.
        """
        kept = self.manifests[place].models.items()
        found = {LabelledModel.parse(f"{path}/config.json"): made_from for path, made_from in kept}
        mine = sorted(one for one in found if one.task == task and one.setting == ALL_DATA)
        for one in mine:
            if not (one.folder / "model.safetensors").exists():
                message = f"{one.folder}: the model is gone; run snakemake again, or restore the run's folder"
                raise InputError(message)
            # protocols share models: another one may have trained this anew, with settings of a later config
            if stored_config(one.folder).get("digest", found[one]) != found[one]:
                message = (
                    f"{one.folder}: trained anew since {self.manifests[place].path} was written, whose predictions are "
                    f"those of the model before; run snakemake to its end with a config that has method {place.method} "
                    f"under protocol {place.protocol}"
                )
                raise InputError(message)
        return mine

    def out_of_fold(self, place: PredictionsManifest, task: str) -> list[Predictions]:
        """Predictions of each fold's evaluation units, with the cohort's outcomes, by models of all training data."""
        frame, _ = self.cohort(place.cohort)
        folds = read_task(self.manifests[place], task, frame)
        return [replace(one, rows=one.rows[one.rows["setting"] == ALL_DATA]) for one in folds]

    def cohort(self, name: str) -> tuple[pd.DataFrame, list[str]]:
        """Patients and classes of a cohort, or of the target of an adapted one (``target--from--source``)."""
        return read_cohort(self._cohort_file(name))

    def endpoint(self, name: str) -> str:
        """What a cause-specific outcome of the cohort is called; empty for any other."""
        return read_endpoint(self._cohort_file(name))

    def site_codes(self, name: str) -> dict[str, str]:
        """Site code -> institution, where the cohort's sites were named by a table."""
        return read_site_codes(self._cohort_file(name))

    def fold(self, scope: str, cohort: str, number: int) -> Fold:
        """A fold of a model scope."""
        return read_fold(SplitFile(str(self.folder), scope, target_of(cohort), "", number).path)

    def fold_numbers(self, scope: str, cohort: str) -> list[int]:
        """Folds of a model scope: those that the summary beside the split files names, without one all that are there.

        More may lie there: of an earlier config that had more folds.
        """
        summary = SplitSummary(str(self.folder), scope, target_of(cohort)).path
        if summary.exists():
            return sorted(int(number) for number in read_text_sheet(summary)["fold"])
        return sorted(SplitFile.parse(path).fold for path in summary.parent.glob("splits_*.csv"))

    def source_fold(self, scope: str, cohort: str, number: int) -> Fold | None:
        """The source's fold whose model an adapted cohort's fold took; None for any other cohort."""
        source = source_of(cohort)
        return read_fold(SplitFile(str(self.folder), scope, source, "", number).path) if source else None

    def everyone(self, name: str) -> pd.DataFrame:
        """Patients of a cohort and, of an adapted one, of its source, whom its encoders may have been trained on."""
        frames = [self.cohort(one)[0] for one in filter(None, (target_of(name), source_of(name)))]
        return pd.concat(frames, ignore_index=True).drop_duplicates("patient")

    def all_features(self, name: str, encoder: str) -> pd.DataFrame | None:
        """Indexes of :meth:`everyone`'s features; None for a method without slides."""
        found = [self.features(one, encoder) for one in filter(None, (target_of(name), source_of(name)))]
        there = [one for one in found if one is not None]
        return pd.concat(there, ignore_index=True) if there else None

    def features(self, cohort: str, encoder: str) -> pd.DataFrame | None:
        """The index of the cohort's features, paths as they can be opened; None for a method without slides."""
        path = FeatureIndex(str(self.folder), target_of(cohort), encoder).path
        if encoder == NO_ENCODER or not path.exists():
            return None
        table = read_text_sheet(path)
        return table.assign(path=[str(self.found(one)) for one in table["path"]])

    def found(self, path: str) -> Path:
        """A file that the run names, below a folder above the run (Snakemake's working folder), else as it says.

        The folder that one stands in comes last: another project there may have a file of the same name.
        """
        given = Path(path)
        places = (above / given for above in self.folder.resolve().parents)
        return next((one for one in places if one.exists()), given)

    def _cohort_file(self, name: str) -> Path:
        return CohortFile(str(self.folder), target_of(name)).path


def open_run(folder: str | Path) -> FinishedRun:
    """The run in ``folder`` (``results/<run>``).

    Raises InputError for a folder that is not there, that is no run's, or whose run was never finished.
    """
    path = Path(folder)
    if not path.is_dir():
        message = f"{path}: no such folder; name the results of a run, such as results/demo"
        raise InputError(message)
    run = FinishedRun(path)
    if run.manifests:
        return run
    if (path / "cohort").is_dir() or run.unfinished():
        message = f"{path}: this run was never finished: no method has predictions; run snakemake to its end first"
        raise InputError(message)
    inside = ", ".join(sorted(one.name for one in path.iterdir())[:5]) or "nothing"
    message = f"{path}: no results of a run (it holds {inside}); name results/<run>, where report.html lies"
    raise InputError(message)


def target_of(cohort: str) -> str:
    """The cohort whose patients are predicted: ``nsclc`` for ``nsclc--from--brca``."""
    adapted = ADAPTED.fullmatch(cohort)
    return adapted["target"] if adapted else cohort


def source_of(cohort: str) -> str:
    """The cohort whose encoders an adapted one took: ``brca`` for ``nsclc--from--brca``; empty for any other."""
    adapted = ADAPTED.fullmatch(cohort)
    return adapted["source"] if adapted else ""


def pick(given: str | None, there: Sequence[str], what: str, preferred: str = "") -> str:
    """``given``, if the run has it; without one the preferred, or the only one there is.

    Raises InputError naming those that there are.
    """
    if given is None and preferred in there:
        return preferred
    if given is None and len(there) == 1:
        return there[0]
    if given in there:
        return str(given)
    said = f"no {what} {given!r} in this run" if given is not None else f"the run has several: name a {what}"
    message = f"{said} (there: {', '.join(there) or 'none'})"
    raise InputError(message)
