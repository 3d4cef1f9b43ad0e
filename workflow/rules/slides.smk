"""Slides to patches: tissue mask, 20x grid, ledger. A job serves a shard of slides."""


rule patch_slides:
    input:
        sheet=sheet_of,
        files=slide_files,
    output:
        status=f"{SLIDES}/shards/{{shard}}.tsv",
    log:
        f"{LOGS}/patch_slides/{{cohort}}/{{patching}}/{{shard}}.log",
    benchmark:
        f"{BENCHMARKS}/patch_slides/{{cohort}}/{{patching}}/{{shard}}.tsv"
    conda:
        "../../envs/mirrorflow.yaml"
    threads: config["slides"]["workers"]
    resources:
        mem_mb=growing(2000),
        runtime=growing(120),
    params:
        version=versions.SEGMENTATION,
        columns=lambda wildcards: cohort_of(wildcards)["slides"]["columns"],
        rows=sheet_param(shard_digest),
        shards=len(SHARDS),
        settings=lambda wildcards: {
            "patch": config["slides"]["presets"][wildcards.patching],
            "segmentation": config["slides"]["segmentation"],
            "scale": config["slides"]["scale"],
        },
    script:
        "../scripts/patch_slides.py"


rule write_ledger:
    input:
        patches=expand(f"{SLIDES}/shards/{{shard}}.tsv", shard=SHARDS, allow_missing=True),
        features=lambda wildcards: expand(
            f"{STORE}/features/{wildcards.cohort}/{wildcards.patching}/{{encoder}}/shards/{{shard}}.tsv",
            encoder=encoders_seeing(wildcards.cohort, wildcards.patching),
            shard=SHARDS,
        ),
    output:
        ledger=f"{SLIDES}/ledger.tsv",
        sheet=f"{SLIDES}/contact_sheet.jpg",
    log:
        f"{LOGS}/write_ledger/{{cohort}}/{{patching}}.log",
    benchmark:
        f"{BENCHMARKS}/write_ledger/{{cohort}}/{{patching}}.tsv"
    conda:
        "../../envs/mirrorflow.yaml"
    threads: 1
    resources:
        mem_mb=growing(2000),
        runtime=growing(10),
    params:
        encoders=lambda wildcards: encoders_seeing(wildcards.cohort, wildcards.patching),
    script:
        "../scripts/write_ledger.py"
