"""Rule build_cohort: patients, labels, outcomes, slides and expression joined; who was dropped and why."""

from mirrorflow.steps.start import run_step

run_step(snakemake)
