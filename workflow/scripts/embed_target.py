"""Rule embed_target: a cohort's slides through the frozen slide encoders of another cohort's folds."""

from mirrorflow.steps.start import run_step

run_step(snakemake)
