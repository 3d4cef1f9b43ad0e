"""Encoders pretrained on one cohort, frozen, on another (`adaptation`): slide vectors once, then RNA embedding and head.

The wildcard `cohort` is a pair here, <target>--from--<source>; its patients, folds and genes are the target's.
"""


rule embed_target:
    input:
        cohort=COHORTS.file,
        index=PAIRS.target_index,
        models=PAIRS.source_models,
    output:
        record=at(paths.EmbeddingsRecord, genes=""),
    log:
        f"{LOGS}/embed_target/{{scope}}/{{cohort}}/{{encoder}}/{{method}}/seed{{seed}}/{{mode}}.log",
    benchmark:
        f"{BENCHMARKS}/embed_target/{{scope}}/{{cohort}}/{{encoder}}/{{method}}/seed{{seed}}/{{mode}}.tsv"
    wildcard_constraints:
        cohort=any_of(RUN.adapted),
        method=any_of(RUN.pretrained),
        mode="frozen|resampled_dropout",
    conda:
        "../../envs/mirrorflow.yaml"
    threads: 8
    resources:
        gpu=1,
        mem_mb=growing(8000),
        runtime=growing(240),
    params:
        version=versions.EMBED,
        settings=MODELS.embed_settings,
        unit=RUN.unit,
        stored=STORED.features,
    script:
        "../scripts/embed_target.py"


rule adapt:
    input:
        cohort=COHORTS.file,
        splits=SPLITS.of_protocol,
        expression=RUN.expression,
        genes=GENES.of_protocol,
        embeddings=MODELS.embeddings,
        models=PAIRS.source_models,
    output:
        manifest=at(paths.PredictionsManifest),
    log:
        f"{LOGS}/adapt/{{protocol}}/{{cohort}}/{{encoder}}/{{method}}.log",
    benchmark:
        f"{BENCHMARKS}/adapt/{{protocol}}/{{cohort}}/{{encoder}}/{{method}}.tsv"
    wildcard_constraints:
        cohort=any_of(RUN.adapted),
        method=any_of(RUN.pretrained),
    conda:
        "../../envs/mirrorflow.yaml"
    threads: 8
    resources:
        gpu=1,
        mem_mb=growing(8000),
        runtime=growing(240),
    params:
        version=PREDICTIONS.adapted_version,
        protocol=RUN.protocol,
        tasks=PREDICTIONS.tasks,
        seeds=config["seeds"],
        bins=config["probe"]["survival_bins"],
        probe=config["probe"],
        settings=PAIRS.settings,
        rna={"clip": config["expression"]["clip"]},
        saved=PREDICTIONS.saved,
        planned=PREDICTIONS.planned,
        stored=STORED.expression,
    script:
        "../scripts/adapt.py"
