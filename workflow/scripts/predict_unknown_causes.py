"""Rule predict_unknown_causes: risks of the dead of unknown cause."""

from mirrorflow.steps.start import run_step

run_step(snakemake)
