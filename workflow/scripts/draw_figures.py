"""Rule draw_figures: a cohort's figures, from predictions, histories and results."""

from mirrorflow.jobs.door import door

with door(snakemake):
    from mirrorflow.jobs.draw_figures import draw_figures
    from mirrorflow.resources import RESOURCES

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
