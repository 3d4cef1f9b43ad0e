"""Folds of patients, inner folds for protocols that choose the epoch on them, support sets of k-shot learning."""


rule make_splits:
    input:
        **SPLITS_MADE.inputs(
            cohort=at(paths.CohortFile),
            files=SPLITS.files,
        ),
    output:
        **SPLITS_MADE.outputs(
            folds=SPLITS.outer(),
            report=at(paths.SplitSummary),
        ),
    log:
        SPLITS_MADE.file(LOGS, "{scope}/{cohort}", "log"),
    benchmark:
        SPLITS_MADE.file(BENCHMARKS, "{scope}/{cohort}", "tsv")
    conda:
        "../../envs/mirrorflow.yaml"
    threads: SPLITS_MADE.threads
    resources:
        case_threads=SPLITS_MADE.case_threads,
        mem_mb=SPLITS_MADE.growing(2000),
        runtime=SPLITS_MADE.lasting(10),
    params:
        **SPLITS_MADE.params(
            version=versions.SPLITS,
            kind=SPLITS.kind,
            folder=SPLITS.folder,
            seed=config["splits"]["seed"],
            evaluate=config["splits"]["evaluate"],
            given=SPLITS.given,
            drawn=SPLITS.drawn(),
        ),
    script:
        "../scripts/make_splits.py"


rule make_inner_splits:
    input:
        cohort=at(paths.CohortFile),
        splits=SPLITS.outer(),
    output:
        folds=SPLITS.inner(),
    log:
        f"{LOGS}/make_inner_splits/{{scope}}/{{cohort}}.log",
    benchmark:
        f"{BENCHMARKS}/make_inner_splits/{{scope}}/{{cohort}}.tsv"
    conda:
        "../../envs/mirrorflow.yaml"
    threads: 1
    resources:
        mem_mb=growing(2000),
        runtime=growing(10),
    params:
        version=versions.SPLITS,
        settings=SPLITS.inner_settings(),
        drawn=SPLITS.inner_drawn(),
    script:
        "../scripts/make_inner_splits.py"


rule draw_support:
    input:
        **SUPPORT_DRAWN.inputs(
            cohort=at(paths.CohortFile),
            splits=SPLITS.outer(),
        ),
    output:
        **SUPPORT_DRAWN.outputs(
            support=at(paths.SupportSets),
        ),
    log:
        SUPPORT_DRAWN.file(LOGS, "{scope}/{cohort}", "log"),
    benchmark:
        SUPPORT_DRAWN.file(BENCHMARKS, "{scope}/{cohort}", "tsv")
    conda:
        "../../envs/mirrorflow.yaml"
    threads: SUPPORT_DRAWN.threads
    resources:
        case_threads=SUPPORT_DRAWN.case_threads,
        mem_mb=SUPPORT_DRAWN.growing(2000),
        runtime=SUPPORT_DRAWN.lasting(10),
    params:
        **SUPPORT_DRAWN.params(
            version=versions.SPLITS,
            settings=SPLITS.support_settings,
        ),
    script:
        "../scripts/draw_support.py"
