"""Rule require_honesty: stop a protocol that claims to be honest and has a leak."""

from mirrorflow.runtime.job import run_step

run_step(snakemake)
