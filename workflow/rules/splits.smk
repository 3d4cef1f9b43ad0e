"""Folds of patients, inner folds for protocols that choose the epoch on them, support sets of k-shot learning."""


rule make_splits:
    input:
        cohort=at(paths.CohortFile),
        files=SPLITS.files,
    output:
        folds=SPLITS.outer(),
        report=at(paths.SplitSummary),
    log:
        f"{LOGS}/make_splits/{{scope}}/{{cohort}}.log",
    benchmark:
        f"{BENCHMARKS}/make_splits/{{scope}}/{{cohort}}.tsv"
    conda:
        "../../envs/mirrorflow.yaml"
    threads: 1
    resources:
        mem_mb=growing(2000),
        runtime=growing(10),
    params:
        version=versions.SPLITS,
        kind=SPLITS.kind,
        folder=SPLITS.folder,
        seed=config["splits"]["seed"],
        evaluate=config["splits"]["evaluate"],
        given=SPLITS.given,
    script:
        "../scripts/make_splits.py"


rule make_inner_splits:
    input:
        cohort=at(paths.CohortFile),
        splits=rules.make_splits.output.folds,
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
    script:
        "../scripts/make_inner_splits.py"


rule draw_support:
    input:
        cohort=at(paths.CohortFile),
        splits=rules.make_splits.output.folds,
    output:
        support=at(paths.SupportSets),
    log:
        f"{LOGS}/draw_support/{{scope}}/{{cohort}}.log",
    benchmark:
        f"{BENCHMARKS}/draw_support/{{scope}}/{{cohort}}.tsv"
    conda:
        "../../envs/mirrorflow.yaml"
    threads: 1
    resources:
        mem_mb=growing(2000),
        runtime=growing(10),
    params:
        version=versions.SPLITS,
        settings=SPLITS.support_settings,
    script:
        "../scripts/draw_support.py"
