#!/usr/bin/env bash
# scikit-survival 0.28.0: cumulative_incidence_competing_risks needs at least two kinds of death to be seen.
#
# A group of patients in which all deaths are of one kind (common in small groups: a low-risk half, one fold) is valid
# input: codes 0 (censored) and 1. The estimator raises a ValueError about shapes that names no cause. One more patient
# with a death of kind 2 and the same call gives curves; that of kind 1 is then the Aalen-Johansen estimate. With one kind
# the answer is known, 1 - Kaplan-Meier, and has to be taken from kaplan_meier_estimator instead. A kind that is declared
# nowhere cannot be asked for either: codes have to be 0..K without a gap, so that kind 2 alone raises as well.
#
# Seen: ValueError for codes {0, 1} and for {0, 2}; curves for {0, 1, 2}.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check scikit-survival==0.28.0
"$folder/venv/bin/python" - <<'PYTHON'
import numpy as np
import sksurv
from sksurv.nonparametric import cumulative_incidence_competing_risks, kaplan_meier_estimator

time = np.array([2.0, 3.0, 3.0, 5.0, 8.0, 9.0])


def outcome(codes):
    try:
        times, curves = cumulative_incidence_competing_risks(np.array(codes), time)
    except ValueError as error:
        return f"ValueError: {error}"
    return np.round(curves, 4).tolist()


one, other, both = outcome([1, 0, 1, 1, 0, 0]), outcome([2, 0, 2, 2, 0, 0]), outcome([1, 0, 1, 1, 2, 0])
print("codes 0 and 1:", one)
print("codes 0 and 2:", other)
print("codes 0, 1 and 2:", both)
assert one.startswith("ValueError"), "changed: one kind of death is taken"
assert other.startswith("ValueError"), "changed: a gap in the codes is taken"
assert len(both) == 3
_, survival = kaplan_meier_estimator(np.array([1, 0, 1, 1, 0, 0], bool), time)
print("1 - Kaplan-Meier:", np.round(1 - survival, 4).tolist())
print("scikit-survival", sksurv.__version__)
PYTHON
echo "as described"
