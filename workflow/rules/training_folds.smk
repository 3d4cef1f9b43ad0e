"""Survival probes on the units they were fitted on, which is no evaluation; on request: `snakemake --cores 8 make_training_folds`."""


rule score_training_folds:
    input:
        cohort=at(paths.CohortFile),
        splits=SPLITS.of_protocol,
        support=PREDICTIONS.support,
        embeddings=MODELS.embeddings,
        genes=GENES.of_protocol,
        few_shot_genes=GENES.few_shot,
        manifest=at(paths.PredictionsManifest),
        audit=at(paths.AuditFile, ending="json"),
    output:
        sheet=at(paths.TrainingFoldsSheet),
    log:
        f"{LOGS}/score_training_folds/{{protocol}}/{{cohort}}/{{encoder}}/{{method}}.log",
    benchmark:
        f"{BENCHMARKS}/score_training_folds/{{protocol}}/{{cohort}}/{{encoder}}/{{method}}.tsv"
    wildcard_constraints:
        method=any_of(RUN.pretrained),
    conda:
        "../../envs/mirrorflow.yaml"
    threads: 1
    resources:
        mem_mb=growing(4000),
        runtime=growing(60),
    params:
        version=versions.METRICS,
        family=MODELS.family,
        protocol=RUN.protocol,
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
        sheets=TABLES.training_folds_sheets(),
    output:
        csv=at(paths.TableFile, name="training_folds", ending="csv"),
        md=at(paths.TableFile, name="training_folds", ending="md"),
        tex=at(paths.TableFile, name="training_folds", ending="tex"),
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
        cases=TABLES.survival_cases(),
    script:
        "../scripts/make_training_folds.py"
