"""Rule fit_baseline: a classical method on pooled features, genes or clinical columns, every task and fold."""

from mirrorflow.runtime.job import run_step

run_step(snakemake)
