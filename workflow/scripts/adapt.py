"""Rule adapt: another cohort's frozen encoders, a new RNA embedding and a head; every task, seed and fold."""

from mirrorflow.steps.start import run_step

run_step(snakemake)
