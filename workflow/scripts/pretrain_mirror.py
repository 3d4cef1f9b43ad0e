"""Rule pretrain_mirror: a self-supervised method on one fold's training patients, resumed where it stopped."""

import json
from pathlib import Path

from mirrorflow.jobs.door import door

with door(snakemake):
    from mirrorflow.cohort import to_units
    from mirrorflow.jobs.pretrain import pretrain_fold
    from mirrorflow.store.files import write_text
    from mirrorflow.store.tables import read_cohort, read_fold

    units = to_units(read_cohort(snakemake.input.cohort)[0], snakemake.params.unit)
    train = units.loc[units["patient"].isin(read_fold(snakemake.input.split).train), "unit"]
    folder = Path(str(snakemake.output.record)).parent
    pretrain_fold(
        units,
        Path(snakemake.input.index),
        Path(snakemake.input.expression),
        Path(snakemake.input.genes),
        train.tolist(),
        folder,
        snakemake.params.settings,
        family=snakemake.params.family,
        seed=int(snakemake.wildcards.seed),
        fold=int(snakemake.wildcards.fold),
        rna_scaling=snakemake.params.rna_scaling,
        rna_clip=snakemake.params.rna_clip,
        threads=snakemake.threads,
    )
    write_text(snakemake.output.record, json.dumps({"model": str(folder / "model.safetensors")}))
