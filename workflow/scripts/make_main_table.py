"""Rule make_main_table: methods down, cohorts across, as CSV, Markdown and LaTeX."""

from pathlib import Path

from mirrorflow.runtime.job import job_setup

with job_setup(snakemake):
    from mirrorflow.config.resources import RESOURCES
    from mirrorflow.steps.results.evaluate import make_main_table

    make_main_table(
        snakemake.input.results,
        RESOURCES / "names.tsv",
        snakemake.wildcards.task,
        str(Path(str(snakemake.output.csv)).with_suffix("")),
        snakemake.params.methods,
        snakemake.params.titles,
        snakemake.params.run,
    )
