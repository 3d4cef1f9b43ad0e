"""Rule convert_expression: an expression matrix to the store's parquet, for the patients of the cohort."""

from mirrorflow.runtime.job import run_step

run_step(snakemake)
