"""Rule embed_target: a cohort's slides through the frozen slide encoders of another cohort's folds."""

import json
from pathlib import Path

from mirrorflow.runtime.job import job_setup

with job_setup(snakemake):
    from mirrorflow.cohorts.patients import to_units
    from mirrorflow.runtime.files import write_text
    from mirrorflow.steps.training.embed_target import embed_target_fold
    from mirrorflow.store.tables import read_cohort

    units = to_units(read_cohort(snakemake.input.cohort)[0], snakemake.params.unit)
    record = Path(str(snakemake.output.record))
    files = [record.parent / f"fold{fold}.safetensors" for fold in range(len(snakemake.input.models))]
    for path, model in zip(files, snakemake.input.models, strict=True):
        embed_target_fold(
            units,
            Path(snakemake.input.index),
            Path(model).parent,
            path,
            snakemake.params.settings,
            seed=int(snakemake.wildcards.seed),
            threads=snakemake.threads,
        )
    write_text(record, json.dumps({"embeddings": [str(path) for path in files]}))
