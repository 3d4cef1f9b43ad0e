"""Survival probes on the units they were fitted on, which is no evaluation; on request: `snakemake --cores 8 make_training_folds`."""


rule score_training_folds:
    input:
        cohort=f"{RESULTS}/cohort/{{cohort}}.parquet",
        splits=scope_splits,
        support=scope_file(f"{SCOPE}/support/support.tsv"),
        embeddings=embedding_records,
        genes=scope_genes,
        few_shot_genes=few_shot_genes,
        manifest=f"{PREDICTIONS}/manifest.json",
        audit=f"{RESULTS}/audit/{{protocol}}/{{cohort}}.json",
    output:
        sheet=f"{TRAINING_FOLDS}.tsv",
    log:
        f"{LOGS}/score_training_folds/{{protocol}}/{{cohort}}/{{encoder}}/{{method}}.log",
    benchmark:
        f"{BENCHMARKS}/score_training_folds/{{protocol}}/{{cohort}}/{{encoder}}/{{method}}.tsv"
    wildcard_constraints:
        method=any_of(PRETRAINED),
    conda:
        "../../envs/mirrorflow.yaml"
    threads: 1
    resources:
        mem_mb=growing(4000),
        runtime=growing(60),
    params:
        version=versions.METRICS,
        family=family_of,
        protocol=protocol_of,
        tasks=["survival"],
        shots=[],
        seeds=config["seeds"],
        bins=config["probe"]["survival_bins"],
        probe=config["probe"],
        strict=config["strict"],
    script:
        "../scripts/score_training_folds.py"


rule make_training_folds:
    input:
        sheets=[TRAINING_FOLDS.format(**case) + ".tsv" for case in training_folds_cases()],
    output:
        csv=f"{RESULTS}/tables/training_folds.csv",
        md=f"{RESULTS}/tables/training_folds.md",
        tex=f"{RESULTS}/tables/training_folds.tex",
    log:
        f"{LOGS}/make_training_folds.log",
    benchmark:
        f"{BENCHMARKS}/make_training_folds.tsv"
    conda:
        "../../envs/mirrorflow.yaml"
    threads: 1
    resources:
        mem_mb=growing(2000),
        runtime=growing(10),
    params:
        version=versions.TABLES,
        published=resource_digest("published_results.csv"),
        names=names_digest(),
        cases=training_folds_cases(),
    script:
        "../scripts/make_training_folds.py"
