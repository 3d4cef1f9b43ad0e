"""TCGA's slides from GDC: their list, the files of a shard, and their removal once features exist."""


rule query_gdc:
    input:
        overrides=SLIDES.overrides,
    output:
        sheet=at(store_paths.GdcSheet),
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
        settings=SLIDES.gdc_settings,
        given=SLIDES.given_overrides,
    script:
        "../scripts/query_gdc.py"


rule download_slides:
    input:
        sheet=at(store_paths.GdcSheet),
        room=SLIDES.room,
    output:
        status=at(store_paths.GdcStatus, step="shards"),
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
        shards=len(RUN.shards),
    script:
        "../scripts/download_slides.py"


rule drop_slides:
    input:
        sheet=at(store_paths.GdcSheet),
        made=SLIDES.made,
    output:
        record=at(store_paths.GdcStatus, step="dropped"),
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
        shards=len(RUN.shards),
        folders=SLIDES.made_folders,
    script:
        "../scripts/drop_slides.py"
