"""Rule write_ledger: one row a slide over all shards and encoders, and the contact sheet."""

from pathlib import Path

from mirrorflow.runtime.job import job_setup

with job_setup(snakemake):
    from mirrorflow.steps.slides.write_ledger import contact_sheet, write_ledger

    features: dict[str, list[Path]] = {
        encoder: [Path(path) for path in snakemake.input.features if Path(path).parents[1].name == encoder]
        for encoder in snakemake.params.encoders
    }
    ledger = Path(snakemake.output.ledger)
    write_ledger([Path(path) for path in snakemake.input.patches], features, ledger)
    contact_sheet(ledger.parent, ledger, Path(snakemake.output.sheet))
