"""Linear probes on frozen embeddings: one job per protocol, cohort, encoder and method."""


rule probe_mirror:
    input:
        cohort=f"{RESULTS}/cohort/{{cohort}}.parquet",
        splits=scope_splits,
        support=scope_file(f"{SCOPE}/support/support.tsv"),
        embeddings=embedding_records,
        few_shot_embeddings=few_shot_embeddings,
        genes=scope_genes,
        few_shot_genes=few_shot_genes,
        inner_splits=of_inner_folds(scope_splits),
        inner_embeddings=of_inner_folds(embedding_records),
    output:
        manifest=f"{PREDICTIONS}/manifest.json",
    log:
        f"{LOGS}/probe_mirror/{{protocol}}/{{cohort}}/{{encoder}}/{{method}}.log",
    benchmark:
        f"{BENCHMARKS}/probe_mirror/{{protocol}}/{{cohort}}/{{encoder}}/{{method}}.tsv"
    wildcard_constraints:
        method=any_of(PRETRAINED),
    conda:
        "../../envs/mirrorflow.yaml"
    threads: 1
    resources:
        mem_mb=growing(4000),
        runtime=growing(120),
    params:
        version=versions.PROBE,
        family=family_of,
        protocol=protocol_of,
        tasks=tasks_of,
        shots=lambda wildcards: shots_of(config, wildcards.protocol),
        seeds=config["seeds"],
        bins=config["probe"]["survival_bins"],
        probe=config["probe"],
        saved=saved_models,
    script:
        "../scripts/probe_mirror.py"
