"""Expression matrix to parquet; genes a fold's models see.

A job a cohort reads the whole matrix: for Toil's 198,619 x 10,535 that is a minute and less than 1 GB of memory
(benchmarks/expression.py), side by side on several cores. One job for all cohorts would save those minutes, and would
convert all of them anew whenever one is added.
"""


rule convert_expression:
    input:
        matrix=lambda wildcards: ancient(source_of(wildcards)["matrix"]),
        probemap=lambda wildcards: source_of(wildcards).get("probemap", []),
        sheet=sheet_of,
    output:
        # kept where it is valid: the matrix has gigabytes
        parquet=update(f"{STORE}/expression/{{source}}/{{cohort}}.parquet"),
        record=update(f"{STORE}/expression/{{source}}/{{cohort}}.parquet.json"),
    log:
        f"{LOGS}/convert_expression/{{source}}/{{cohort}}.log",
    benchmark:
        f"{BENCHMARKS}/convert_expression/{{source}}/{{cohort}}.tsv"
    conda:
        "../../envs/mirrorflow.yaml"
    threads: 1
    resources:
        mem_mb=growing(3000),
        runtime=growing(120),
    params:
        version=versions.EXPRESSION,
        patients=sheet_param(patients_digest),
        columns=lambda wildcards: cohort_of(wildcards)["slides"]["columns"],
        settings=lambda wildcards: {key: source_of(wildcards)[key] for key in ("orientation", "sample_ids")},
    script:
        "../scripts/convert_expression.py"


rule select_genes:
    input:
        cohort=f"{RESULTS}/cohort/{{cohort}}.parquet",
        split=fitted_splits,
        expression=expression_of,
        census=lambda wildcards: cohort_of(wildcards).get("census", []),
        gene_sets=lambda wildcards: selection_of(config, variant_method(wildcards))["gene_sets"] or [],
        first=genes_of_first_fold,
    output:
        # kept where they are valid: the elimination costs minutes a fold
        manifest=update(f"{GENES}.tsv"),
        record=update(f"{GENES}.json"),
    log:
        f"{LOGS}/select_genes/{{scope}}/{{cohort}}/{{variant}}{{genes}}fold{{fold}}.log",
    benchmark:
        f"{BENCHMARKS}/select_genes/{{scope}}/{{cohort}}/{{variant}}{{genes}}fold{{fold}}.tsv"
    conda:
        "../../envs/mirrorflow.yaml"
    threads: 2
    resources:
        mem_mb=growing(6000),
        runtime=growing(60),
    params:
        version=versions.SELECTION,
        # those of k-shot settings and inner folds never see more than their own training patients
        scope=lambda wildcards: "fold" if wildcards.genes else scope_keys(wildcards.scope)["gene_selection"],
        settings=selection_settings,
        seed=config["splits"]["seed"],
        drivers=resource_digest("drivers.tsv"),
    script:
        "../scripts/select_genes.py"
