"""Rule make_report: everything of a run on one self-contained page."""

from mirrorflow.runtime.job import job_setup

with job_setup(snakemake):
    from mirrorflow.steps.results.make_report import ReportFiles, make_report

    given = snakemake.input
    files = ReportFiles(
        results=given.results,
        main_tables=given.main_tables,
        audits=given.audits,
        cohorts=given.cohorts,
        summaries=given.summaries,
        genes=given.genes,
        ledgers=given.ledgers,
        figures=given.figures,
        models=given.models,
        benchmarks=snakemake.params.benchmarks,
        further_tables=given.further_tables,
    )
    make_report(
        files,
        snakemake.output.page,
        snakemake.params.config,
        configfiles=snakemake.params.configfiles,
    )
