"""Patches to features (a job serves a shard of slides), and the index of a cohort's feature files."""


rule extract_features:
    input:
        sheet=sheet_of,
        files=slide_files,
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
        rows=sheet_param(shard_digest),
        shards=len(SHARDS),
        encoder=lambda wildcards: encoder_settings(wildcards.encoder),
        settings={"max_unreadable": config["features"]["max_unreadable"]},
        # no value depends on these: a param that asks for `threads` re-runs nothing
        speed=lambda wildcards, threads: {key: config["features"][key] for key in ("batch_size", "workers")},
    script:
        "../scripts/extract_features.py"


rule index_features:
    input:
        sheet=sheet_of,
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
        version=versions.INDEX,
        rows=sheet_param(rows_digest),
        columns=lambda wildcards: cohort_of(wildcards)["slides"]["columns"],
        folder=feature_folder,
    script:
        "../scripts/index_features.py"
