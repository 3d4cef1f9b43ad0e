"""Who is in the cohort: the simulated one, and the join of patients, slides and expression."""


rule simulate_cohort:
    output:
        sheet=at(store_paths.Simulated, file="slides.tsv"),
        rna=at(store_paths.Simulated, file="rna/isoform_fpkm.tsv.gz"),
        probemap=at(store_paths.Simulated, file="rna/transcript.probemap"),
        survival=at(store_paths.Simulated, file="clinical/survival.tsv"),
        matrix=at(store_paths.Simulated, file="clinical/clinical_matrix.tsv"),
        census=at(store_paths.Simulated, file="census.tsv"),
    log:
        f"{LOGS}/simulate_cohort/{{name}}.log",
    benchmark:
        f"{BENCHMARKS}/simulate_cohort/{{name}}.tsv"
    wildcard_constraints:
        name=any_of(config["simulate"]),
    conda:
        "../../envs/mirrorflow.yaml"
    threads: 8
    resources:
        mem_mb=growing(3000),
        runtime=growing(30),
    params:
        version=versions.SIMULATION,
        settings=COHORTS.simulation,
    script:
        "../scripts/simulate_cohort.py"


rule build_cohort:
    input:
        clinical=COHORTS.clinical_files,
        indexes=SLIDES.indexes,
        expression=RUN.expression,
        institutions=COHORTS.institutions,
    output:
        cohort=at(paths.CohortFile),
        dropped=at(paths.CohortSheet, name="dropped"),
        flow=at(paths.CohortSheet, name="flow"),
    log:
        f"{LOGS}/build_cohort/{{cohort}}.log",
    benchmark:
        f"{BENCHMARKS}/build_cohort/{{cohort}}.tsv"
    conda:
        "../../envs/mirrorflow.yaml"
    threads: 1
    resources:
        mem_mb=growing(2000),
        runtime=growing(10),
    params:
        version=versions.COHORT,
        clinical=COHORTS.clinical,
        settings=COHORTS.settings,
        encoders=COHORTS.encoders,
        given=COHORTS.given,
        noted=GIVEN.of_cohort,
        stored=STORED.both,
    script:
        "../scripts/build_cohort.py"
