"""Rule fit_baseline: a classical method on pooled features, genes or clinical columns, every task and fold."""

from mirrorflow.steps.start import run_step

run_step(snakemake)
