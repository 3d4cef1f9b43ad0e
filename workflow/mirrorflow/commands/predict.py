"""mirrorflow predict: new patients by the models of a finished run."""

import sys
from collections.abc import Mapping
from typing import Any

from mirrorflow.reuse.run_folder import open_run
from mirrorflow.steps.reuse.predict_patients import asked_by, given_by, predict_given


def predict(options: Mapping[str, Any]) -> int:
    """Predict and write the files; says what was written.

    options: as the command line has them. Raises InputError as :func:`predict_given`.
    """
    out = options["out"]
    given = given_by(options, out / "work")
    made, written = predict_given(open_run(options["run"]), given, asked_by(options), out, options["threads"])
    for note in made.notes:
        sys.stdout.write(f"{note}\n")
    for check in made.checks:
        sys.stdout.write(f"{check.what}: {check.verdict}\n")
    if len(made.left_out):
        sys.stdout.write(f"{len(made.left_out)} times something was left out: {out / 'left_out.tsv'} says why\n")
    sys.stdout.write("".join(f"{path}\n" for path in written))
    return 0
