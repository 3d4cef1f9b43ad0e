"""Rule probe_mirror: linear heads on frozen embeddings, every task, setting, seed and fold."""

import json
from pathlib import Path

from mirrorflow.jobs.door import door

with door(snakemake):
    from mirrorflow.jobs.predict import Plan, predict_method
    from mirrorflow.jobs.representations import Embedded

    params = snakemake.params
    files = {
        (seed, fold): path
        for seed, record in zip(params.seeds, snakemake.input.embeddings, strict=True)
        for fold, path in enumerate(json.loads(Path(record).read_text())["embeddings"])
    }
    plan = Plan(
        cohort=snakemake.input.cohort,
        splits=snakemake.input.splits,
        support=snakemake.input.support,
        protocol=params.protocol,
        tasks=params.tasks,
        shots=params.shots,
        seeds=params.seeds,
        bins=params.probe["survival_bins"],
        method={"family": params.family, "probe": params.probe},
    )
    vectors = Embedded(files, resampled=params.protocol["probe_features"] == "resampled_dropout")
    folder = str(Path(str(snakemake.output.manifest)).parent)
    predict_method(plan, vectors, folder, snakemake.output.manifest, snakemake.wildcards.method)
