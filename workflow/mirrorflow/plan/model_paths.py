"""Where models that are trained on labels lie, and whose model a folder holds by its path."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mirrorflow.plan.contract_path import ContractPath
from mirrorflow.plan.paths import ModelRecord


@dataclass(frozen=True, order=True)
class LabelledModel(ContractPath):
    """What a model trained on labels was made with; weights and history lie beside it."""

    scope: str
    cohort: str
    encoder: str
    method: str
    task: str
    setting: str
    seed: int
    fold: int
    TEMPLATE = "{scope}/{cohort}/models/{encoder}/{method}/{task}/{setting}/seed{seed}/fold{fold}/config.json"


def model_of(folder: str | Path) -> "LabelledModel | ModelRecord | None":
    """Whose model lies in a folder, as its path says; None where no model of a run would lie there."""
    labelled, pretrained = Path(folder) / "config.json", Path(folder) / "done.json"
    if LabelledModel.fits(labelled):
        return LabelledModel.parse(labelled)
    return ModelRecord.parse(pretrained) if ModelRecord.fits(pretrained) else None


def facts_of(place: LabelledModel | ModelRecord) -> dict[str, Any]:
    """What a place says, less the folder of the run and the prefix of genes or inner folds."""
    return {name: getattr(place, name) for name in place.types if name not in ("root", "genes")}
