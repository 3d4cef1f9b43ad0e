"""Rule make_main_table: methods down, cohorts across, as CSV, Markdown and LaTeX."""

from pathlib import Path

from mirrorflow.jobs.door import door

with door(snakemake):
    from mirrorflow.jobs.evaluate import make_main_table

    make_main_table(
        snakemake.input.results,
        snakemake.input.names,
        snakemake.wildcards.task,
        str(Path(str(snakemake.output.csv)).with_suffix("")),
        snakemake.params.methods,
        snakemake.params.titles,
        snakemake.params.run,
    )
