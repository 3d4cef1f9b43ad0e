"""Patches to features (a case is a shard of slides), and the index of a cohort's feature files."""


rule extract_features:
    input:
        **EXTRACTED.inputs(
            sheet=SLIDES.sheet,
            files=SLIDES.files,
            patches=at(store_paths.PatchStatus),
        ),
    output:
        **EXTRACTED.outputs(
            status=at(store_paths.FeatureStatus),
        ),
    log:
        EXTRACTED.file(LOGS, "{cohort}/{patching}/{encoder}/{shard}", "log"),
    benchmark:
        EXTRACTED.file(BENCHMARKS, "{cohort}/{patching}/{encoder}/{shard}", "tsv")
    conda:
        "../../envs/mirrorflow.yaml"
    threads: EXTRACTED.threads
    resources:
        case_threads=EXTRACTED.case_threads,
        gpu=1,
        mem_mb=EXTRACTED.growing(6000),
        runtime=EXTRACTED.lasting(720),
    params:
        **EXTRACTED.params(
            version=versions.FEATURES,
            columns=SLIDES.columns,
            rows=SLIDES.rows,
            shards=len(RUN.shards),
            encoder=SLIDES.encoder,
            settings={"max_unreadable": config["features"]["max_unreadable"]},
            # no value depends on these: a param that asks for `threads` re-runs nothing
            speed=SLIDES.speed,
            given=SLIDES.given_weights,
            planned=SLIDES.planned_features,
            stored=STORED.patches,
        ),
    script:
        "../scripts/extract_features.py"


rule index_features:
    input:
        sheet=SLIDES.sheet,
        shards=SLIDES.shard_statuses,
    output:
        index=at(paths.FeatureIndex),
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
        rows=SLIDES.rows,
        columns=SLIDES.columns,
        folder=SLIDES.feature_folder,
        given=SLIDES.given_features,
        noted=GIVEN.of_features,
        stored=STORED.features,
    script:
        "../scripts/index_features.py"
