"""Predictions to metrics to tables, without torch."""


rule evaluate:
    input:
        manifests=PREDICTIONS.manifests,
        beside=PREDICTIONS.reference_of_target,
        # not ancient: an audit that finds a leak withholds the numbers
        audit=at(paths.AuditFile, ending="json"),
        cohort=COHORTS.file,
        splits=SPLITS.of_protocol,
    output:
        metrics=at(paths.MetricsSheet),
    log:
        f"{LOGS}/evaluate/{{protocol}}/{{cohort}}.log",
    benchmark:
        f"{BENCHMARKS}/evaluate/{{protocol}}/{{cohort}}.tsv"
    wildcard_constraints:
        cohort=any_of(RUN.every_cohort),
    conda:
        "../../envs/mirrorflow.yaml"
    threads: 1
    resources:
        mem_mb=growing(4000),
        runtime=growing(60),
    params:
        version=versions.METRICS,
        settings=TABLES.evaluate_settings,
        planned=PREDICTIONS.planned_tables,
    script:
        "../scripts/evaluate.py"


rule make_results:
    input:
        metrics=RUN.of_evaluated(paths.MetricsSheet),
    output:
        results=at(paths.TableFile, name="results", ending="csv"),
    log:
        f"{LOGS}/make_results.log",
    benchmark:
        f"{BENCHMARKS}/make_results.tsv"
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
        config=settings_compared(config),
    script:
        "../scripts/make_results.py"


rule make_main_table:
    input:
        results=at(paths.TableFile, name="results", ending="csv"),
    output:
        csv=at(paths.MainTable, ending="csv"),
        md=report(
            at(paths.MainTable, ending="md"),
            caption="../report/main_table.rst",
            category="Tables",
        ),
        tex=at(paths.MainTable, ending="tex"),
    log:
        f"{LOGS}/make_main_table/{{task}}.log",
    benchmark:
        f"{BENCHMARKS}/make_main_table/{{task}}.tsv"
    wildcard_constraints:
        task=any_of(MAIN_TASKS),
    conda:
        "../../envs/mirrorflow.yaml"
    threads: 1
    resources:
        mem_mb=growing(2000),
        runtime=growing(10),
    params:
        version=versions.TABLES,
        names=names_digest(),
        title=TABLES.main_title,
        methods=RUN.methods,
        titles=TABLES.main_titles,
        left_out=left_out_lines(config),
        run=config["run"],
    script:
        "../scripts/make_main_table.py"
