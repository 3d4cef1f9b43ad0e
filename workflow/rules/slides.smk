"""Slides to patches: tissue mask, 20x grid, ledger. A case is a shard of slides."""


rule patch_slides:
    input:
        **PATCHED.inputs(
            sheet=SLIDES.sheet,
            files=SLIDES.files,
        ),
    output:
        **PATCHED.outputs(
            status=at(store_paths.PatchStatus),
        ),
    log:
        PATCHED.file(LOGS, "{cohort}/{patching}/{shard}", "log"),
    benchmark:
        PATCHED.file(BENCHMARKS, "{cohort}/{patching}/{shard}", "tsv")
    conda:
        "../../envs/mirrorflow.yaml"
    threads: PATCHED.threads
    resources:
        case_threads=PATCHED.case_threads,
        mem_mb=PATCHED.growing(2000),
        runtime=PATCHED.lasting(120),
    params:
        **PATCHED.params(
            versions={"segmentation": versions.SEGMENTATION, "scale": versions.SCALE},
            columns=SLIDES.columns,
            rows=SLIDES.rows,
            shards=len(RUN.shards),
            settings=SLIDES.patch_settings,
            given=SLIDES.given_slides,
            planned=SLIDES.planned_patches,
            noted=GIVEN.of_shard,
        ),
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
