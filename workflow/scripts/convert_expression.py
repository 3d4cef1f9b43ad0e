"""Rule convert_expression: an expression matrix to the store's parquet, for the patients of the cohort."""

from mirrorflow.steps.start import run_step

run_step(snakemake)
