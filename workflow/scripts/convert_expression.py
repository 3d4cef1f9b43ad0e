"""Rule convert_expression: an expression matrix to the store's parquet, for the patients of the cohort."""

from pathlib import Path

from mirrorflow.runtime.job import job_setup

with job_setup(snakemake):
    from mirrorflow.plan.records import write_plan
    from mirrorflow.steps.expression.convert_expression import convert_expression
    from mirrorflow.store.slide_sheet import read_slide_sheet

    rows = read_slide_sheet(Path(snakemake.input.sheet), snakemake.params.columns)
    convert_expression(
        Path(snakemake.input.matrix),
        Path(snakemake.output.parquet),
        snakemake.params.settings,
        probemap=Path(snakemake.input.probemap) if snakemake.input.probemap else None,
        patients=sorted({row.patient for row in rows}),
    )
    write_plan(snakemake.params.planned)
