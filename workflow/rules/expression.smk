"""Expression matrix to parquet; genes a fold's models see.

A job a cohort reads the whole matrix: for Toil's 198,619 x 10,535 that is a minute and less than 1 GB of memory
(benchmarks/expression.py), side by side on several cores. One job for all cohorts would save those minutes, and would
convert all of them anew whenever one is added.
"""


rule convert_expression:
    input:
        matrix=COHORTS.matrix,
        probemap=COHORTS.probemap,
        sheet=SLIDES.sheet,
        clinical=COHORTS.clinical_files_of_matrix,
    output:
        # kept where it is valid: the matrix has gigabytes
        parquet=update(at(store_paths.ExpressionFile)),
        record=update(at(store_paths.ExpressionRecord)),
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
        patients=COHORTS.patients_of_matrix,
        columns=SLIDES.columns,
        clinical=COHORTS.clinical_of_matrix,
        settings=COHORTS.expression_settings,
        given=COHORTS.given_expression,
        planned=COHORTS.planned_expression,
    script:
        "../scripts/convert_expression.py"


rule select_genes:
    input:
        **GENES_SELECTED.inputs(
            cohort=at(paths.CohortFile),
            split=SPLITS.fitted,
            expression=RUN.expression,
            census=GENES.census,
            gene_sets=GENES.gene_sets,
            first=GENES.first,
        ),
    output:
        **GENES_SELECTED.outputs(
            # copies are kept beside them: the elimination costs minutes a fold
            manifest=at(paths.GeneManifest),
            record=at(paths.GeneRecord),
        ),
    log:
        GENES_SELECTED.file(LOGS, "{scope}/{cohort}/{variant}{genes}fold{fold}", "log"),
    benchmark:
        GENES_SELECTED.file(BENCHMARKS, "{scope}/{cohort}/{variant}{genes}fold{fold}", "tsv")
    conda:
        "../../envs/mirrorflow.yaml"
    threads: GENES_SELECTED.threads
    resources:
        case_threads=GENES_SELECTED.case_threads,
        mem_mb=GENES_SELECTED.growing(6000),
        runtime=GENES_SELECTED.lasting(60),
    params:
        **GENES_SELECTED.params(
            version=versions.SELECTION,
            # those of k-shot settings and inner folds never see more than their own training patients
            scope=GENES.chosen_on,
            settings=GENES.selection_settings,
            seed=config["splits"]["seed"],
            drivers=resource_digest("drivers.tsv"),
            given=GENES.given,
            stored=STORED.expression,
        ),
    script:
        "../scripts/select_genes.py"
