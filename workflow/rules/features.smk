"""Patches to features (a job serves a shard of slides), and the index of a cohort's feature files."""


rule extract_features:
    input:
        sheet=lambda wildcards: cohort_of(wildcards)["slides"]["sheet"],
        patches=f"{SLIDES}/shards/{{shard}}.tsv",
    output:
        status=f"{FEATURES}/shards/{{shard}}.tsv",
    log:
        f"{LOGS}/extract_features/{{cohort}}/{{patching}}/{{encoder}}/{{shard}}.log",
    benchmark:
        f"{BENCHMARKS}/extract_features/{{cohort}}/{{patching}}/{{encoder}}/{{shard}}.tsv"
    conda:
        "../../envs/mirrorflow.yaml"
    threads: 8
    resources:
        gpu=1,
        mem_mb=growing(6000),
        runtime=growing(720),
    params:
        version=versions.FEATURES,
        columns=lambda wildcards: cohort_of(wildcards)["slides"]["columns"],
        shards=len(SHARDS),
        encoder=lambda wildcards: encoder_settings(wildcards.encoder),
        settings={key: config["features"][key] for key in ("batch_size", "max_unreadable")},
        workers=config["features"]["workers"],
    script:
        "../scripts/extract_features.py"


rule index_features:
    input:
        sheet=lambda wildcards: cohort_of(wildcards)["slides"]["sheet"],
        shards=feature_shards,
    output:
        index=f"{RESULTS}/features/{{cohort}}/{{encoder}}.tsv",
    log:
        f"{LOGS}/index_features/{{cohort}}/{{encoder}}.log",
    benchmark:
        f"{BENCHMARKS}/index_features/{{cohort}}/{{encoder}}.tsv"
    conda:
        "../../envs/mirrorflow.yaml"
    threads: 1
    resources:
        mem_mb=growing(2000),
        runtime=growing(30),
    params:
        columns=lambda wildcards: cohort_of(wildcards)["slides"]["columns"],
        folder=feature_folder,
    script:
        "../scripts/index_features.py"
