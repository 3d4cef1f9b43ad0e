"""Tables beyond the main ones; what each published choice is worth, from the predictions of its protocol and the base."""


rule make_further_table:
    input:
        results=at(paths.TableFile, name="results", ending="csv"),
    output:
        csv=at(paths.TableFile, name="{table}", ending="csv"),
        md=report(
            at(paths.TableFile, name="{table}", ending="md"),
            caption="../report/further_table.rst",
            category="Tables",
        ),
        tex=at(paths.TableFile, name="{table}", ending="tex"),
    log:
        f"{LOGS}/make_further_table/{{table}}.log",
    benchmark:
        f"{BENCHMARKS}/make_further_table/{{table}}.tsv"
    wildcard_constraints:
        table=any_of(TABLES.further_names),
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
        title=TABLES.further_title,
        methods=RUN.methods,
        titles=TABLES.titles,
        run=config["run"],
        dss=TABLES.dss,
    script:
        "../scripts/make_further_table.py"


rule make_optimism:
    input:
        manifests=TABLES.optimism_manifests(),
        cohorts=TABLES.optimism_cohorts(),
        results=at(paths.TableFile, name="results", ending="csv"),
    output:
        csv=at(paths.TableFile, name="optimism", ending="csv"),
        md=report(
            at(paths.TableFile, name="optimism", ending="md"),
            caption="../report/optimism.rst",
            category="Tables",
        ),
        tex=at(paths.TableFile, name="optimism", ending="tex"),
    log:
        f"{LOGS}/make_optimism.log",
    benchmark:
        f"{BENCHMARKS}/make_optimism.tsv"
    conda:
        "../../envs/mirrorflow.yaml"
    threads: 1
    resources:
        mem_mb=growing(4000),
        runtime=growing(60),
    params:
        version=versions.METRICS,
        names=names_digest(),
        cohorts=list(config["cohorts"]),
        single_changes=TABLES.single_changes(),
        settings=TABLES.optimism_settings(),
        planned=TABLES.planned_optimism,
    script:
        "../scripts/make_optimism.py"
