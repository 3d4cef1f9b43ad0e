"""Rule make_main_table: methods down, cohorts across, as CSV, Markdown and LaTeX."""

from pathlib import Path

from mirrorflow.jobs.door import door

with door(snakemake):
    from mirrorflow.jobs.evaluate import make_main_table
    from mirrorflow.resources import RESOURCES

    make_main_table(
        snakemake.input.results,
        RESOURCES / "names.tsv",
        snakemake.wildcards.task,
        str(Path(str(snakemake.output.csv)).with_suffix("")),
        snakemake.params.methods,
        snakemake.params.titles,
        snakemake.params.run,
    )
