"""Scenario ``linear``: every linear method on one large study, beside the oracle, with the verdicts of a run."""

import numpy as np
import pandas as pd

from mirrorflow.bench.request import Request
from mirrorflow.bench.scenarios import Result
from mirrorflow.bench.simulate import World, simulate
from mirrorflow.bench.trials import LINEAR, cells_of, draw_folds, train, true_c
from mirrorflow.evaluation import with_verdicts

REFERENCE = "concat-linear"
SHOWN = ("method", "true_c", "mean", "ci_low", "ci_high", "difference", "true_difference", "p_holm", "verdict")


def run(request: Request) -> Result:
    """Train and judge the linear methods on one study."""
    world = World(**request.sizes(World.patients, World.events))
    rng = np.random.default_rng(request.seed)
    study = simulate(world, rng)
    fold = draw_folds(study, rng)
    trained = [train(name, method, study, fold) for name, method in LINEAR.items()]
    truth = {one.name: true_c(one, study) for one in trained}
    cells = [cell for one in trained for cell in cells_of(one, study, fold, request.resamples, ["c_index"])]
    rows = pd.DataFrame(with_verdicts(cells, REFERENCE, 0.95))
    rows["true_c"] = rows["method"].map(truth)
    rows["true_difference"] = rows["true_c"] - truth[REFERENCE]
    oracle = study.true_c(study.log_hazard)
    said = (
        f"{world.patients} patients, {int(study.event[: world.patients].sum())} events; log hazards a standard "
        f"deviation: shared {world.shared}, slides alone {world.slide_only}, RNA alone {world.rna_only}, their product "
        f"{world.interaction}.",
        f"An oracle that knows the hazard has C {oracle:.3f} on {world.fresh} fresh patients, methods have true_c.",
    )
    figures = {"oracle": oracle, **{f"true_c_{name}": value for name, value in truth.items()}}
    return Result(rows[list(SHOWN)], said, figures)
