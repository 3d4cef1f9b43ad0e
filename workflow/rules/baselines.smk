"""What a user would try first: majority, linear models, ridge Cox. A case is a protocol, cohort, encoder and method."""


rule fit_baseline:
    input:
        **FITTED.inputs(
            cohort=at(paths.CohortFile),
            splits=SPLITS.of_protocol,
            support=PREDICTIONS.support,
            index=PREDICTIONS.index,
            expression=RUN.expression,
            genes=GENES.seen,
            few_shot_genes=GENES.few_shot_seen,
        ),
    output:
        **FITTED.outputs(
            manifest=at(paths.PredictionsManifest),
        ),
    log:
        FITTED.file(LOGS, "{protocol}/{cohort}/{encoder}/{method}", "log"),
    benchmark:
        FITTED.file(BENCHMARKS, "{protocol}/{cohort}/{encoder}/{method}", "tsv")
    wildcard_constraints:
        method=any_of(RUN.baselines),
    conda:
        "../../envs/mirrorflow.yaml"
    threads: FITTED.threads
    resources:
        case_threads=FITTED.case_threads,
        mem_mb=FITTED.growing(4000),
        runtime=FITTED.lasting(120),
    params:
        **FITTED.params(
            version=PREDICTIONS.classical_version,
            protocol=RUN.protocol,
            tasks=PREDICTIONS.tasks,
            shots=PREDICTIONS.shots,
            seeds=config["seeds"][:1],
            bins=config["probe"]["survival_bins"],
            settings=PREDICTIONS.settings,
            rna={"clip": config["expression"]["clip"]},
            saved=PREDICTIONS.saved,
            planned=PREDICTIONS.planned,
            stored=STORED.both,
        ),
    script:
        "../scripts/fit_baseline.py"


# a valid p for survival curves; on `evaluation.permutations` alone
rule permute_outcomes:
    input:
        cohort=at(paths.CohortFile),
        splits=SPLITS.of_protocol,
        support=PREDICTIONS.support,
        index=PREDICTIONS.index,
        expression=RUN.expression,
        genes=GENES.seen,
        few_shot_genes=GENES.few_shot_seen,
    output:
        record=at(PermutedRecord),
    log:
        f"{LOGS}/permute_outcomes/{{protocol}}/{{cohort}}/{{encoder}}/{{method}}.log",
    benchmark:
        f"{BENCHMARKS}/permute_outcomes/{{protocol}}/{{cohort}}/{{encoder}}/{{method}}.tsv"
    wildcard_constraints:
        method=any_of(RUN.baselines),
    conda:
        "../../envs/mirrorflow.yaml"
    threads: 1
    resources:
        mem_mb=growing(4000),
        runtime=growing(600),
    params:
        version=PREDICTIONS.classical_version,
        protocol=RUN.protocol,
        tasks=["survival"],
        shots=[],
        seeds=config["seeds"][:1],
        bins=config["probe"]["survival_bins"],
        settings=PREDICTIONS.settings,
        rna={"clip": config["expression"]["clip"]},
        permutations=FIGURES.permutations,
        counted=versions.PERMUTATION,
        stored=STORED.both,
    script:
        "../scripts/permute_outcomes.py"
