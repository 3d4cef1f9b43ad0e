"""The report: one self-contained page of a run."""

BASES = sorted({scope_of(protocol) for protocol in config["protocols"].values()})


rule make_report:
    input:
        results=f"{RESULTS}/tables/results.csv",
        main_tables=expand(f"{RESULTS}/tables/main_{{task}}.csv", task=["subtyping", "survival"]),
        audits=of_evaluated(f"{RESULTS}/audit/{{protocol}}/{{cohort}}.json"),
        cohorts=expand(f"{RESULTS}/cohort/{{cohort}}.parquet", cohort=COHORTS),
        beside_cohorts=expand(
            f"{RESULTS}/cohort/{{cohort}}.{{what}}.tsv",
            cohort=COHORTS,
            what=["flow", "dropped"],
        ),
        summaries=expand(
            f"{RESULTS}/{{scope}}/{{cohort}}/splits/summary.tsv",
            scope=BASES,
            cohort=COHORTS,
        ),
        genes=expand(
            f"{RESULTS}/{{scope}}/{{cohort}}/genes/fold{{fold}}.tsv",
            scope=BASES,
            cohort=COHORTS,
            fold=FOLDS,
        ),
        ledgers=all_ledgers(),
        models=[record for cohort in COHORTS for record in cohort_models(cohort)],
        further_tables=further_tables(),
        figures=expand(f"{RESULTS}/figures/{{cohort}}", cohort=EVERY_COHORT),
    output:
        page=report(
            f"{RESULTS}/report.html",
            caption="../report/report_page.rst",
            category="Report",
        ),
    log:
        f"{LOGS}/make_report.log",
    benchmark:
        f"{BENCHMARKS}/make_report.tsv"
    conda:
        "../../envs/mirrorflow.yaml"
    threads: 1
    resources:
        mem_mb=growing(4000),
        runtime=growing(20),
    params:
        version=versions.REPORT,
        config=config,
        configfiles=[os.path.relpath(path) for path in workflow.configfiles],
        benchmarks=BENCHMARKS,
    script:
        "../scripts/make_report.py"
