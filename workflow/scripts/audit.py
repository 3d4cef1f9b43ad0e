"""Rule audit: what was really used under a protocol, held against what it claims."""

from mirrorflow.runtime.job import run_step

run_step(snakemake)
