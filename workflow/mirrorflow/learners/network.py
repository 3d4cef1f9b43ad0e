"""A network's answer to one fold task: built, trained on labels, its epoch chosen, units predicted."""

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

import torch
from torch import Tensor

from mirrorflow.config.modules import optional_part_of
from mirrorflow.learners.base import Trained
from mirrorflow.learners.inputs.bagged import FoldBags
from mirrorflow.learners.tasks import FoldTask
from mirrorflow.models.seam import Objective
from mirrorflow.models.supervised import Sizes, SupervisedNetwork, build_network
from mirrorflow.probes.objective import (
    Cox,
    CrossEntropy,
    Hazards,
    TaskObjective,
    judge_of,
    target_tensors,
)
from mirrorflow.probes.task import EpochRule, Prediction
from mirrorflow.runtime.progress import Progress
from mirrorflow.training.seeds import fold_seed
from mirrorflow.training.supervised import (
    Hooks,
    LabelledUnits,
    SupervisedSettings,
    predict_units,
    train_supervised,
)
from mirrorflow.training.trainer import OnEpoch, TrainingState

NETWORK = "network."
"""What the names of a network's weights begin with."""

OF_THE_OBJECTIVE = ("label_smoothing", "alpha", "survival", "ties")
OF_THE_INPUTS = ("feature_scaling", "cache_gb")


@dataclass(frozen=True)
class Keeper:
    """Where a training's state is kept between two attempts: ``load`` what there is, ``save`` after each epoch."""

    load: Callable[[], TrainingState | None]
    save: OnEpoch
