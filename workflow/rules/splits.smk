"""Folds of patients, inner folds for protocols that choose the epoch on them, support sets of k-shot learning."""


rule make_splits:
    input:
        cohort=f"{RESULTS}/cohort/{{cohort}}.parquet",
        files=split_files,
    output:
        folds=expand(f"{SCOPE}/splits/splits_{{fold}}.csv", fold=FOLDS, allow_missing=True),
        report=f"{SCOPE}/splits/summary.tsv",
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
        kind=lambda wildcards: scope_keys(wildcards.scope)["splits"],
        folder=split_folder,
        seed=config["splits"]["seed"],
        evaluate=config["splits"]["evaluate"],
    script:
        "../scripts/make_splits.py"


rule make_inner_splits:
    input:
        cohort=f"{RESULTS}/cohort/{{cohort}}.parquet",
        splits=rules.make_splits.output.folds,
    output:
        folds=expand(f"{SPLITS}/{{inner}}splits_{{fold}}.csv", inner=INNER, fold=FOLDS, allow_missing=True),
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
        settings={
            "seed": config["splits"]["seed"],
            "per_class": 2 if any(selection_of(config, name)["method"] == "rfe" for name in config["methods"]) else 0,
        },
    script:
        "../scripts/make_inner_splits.py"


rule draw_support:
    input:
        cohort=f"{RESULTS}/cohort/{{cohort}}.parquet",
        splits=rules.make_splits.output.folds,
    output:
        support=f"{SCOPE}/support/support.tsv",
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
        settings=lambda wildcards: {
            "unit": scope_keys(wildcards.scope)["unit"],
            "shots": config["evaluation"]["shots"],
            "bins": config["probe"]["survival_bins"],
            "seed": config["splits"]["seed"],
        },
    script:
        "../scripts/draw_support.py"
