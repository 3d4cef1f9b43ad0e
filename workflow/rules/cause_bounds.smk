"""What the dead of unknown cause could change of a cause-specific outcome: their risks, and the bounds of the C-index."""


rule predict_unknown_causes:
    input:
        cohort=at(paths.CohortFile),
        splits=SPLITS.of_protocol,
        manifests=PREDICTIONS.manifests,
        indexes=SLIDES.indexes,
        expression=RUN.expression,
        embeddings=CAUSES.embeddings,
    output:
        sheet=at(UnknownCauses),
    log:
        f"{LOGS}/predict_unknown_causes/{{protocol}}/{{cohort}}.log",
    benchmark:
        f"{BENCHMARKS}/predict_unknown_causes/{{protocol}}/{{cohort}}.tsv"
    wildcard_constraints:
        cohort=any_of(CAUSES.cohorts),
    conda:
        "../../envs/mirrorflow.yaml"
    threads: 1
    resources:
        mem_mb=growing(4000),
        runtime=growing(60),
    params:
        version=versions.METRICS,
        protocol=RUN.protocol,
        planned=PREDICTIONS.planned_tables,
        stored=STORED.both,
    script:
        "../scripts/predict_unknown_causes.py"


rule make_cause_bounds:
    input:
        sheets=CAUSES.sheets(),
        manifests=CAUSES.manifests(),
        cohorts=CAUSES.cohort_files(),
        results=at(paths.TableFile, name="results", ending="csv"),
    output:
        csv=at(paths.TableFile, name="cause_bounds", ending="csv"),
        md=report(
            at(paths.TableFile, name="cause_bounds", ending="md"),
            caption="../report/cause_bounds.rst",
            category="Tables",
        ),
        tex=at(paths.TableFile, name="cause_bounds", ending="tex"),
    log:
        f"{LOGS}/make_cause_bounds.log",
    benchmark:
        f"{BENCHMARKS}/make_cause_bounds.tsv"
    conda:
        "../../envs/mirrorflow.yaml"
    threads: 1
    resources:
        mem_mb=growing(2000),
        runtime=growing(10),
    params:
        version=versions.METRICS,
        names=names_digest(),
        cohorts=CAUSES.cohorts,
        titles=TABLES.titles,
        planned=CAUSES.planned,
    script:
        "../scripts/make_cause_bounds.py"
