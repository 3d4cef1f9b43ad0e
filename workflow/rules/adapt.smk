"""Encoders pretrained on one cohort, frozen, on another (`adaptation`): slide vectors once, then RNA embedding and head.

The wildcard `cohort` is a pair here, <target>--from--<source>; its patients, folds and genes are the target's.
"""


rule embed_target:
    input:
        cohort=cohort_file,
        index=target_index,
        models=source_models,
    output:
        record=f"{EMBEDDINGS}/done.json",
    log:
        f"{LOGS}/embed_target/{{scope}}/{{cohort}}/{{encoder}}/{{method}}/seed{{seed}}/{{mode}}.log",
    benchmark:
        f"{BENCHMARKS}/embed_target/{{scope}}/{{cohort}}/{{encoder}}/{{method}}/seed{{seed}}/{{mode}}.tsv"
    wildcard_constraints:
        cohort=any_of(ADAPTED),
        method=any_of(PRETRAINED),
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
        settings=embed_settings,
        unit=lambda wildcards: scope_keys(wildcards.scope)["unit"],
    script:
        "../scripts/embed_target.py"


rule adapt:
    input:
        cohort=cohort_file,
        splits=scope_splits,
        expression=expression_of,
        genes=scope_genes,
        embeddings=embedding_records,
        models=source_models,
    output:
        manifest=f"{PREDICTIONS}/manifest.json",
    log:
        f"{LOGS}/adapt/{{protocol}}/{{cohort}}/{{encoder}}/{{method}}.log",
    benchmark:
        f"{BENCHMARKS}/adapt/{{protocol}}/{{cohort}}/{{encoder}}/{{method}}.tsv"
    wildcard_constraints:
        cohort=any_of(ADAPTED),
        method=any_of(PRETRAINED),
    conda:
        "../../envs/mirrorflow.yaml"
    threads: 8
    resources:
        gpu=1,
        mem_mb=growing(8000),
        runtime=growing(240),
    params:
        version=versions.ADAPTATION,
        protocol=protocol_of,
        tasks=tasks_of,
        seeds=config["seeds"],
        bins=config["probe"]["survival_bins"],
        probe=config["probe"],
        settings=adapt_settings,
        rna={"clip": config["expression"]["clip"]},
        saved=saved_models,
    script:
        "../scripts/adapt.py"
