"""TCGA's slides from GDC: their list, the files of a shard, and their removal once features exist."""


rule query_gdc:
    input:
        overrides=lambda wildcards: gdc_of(wildcards)["overrides"] or [],
    output:
        sheet=f"{GDC}/slides.tsv",
    log:
        f"{LOGS}/query_gdc/{{cohort}}.log",
    benchmark:
        f"{BENCHMARKS}/query_gdc/{{cohort}}.tsv"
    localrule: True
    conda:
        "../../envs/mirrorflow.yaml"
    threads: 1
    resources:
        mem_mb=growing(1000),
        runtime=growing(10),
    params:
        settings=lambda wildcards: {
            key: gdc_of(wildcards)[key]
            for key in ("projects", "experimental_strategy", "limit", "exclude", "overrides", "endpoint")
        },
    script:
        "../scripts/query_gdc.py"


rule download_slides:
    input:
        sheet=f"{GDC}/slides.tsv",
        room=shard_that_makes_room,
    output:
        status=f"{GDC}/shards/{{shard}}.tsv",
    log:
        f"{LOGS}/download_slides/{{cohort}}/{{shard}}.log",
    benchmark:
        f"{BENCHMARKS}/download_slides/{{cohort}}/{{shard}}.tsv"
    conda:
        "../../envs/mirrorflow.yaml"
    threads: 1
    resources:
        mem_mb=growing(1000),
        runtime=growing(1440),
    params:
        shards=len(SHARDS),
    script:
        "../scripts/download_slides.py"


rule drop_slides:
    input:
        sheet=f"{GDC}/slides.tsv",
        made=lambda wildcards: [
            f"{folder}/shards/{wildcards.shard}.tsv"
            for folders in made_of_slides(wildcards.cohort).values()
            for folder in folders
        ],
    output:
        record=f"{GDC}/dropped/{{shard}}.tsv",
    log:
        f"{LOGS}/drop_slides/{{cohort}}/{{shard}}.log",
    benchmark:
        f"{BENCHMARKS}/drop_slides/{{cohort}}/{{shard}}.tsv"
    priority: 1  # room first, then more downloads
    conda:
        "../../envs/mirrorflow.yaml"
    threads: 1
    resources:
        mem_mb=growing(1000),
        runtime=growing(10),
    params:
        shards=len(SHARDS),
        folders=lambda wildcards: made_of_slides(wildcards.cohort),
    script:
        "../scripts/drop_slides.py"
