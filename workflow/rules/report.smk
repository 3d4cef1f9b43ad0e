"""The report: one self-contained page of a run."""


rule make_report:
    input:
        results=at(paths.TableFile, name="results", ending="csv"),
        main_tables=TABLES.main("csv"),
        audits=RUN.of_evaluated(paths.AuditFile, ending="json"),
        cohorts=REPORT.cohorts(),
        beside_cohorts=REPORT.beside_cohorts(),
        summaries=REPORT.summaries(),
        genes=REPORT.gene_manifests(),
        gene_sets=REPORT.gene_sets(),
        expressions=REPORT.expressions(),
        ledgers=SLIDES.ledgers(),
        models=REPORT.history(),
        further_tables=[*TABLES.further(), *MAPS.tables_of_all()],
        figures=[*REPORT.figures(), *PROTOTYPES.folders(), *EXPLAINED.of_all(), *MAPS.of_all(), *ATTRIBUTIONS.of_all()],
    output:
        page=report(
            at(paths.ReportPage),
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
        stored=STORED.expression_of_all,
    script:
        "../scripts/make_report.py"
