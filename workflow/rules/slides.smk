"""Slides to patches: tissue mask, 20x grid, ledger. A job serves a shard of slides."""


rule patch_slides:
    input:
        sheet=SLIDES.sheet,
        files=SLIDES.files,
    output:
        status=at(store_paths.PatchStatus),
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
        versions={"segmentation": versions.SEGMENTATION, "scale": versions.SCALE},
        columns=SLIDES.columns,
        rows=SLIDES.rows,
        shards=len(RUN.shards),
        settings=SLIDES.patch_settings,
        given=SLIDES.given_slides,
        planned=SLIDES.planned_patches,
    script:
        "../scripts/patch_slides.py"


rule write_ledger:
    input:
        patches=[at(store_paths.PatchStatus, shard=shard) for shard in RUN.shards],
        features=SLIDES.feature_statuses,
    output:
        ledger=at(store_paths.Ledger),
        sheet=at(store_paths.ContactSheet),
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
        encoders=SLIDES.encoders_seeing,
        stored=STORED.patches,
    script:
        "../scripts/write_ledger.py"
