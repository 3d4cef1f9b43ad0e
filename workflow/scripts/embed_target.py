"""Rule embed_target: a cohort's slides through the frozen slide encoders of another cohort's folds."""

import json
from pathlib import Path

from mirrorflow.runtime.job import job_setup

with job_setup(snakemake):
    from mirrorflow.cohorts.patients import to_units
    from mirrorflow.plan.paths import EmbeddingsRecord, ModelRecord
    from mirrorflow.runtime.files import write_text
    from mirrorflow.steps.training.embed_target import embed_target_fold
    from mirrorflow.store.tables import read_cohort

    units = to_units(read_cohort(snakemake.input.cohort)[0], snakemake.params.unit)
    record = EmbeddingsRecord.parse(snakemake.output.record)
    models = [ModelRecord.parse(path) for path in snakemake.input.models]
    files = [record.file(model.fold).path for model in models]
    for path, model in zip(files, models, strict=True):
        embed_target_fold(
            units,
            Path(snakemake.input.index),
            model.folder,
            path,
            snakemake.params.settings,
            seed=int(snakemake.wildcards.seed),
            threads=snakemake.threads,
        )
    write_text(record.path, json.dumps({"embeddings": [str(path) for path in files]}))
