"""Rule write_ledger: one row a slide over all shards and encoders, and the contact sheet."""

from mirrorflow.steps.start import run_step

run_step(snakemake)
