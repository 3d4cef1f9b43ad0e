"""Rule embed: the units of every fold through that fold's frozen encoders."""

import json
from pathlib import Path

from mirrorflow.runtime.job import job_setup

with job_setup(snakemake):
    from mirrorflow.cohorts.patients import to_units
    from mirrorflow.runtime.files import write_text
    from mirrorflow.steps.training.embed import embed_fold
    from mirrorflow.store.tables import read_cohort

    units = to_units(read_cohort(snakemake.input.cohort)[0], snakemake.params.unit)
    folder = Path(str(snakemake.output.record)).parent
    files = [folder / f"{snakemake.wildcards.genes}fold{fold}.safetensors" for fold in snakemake.params.folds]
    for path, genes, model in zip(files, snakemake.input.genes, snakemake.input.models, strict=True):
        embed_fold(
            units,
            Path(snakemake.input.index),
            Path(snakemake.input.expression),
            Path(genes),
            Path(model).parent,
            path,
            snakemake.params.settings,
            seed=int(snakemake.wildcards.seed),
            threads=snakemake.threads,
        )
    models = [str(Path(model).parent) for model in snakemake.input.models]
    record = {"embeddings": [str(path) for path in files], "models": models}
    write_text(snakemake.output.record, json.dumps(record))
