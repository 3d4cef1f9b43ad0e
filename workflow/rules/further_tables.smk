"""What each published choice is worth, from the predictions of its protocol and the base."""


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
