"""Where the models of a job lie that are trained on labels, which of them are kept, and what their files say."""

import os
import shutil
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from mirrorflow.config.protocols import label_keys, label_scope_of, scope_of
from mirrorflow.learners.base import Checkpoint, HasRecipe, Trained
from mirrorflow.learners.inputs.by_setting import Inputs
from mirrorflow.learners.registry import version_of
from mirrorflow.learners.saved import SavedModel, load_trained
from mirrorflow.learners.tasks import ALL_DATA, FoldTask, Plan
from mirrorflow.plan.model_paths import LabelledModel
from mirrorflow.runtime.files import clear_leftovers
from mirrorflow.store.digest import canonical, digest, file_digest, patients_digest, same_settings
from mirrorflow.store.model_files import stored_config, write_model

FOLDERS = ("model_folder",)
"""Settings of inputs that name a folder: files keep them relative to the model's own."""


@dataclass(frozen=True)
class KeptModels:
    """The models of a plan, a folder each: ``<task>/<setting>/seed<s>/fold<k>`` under the method's.

    That is ``<scope>/<cohort>/models/<encoder>/<method>``. The scope names everything of the protocol that moves them
    (:func:`label_scope_of`), so that protocols which differ in nothing else share them. Without a place in the plan
    there are none.
    """

    plan: Plan
    inputs: Inputs

    def keeps(self, setting: str) -> bool:
        """Whether models of a setting are kept."""
        place = self.plan.saved
        return place is not None and (setting == ALL_DATA or place.keep == "all")

    def _place(self, setting: str) -> dict[str, str]:
        """Scope, cohort, encoder and method. Raises ValueError for a plan that keeps none."""
        place = self.plan.saved
        if place is None:
            message = "this plan keeps no models"
            raise ValueError(message)
        scope = label_scope_of(self.plan.protocol, few_shot=setting != ALL_DATA)
        names = {"cohort": place.cohort, "encoder": place.encoder, "method": place.method}
        return {"root": place.results, "scope": scope, **names}

    def folder(self, task: str, setting: str, seed: int, fold: int) -> Path:
        """Folder of one model."""
        return LabelledModel(**self._place(setting), task=task, setting=setting, seed=seed, fold=fold).folder

    def made_from(self, task: str, setting: str, seed: int, fold: int) -> dict[str, Any]:
        """Everything that decides a model, as settings and digests."""
        plan, few_shot = self.plan, setting != ALL_DATA
        made_from: dict[str, Any] = {
            "version": version_of(plan.method, plan.protocol["epoch"]),
            "cohort": file_digest(plan.cohort),
            "split": file_digest(plan.splits[fold]),
            "protocol": {"scope": scope_of(plan.protocol), **label_keys(plan.protocol, few_shot=few_shot)},
            "task": task,
            "setting": setting,
            "seed": seed,
            "fold": fold,
            "bins": plan.bins,
            "method": dict(plan.method),
            "vectors": self.inputs.of(setting).digest(fold),
            "gene_labels": plan.gene_labels(setting, fold),
        }
        if few_shot:
            made_from["support"] = file_digest(plan.support)
        elif plan.nested:
            made_from["inner"] = [plan.inner_digests(fold), self.inputs.inner_digests(fold)]
        return made_from

    def of_notes(self, task: str, fold: int, notes: Mapping[str, Any]) -> dict[Path, str]:
        """Folders of the models that a fold's predictions should have left, with the digest of what made each."""
        found = {}
        for setting, seed in ((note["setting"], note["seed"]) for note in notes["settings"]):
            if self.keeps(setting):
                folder = self.folder(task, setting, seed, fold)
                found[folder] = _digest(folder, self.made_from(task, setting, seed, fold))
        return found

    def are_there(self, task: str, fold: int, notes: Mapping[str, Any]) -> bool:
        """Whether all models that a fold's predictions should have left lie there."""
        models = self.of_notes(task, fold, notes)
        return all(stored_config(folder).get("digest") == key for folder, key in models.items())

    def load(self, fold_task: FoldTask) -> SavedModel | None:
        """The finished model of a fold task: of a job that was interrupted, or of a protocol that shares it."""
        place = self.checkpoint(fold_task)
        if place is None or stored_config(place.folder).get("digest") != _digest(place.folder, place.made_from):
            return None
        return load_trained(place.folder)

    def checkpoint(self, fold_task: FoldTask) -> Checkpoint | None:
        """Where a fold task's model goes, a training's state beside it, and what decides it; None: it is not kept."""
        if not self.keeps(fold_task.setting):
            return None
        where = (fold_task.task, fold_task.setting, fold_task.seed, fold_task.fold)
        return Checkpoint(self.folder(*where), self.made_from(*where))

    def save(
        self,
        fold_task: FoldTask,
        trained: Trained,
        inputs: HasRecipe,
        note: Mapping[str, Any],
    ) -> None:
        """Write what was trained for a fold task, where models of its setting are kept.

        ``note``: what the predictions file says of it.
        """
        place = self.checkpoint(fold_task)
        if place is None:
            return
        folder, made_from = place.folder, place.made_from
        clear_leftovers(folder)
        arrays = {name: _on_cpu(array) for name, array in {**trained.arrays, **inputs.recipe.named()}.items()}
        config = {
            "digest": digest(made_from),
            "made_from": made_from,
            **self._names(fold_task),
            **_asked(fold_task),
            "settings": dict(self.plan.method),
            "inputs": _relative(inputs.recipe.settings, folder),
            **trained.made_with,
            **note,
            "trained_on_patients": patients_digest(fold_task.train.units["patient"]),
        }
        write_model(folder, arrays, config, config, trained.history)

    def _names(self, fold_task: FoldTask) -> dict[str, Any]:
        place, few_shot = self.plan.saved, fold_task.setting != ALL_DATA
        return {
            "scope": label_scope_of(self.plan.protocol, few_shot=few_shot),
            "model_scope": scope_of(self.plan.protocol),
            "cohort": place.cohort if place else "",
            "encoder": place.encoder if place else "",
            "method": place.method if place else "",
            "family": self.plan.method["family"],
            "task": fold_task.task,
            "fold": fold_task.fold,
        }

    def remove_others(self, kept: Collection[Path]) -> None:
        """Models that a job with these settings no longer has: of other tasks, settings, seeds and folds.

        Those of k-shot settings are left alone by a plan that has none: another protocol may share them.
        """
        settings = [ALL_DATA, *(f"{shot}-shot" for shot in self.plan.shots[:1])] if self.plan.saved else []
        for place in map(self._place, settings):
            for folder in LabelledModel.folders(**place):
                if folder in kept:
                    clear_leftovers(folder)
                    continue
                shutil.rmtree(folder)
                _remove_empty(folder.parents)


def _digest(folder: Path, made_from: Mapping[str, Any]) -> str:
    """Digest of ``made_from``: that of the model in ``folder``, if it was made from the same, be it 96 or 96.0."""
    stored = stored_config(folder)
    same = "made_from" in stored and same_settings(canonical(stored["made_from"]), made_from)
    return stored["digest"] if same else digest(made_from)


def _remove_empty(parents: Sequence[Path]) -> None:
    for folder in parents:
        if any(folder.iterdir()):
            return
        folder.rmdir()


def _on_cpu(array: Any) -> np.ndarray:
    return array if isinstance(array, np.ndarray) else array.detach().cpu().numpy()


def _asked(fold_task: FoldTask) -> dict[str, Any]:
    """Classes, or edges and ends of the bins in days (the last edge is open)."""
    if fold_task.edges is None:
        return {"classes": fold_task.classes}
    ends = None if fold_task.bin_ends is None else [float(end) for end in fold_task.bin_ends]
    return {"bin_edges_days": [float(edge) for edge in fold_task.edges[:-1]], "bin_ends_days": ends}


def _relative(settings: Mapping[str, Any], folder: Path) -> dict[str, Any]:
    """Settings of inputs with folders as seen from ``folder``, so that results can be moved as a whole."""
    named = {name: settings[name] for name in FOLDERS if settings.get(name)}
    return {**settings, **{name: os.path.relpath(path, folder) for name, path in named.items()}}
