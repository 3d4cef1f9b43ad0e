"""Rule embed_target: a cohort's slides through the frozen slide encoders of another cohort's folds."""

from mirrorflow.runtime.job import run_step

run_step(snakemake)
