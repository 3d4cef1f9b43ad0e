"""Methods over the cohorts of disease-specific survival: TTA's Tables 1 and 8."""


rule make_survival_field:
    input:
        manifests=FIELD.manifests(),
        cohorts=FIELD.cohort_files(),
        results=at(paths.TableFile, name="results", ending="csv"),
    output:
        csv=at(paths.TableFile, name="survival_field", ending="csv"),
        md=report(
            at(paths.TableFile, name="survival_field", ending="md"),
            caption="../report/survival_field.rst",
            category="Tables",
        ),
        tex=at(paths.TableFile, name="survival_field", ending="tex"),
        pictures=directory(at(FieldPictures)),
    log:
        f"{LOGS}/make_survival_field.log",
    benchmark:
        f"{BENCHMARKS}/make_survival_field.tsv"
    conda:
        "../../envs/mirrorflow.yaml"
    threads: 1
    resources:
        mem_mb=growing(4000),
        runtime=growing(60),
    params:
        version=versions.METRICS,
        published=resource_digest("published_results.csv"),
        names=names_digest(),
        cohorts=FIELD.cohorts,
        titles=TABLES.titles,
        methods=FIELD.methods,
        settings=FIELD.settings(),
        planned=FIELD.planned,
    script:
        "../scripts/make_survival_field.py"
