"""Linear probes on frozen embeddings: a case is a protocol, cohort, encoder and method."""


rule probe_mirror:
    input:
        **PROBED.inputs(
            cohort=at(paths.CohortFile),
            splits=SPLITS.of_protocol,
            support=PREDICTIONS.support,
            embeddings=MODELS.embeddings,
            few_shot_embeddings=MODELS.few_shot_embeddings,
            genes=GENES.of_protocol,
            few_shot_genes=GENES.few_shot,
            inner_splits=SPLITS.inner_of_protocol,
            inner_embeddings=MODELS.inner_embeddings,
        ),
    output:
        **PROBED.outputs(
            manifest=at(paths.PredictionsManifest),
        ),
    log:
        PROBED.file(LOGS, "{protocol}/{cohort}/{encoder}/{method}", "log"),
    benchmark:
        PROBED.file(BENCHMARKS, "{protocol}/{cohort}/{encoder}/{method}", "tsv")
    wildcard_constraints:
        method=any_of(RUN.pretrained),
    conda:
        "../../envs/mirrorflow.yaml"
    threads: PROBED.threads
    resources:
        case_threads=PROBED.case_threads,
        mem_mb=PROBED.growing(4000),
        runtime=PROBED.lasting(120),
    params:
        **PROBED.params(
            version=PREDICTIONS.probe_version,
            family=MODELS.family,
            protocol=RUN.protocol,
            tasks=PREDICTIONS.tasks,
            shots=PREDICTIONS.shots,
            seeds=config["seeds"],
            bins=config["probe"]["survival_bins"],
            probe=config["probe"],
            saved=PREDICTIONS.saved,
            planned=PREDICTIONS.planned,
        ),
    script:
        "../scripts/probe_mirror.py"
