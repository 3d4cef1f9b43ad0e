"""Rule predict_patients: new patients by the models of the run."""

from mirrorflow.steps.start import run_step

run_step(snakemake)
