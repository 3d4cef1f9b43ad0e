"""Networks trained on labels (ABMIL, ILRA-MIL, PORPOISE, SurvPath): a case is a protocol, cohort, encoder and method.

The predictions of each fold and task are kept by their digest; a killed job goes on with the first that is missing.
"""


rule train_supervised:
    input:
        **TRAINED.inputs(
            cohort=at(paths.CohortFile),
            splits=SPLITS.of_protocol,
            support=PREDICTIONS.support,
            index=PREDICTIONS.index,
            expression=RUN.expression,
            genes=GENES.seen,
            few_shot_genes=GENES.few_shot_seen,
            gene_sets=PREDICTIONS.gene_sets,
            inner_splits=SPLITS.inner_of_protocol,
            inner_genes=GENES.inner_seen,
        ),
    output:
        **TRAINED.outputs(
            manifest=at(paths.PredictionsManifest),
        ),
    log:
        TRAINED.file(LOGS, "{protocol}/{cohort}/{encoder}/{method}", "log"),
    benchmark:
        TRAINED.file(BENCHMARKS, "{protocol}/{cohort}/{encoder}/{method}", "tsv")
    wildcard_constraints:
        method=any_of(RUN.supervised),
    conda:
        "../../envs/mirrorflow.yaml"
    threads: TRAINED.threads
    resources:
        case_threads=TRAINED.case_threads,
        gpu=1,
        mem_mb=TRAINED.growing(12000),
        runtime=TRAINED.lasting(720),
    params:
        **TRAINED.params(
            version=PREDICTIONS.supervised_version,
            protocol=RUN.protocol,
            tasks=PREDICTIONS.tasks,
            shots=PREDICTIONS.shots,
            seeds=config["seeds"],
            bins=config["probe"]["survival_bins"],
            settings=PREDICTIONS.settings,
            rna={"clip": config["expression"]["clip"]},
            saved=PREDICTIONS.saved,
            given=PREDICTIONS.given_gene_sets,
            planned=PREDICTIONS.planned,
            stored=STORED.both,
        ),
    script:
        "../scripts/train_supervised.py"
