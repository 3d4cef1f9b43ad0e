"""Predictions to metrics to tables, without torch."""


rule evaluate:
    input:
        **EVALUATED.inputs(
            manifests=PREDICTIONS.manifests,
            beside=PREDICTIONS.reference_of_target,
            # not ancient: an audit that finds a leak withholds the numbers
            audit=at(paths.AuditFile, ending="json"),
            cohort=COHORTS.file,
            splits=SPLITS.of_protocol,
        ),
    output:
        **EVALUATED.outputs(
            metrics=at(paths.MetricsSheet),
        ),
    log:
        EVALUATED.file(LOGS, "{protocol}/{cohort}", "log"),
    benchmark:
        EVALUATED.file(BENCHMARKS, "{protocol}/{cohort}", "tsv")
    wildcard_constraints:
        cohort=any_of(RUN.every_cohort),
    conda:
        "../../envs/mirrorflow.yaml"
    threads: EVALUATED.threads
    resources:
        case_threads=EVALUATED.case_threads,
        mem_mb=EVALUATED.growing(4000),
        runtime=EVALUATED.lasting(60),
    params:
        **EVALUATED.params(
            version=versions.METRICS,
            settings=TABLES.evaluate_settings,
            planned=PREDICTIONS.planned_tables,
        ),
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
        noted=GIVEN.of_results,
    script:
        "../scripts/make_results.py"


rule make_tables:
    input:
        results=at(paths.TableFile, name="results", ending="csv"),
    output:
        csv=TABLES.made("csv"),
        md=report(TABLES.made("md"), caption="../report/table.rst", category="Tables"),
        tex=TABLES.made("tex"),
    log:
        f"{LOGS}/make_tables.log",
    benchmark:
        f"{BENCHMARKS}/make_tables.tsv"
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
        methods=RUN.methods,
        titles=TABLES.titles,
        own_titles=TABLES.own_titles,
        left_out=left_out_lines(config),
        run=config["run"],
        dss=TABLES.dss,
    script:
        "../scripts/make_tables.py"
