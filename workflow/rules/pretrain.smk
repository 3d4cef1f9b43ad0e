"""Self-supervised pretraining (MIRROR, TANGLE), a case a fold, and the frozen embeddings made with it.

Declared outputs are small records: Snakemake deletes outputs before a re-run, and models and embeddings are
worth keeping (they know themselves what they were made from). With `compute: gpu_share` above 1 all folds of a
seed, sharing one GPU, are a case.
"""


rule pretrain_mirror:
    input:
        **PRETRAINED.inputs(
            cohort=at(paths.CohortFile),
            index=at(paths.FeatureIndex),
            expression=RUN.expression,
            splits=SPLITS.fitted,
            genes=GENES.fitted,
        ),
    output:
        **PRETRAINED.outputs(
            records=MODELS.records(),
        ),
    log:
        PRETRAINED.file(
            LOGS, f"{{scope}}/{{cohort}}/{{encoder}}/{{method}}/seed{{seed}}/{{genes}}fold{MODELS.fold_of_job}", "log"
        ),
    benchmark:
        PRETRAINED.file(
            BENCHMARKS,
            f"{{scope}}/{{cohort}}/{{encoder}}/{{method}}/seed{{seed}}/{{genes}}fold{MODELS.fold_of_job}",
            "tsv",
        )
    wildcard_constraints:
        method=any_of(RUN.pretrained),
    conda:
        "../../envs/mirrorflow.yaml"
    threads: PRETRAINED.threads
    resources:
        case_threads=PRETRAINED.case_threads,
        gpu=config["compute"]["devices"],
        nodes=1,
        mem_mb=PRETRAINED.growing(16000 * MODELS.share),
        runtime=PRETRAINED.lasting(720),
    params:
        **PRETRAINED.params(
            version=MODELS.version,
            family=MODELS.family,
            folds=MODELS.folds,
            settings=MODELS.pretrain_settings,
            unit=RUN.unit,
            rna_scaling=MODELS.rna_scaling,
            rna_clip=config["expression"]["clip"],
            epoch=MODELS.epoch,
            compute=MODELS.compute,
            stored=STORED.both,
        ),
    script:
        "../scripts/pretrain_mirror.py"


rule embed:
    input:
        **EMBEDDED.inputs(
            cohort=at(paths.CohortFile),
            index=at(paths.FeatureIndex),
            expression=RUN.expression,
            genes=GENES.fitted,
            models=MODELS.of_folds(),
        ),
    output:
        **EMBEDDED.outputs(
            record=at(paths.EmbeddingsRecord),
        ),
    log:
        EMBEDDED.file(LOGS, "{scope}/{cohort}/{encoder}/{method}/seed{seed}/{genes}{mode}", "log"),
    benchmark:
        EMBEDDED.file(BENCHMARKS, "{scope}/{cohort}/{encoder}/{method}/seed{seed}/{genes}{mode}", "tsv")
    wildcard_constraints:
        method=any_of(RUN.pretrained),
        mode="frozen|resampled_dropout",
    conda:
        "../../envs/mirrorflow.yaml"
    threads: EMBEDDED.threads
    resources:
        case_threads=EMBEDDED.case_threads,
        gpu=1,
        mem_mb=EMBEDDED.growing(8000),
        runtime=EMBEDDED.lasting(240),
    params:
        **EMBEDDED.params(
            version=versions.EMBED,
            folds=RUN.folds,
            settings=MODELS.embed_settings,
            unit=RUN.unit,
            stored=STORED.both,
        ),
    script:
        "../scripts/embed.py"
