"""Who is in the cohort: the simulated one, and the join of patients, slides and expression."""


rule simulate_cohort:
    output:
        sheet=f"{STORE}/simulated/{{name}}/slides.tsv",
        rna=f"{STORE}/simulated/{{name}}/rna/isoform_fpkm.tsv.gz",
        probemap=f"{STORE}/simulated/{{name}}/rna/transcript.probemap",
        survival=f"{STORE}/simulated/{{name}}/clinical/survival.tsv",
        matrix=f"{STORE}/simulated/{{name}}/clinical/clinical_matrix.tsv",
        census=f"{STORE}/simulated/{{name}}/census.tsv",
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
        mem_mb=growing(2000),
        runtime=growing(30),
    params:
        version=versions.SIMULATION,
        settings=lambda wildcards: config["simulate"][wildcards.name],
    script:
        "../scripts/simulate_cohort.py"


rule build_cohort:
    input:
        clinical=clinical_files,
        indexes=lambda wildcards: expand(
            f"{RESULTS}/features/{wildcards.cohort}/{{encoder}}.tsv",
            encoder=cohort_of(wildcards)["encoders"],
        ),
        expression=expression_of,
        institutions=institutions_of,
    output:
        cohort=f"{RESULTS}/cohort/{{cohort}}.parquet",
        dropped=f"{RESULTS}/cohort/{{cohort}}.dropped.tsv",
        flow=f"{RESULTS}/cohort/{{cohort}}.flow.tsv",
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
        clinical=lambda wildcards: cohort_of(wildcards)["clinical"],
        settings=cohort_settings,
        encoders=lambda wildcards: cohort_of(wildcards)["encoders"],
    script:
        "../scripts/build_cohort.py"
