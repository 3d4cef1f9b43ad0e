"""Rule require_honesty: stop a protocol that claims to be honest and has a leak."""

from mirrorflow.steps.start import run_step

run_step(snakemake)
