"""Rule map_embeddings: where slide and RNA vectors of evaluation patients lie."""

from mirrorflow.steps.start import run_step

run_step(snakemake)
