"""Rule embed: the units of every fold through that fold's frozen encoders."""

from mirrorflow.steps.start import run_step

run_step(snakemake)
