"""Rule make_modality_gap: distances between slide and RNA vectors."""

from mirrorflow.steps.start import run_step

run_step(snakemake)
