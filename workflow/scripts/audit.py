"""Rule audit: what was really used under a protocol, held against what it claims."""

from mirrorflow.steps.start import run_step

run_step(snakemake)
