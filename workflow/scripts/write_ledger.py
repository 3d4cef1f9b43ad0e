"""Rule write_ledger: one row a slide over all shards and encoders, and the contact sheet."""

from pathlib import Path

from mirrorflow.runtime.job import job_setup

with job_setup(snakemake):
    from mirrorflow.plan.store_paths import FeatureStatus
    from mirrorflow.steps.slides.write_ledger import contact_sheet, write_ledger

    features: dict[str, list[Path]] = {encoder: [] for encoder in snakemake.params.encoders}
    for path in snakemake.input.features:
        features[FeatureStatus.parse(path).encoder].append(Path(path))
    ledger = Path(snakemake.output.ledger)
    write_ledger([Path(path) for path in snakemake.input.patches], features, ledger)
    contact_sheet(ledger.parent, ledger, Path(snakemake.output.sheet))
