"""Scores of stored predictions, and who is better than whom, without torch."""

from mirrorflow.evaluation.cells import Cell, score_cells, score_method, training_outcomes, with_training
from mirrorflow.evaluation.folds import FoldRows, FoldScores
from mirrorflow.evaluation.verdicts import with_verdicts

__all__ = [
    "Cell",
    "FoldRows",
    "FoldScores",
    "score_cells",
    "score_method",
    "training_outcomes",
    "with_training",
    "with_verdicts",
]
