"""Rule draw_figures: a cohort's figures, from predictions, histories and results."""

from mirrorflow.runtime.job import job_setup

with job_setup(snakemake):
    from mirrorflow.config.resources import RESOURCES
    from mirrorflow.steps.results.draw_figures import draw_figures

    draw_figures(
        snakemake.wildcards.cohort,
        snakemake.input.flow,
        snakemake.input.manifests,
        snakemake.input.models,
        snakemake.input.results,
        RESOURCES / "names.tsv",
        snakemake.output.folder,
        methods=snakemake.params.methods,
        frame=snakemake.input.cohort,
        expression=snakemake.input.expression,
        genes=snakemake.input.genes,
        clip=snakemake.params.rna_clip,
    )
