"""Self-supervised pretraining (MIRROR, TANGLE), a job a fold, and the frozen embeddings made with it.

Declared outputs are small records: Snakemake deletes outputs before a re-run, and models and embeddings are
worth keeping (they know themselves what they were made from).
"""

FOLDS_OF_A_JOB = "{fold}" if config["compute"]["gpu_share"] == 1 else "all"
"""One job a fold; with `compute: gpu_share` above 1 a job serves all folds of a seed on one GPU."""


rule pretrain_mirror:
    input:
        cohort=f"{RESULTS}/cohort/{{cohort}}.parquet",
        index=f"{RESULTS}/features/{{cohort}}/{{encoder}}.tsv",
        expression=expression_of,
        splits=fitted_splits,
        genes=fitted_genes,
    output:
        records=of_folds(f"{MODEL}/done.json"),
    log:
        f"{LOGS}/pretrain_mirror/{{scope}}/{{cohort}}/{{encoder}}/{{method}}/seed{{seed}}/{{genes}}fold{FOLDS_OF_A_JOB}.log",
    benchmark:
        f"{BENCHMARKS}/pretrain_mirror/{{scope}}/{{cohort}}/{{encoder}}/{{method}}/seed{{seed}}/{{genes}}fold{FOLDS_OF_A_JOB}.tsv"
    wildcard_constraints:
        method=any_of(PRETRAINED),
    conda:
        "../../envs/mirrorflow.yaml"
    threads: 8
    resources:
        gpu=config["compute"]["devices"],
        mem_mb=growing(16000 * config["compute"]["gpu_share"]),
        runtime=growing(720),
    params:
        version=versions.PRETRAIN,
        family=family_of,
        folds=lambda wildcards: [int(wildcards.fold)] if "fold" in wildcards.keys() else FOLDS,
        settings=lambda wildcards: pretrain_settings(config, wildcards.method),
        unit=lambda wildcards: scope_keys(wildcards.scope)["unit"],
        rna_scaling=lambda wildcards: scope_keys(wildcards.scope)["rna_scaling"],
        rna_clip=config["expression"]["clip"],
        epoch=lambda wildcards: scope_keys(wildcards.scope)["pretraining_epoch"],
        # no value depends on it: a param that asks for `threads` re-runs nothing
        compute=lambda wildcards, threads: config["compute"],
    script:
        "../scripts/pretrain_mirror.py"


rule embed:
    input:
        cohort=f"{RESULTS}/cohort/{{cohort}}.parquet",
        index=f"{RESULTS}/features/{{cohort}}/{{encoder}}.tsv",
        expression=expression_of,
        genes=fitted_genes,
        models=expand(f"{MODEL}/done.json", fold=FOLDS, allow_missing=True),
    output:
        record=f"{EMBEDDINGS}/{{genes}}done.json",
    log:
        f"{LOGS}/embed/{{scope}}/{{cohort}}/{{encoder}}/{{method}}/seed{{seed}}/{{genes}}{{mode}}.log",
    benchmark:
        f"{BENCHMARKS}/embed/{{scope}}/{{cohort}}/{{encoder}}/{{method}}/seed{{seed}}/{{genes}}{{mode}}.tsv"
    wildcard_constraints:
        method=any_of(PRETRAINED),
        mode="frozen|resampled_dropout",
    conda:
        "../../envs/mirrorflow.yaml"
    threads: 8
    resources:
        gpu=1,
        mem_mb=growing(8000),
        runtime=growing(240),
    params:
        version=versions.EMBED,
        folds=FOLDS,
        settings=embed_settings,
        unit=lambda wildcards: scope_keys(wildcards.scope)["unit"],
    script:
        "../scripts/embed.py"
