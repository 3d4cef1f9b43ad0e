"""Predictions to metrics to tables, without torch."""


rule evaluate:
    input:
        manifests=own_manifests,
        beside=targets_reference,
        # not ancient: an audit that finds a leak withholds the numbers
        audit=f"{RESULTS}/audit/{{protocol}}/{{cohort}}.json",
        cohort=cohort_file,
        splits=scope_splits,
    output:
        metrics=f"{RESULTS}/metrics/{{protocol}}/{{cohort}}.tsv",
    log:
        f"{LOGS}/evaluate/{{protocol}}/{{cohort}}.log",
    benchmark:
        f"{BENCHMARKS}/evaluate/{{protocol}}/{{cohort}}.tsv"
    wildcard_constraints:
        cohort=any_of(EVERY_COHORT),
    conda:
        "../../envs/mirrorflow.yaml"
    threads: 1
    resources:
        mem_mb=growing(4000),
        runtime=growing(60),
    params:
        version=versions.METRICS,
        settings={
            **{key: config["evaluation"][key] for key in ("bootstrap", "confidence", "seed", "reference")},
            "strict": config["strict"],
            "label_smoothing": {
                **{method: config["probe"]["label_smoothing"] for method in PRETRAINED},
                **{method: config["methods"][method]["train"]["label_smoothing"] for method in SUPERVISED},
            },
        },
    script:
        "../scripts/evaluate.py"


rule make_results:
    input:
        metrics=of_evaluated(f"{RESULTS}/metrics/{{protocol}}/{{cohort}}.tsv"),
    output:
        results=f"{RESULTS}/tables/results.csv",
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
        results=f"{RESULTS}/tables/results.csv",
    output:
        csv=f"{RESULTS}/tables/main_{{task}}.csv",
        md=report(
            f"{RESULTS}/tables/main_{{task}}.md",
            caption="../report/main_table.rst",
            category="Tables",
        ),
        tex=f"{RESULTS}/tables/main_{{task}}.tex",
    log:
        f"{LOGS}/make_main_table/{{task}}.log",
    benchmark:
        f"{BENCHMARKS}/make_main_table/{{task}}.tsv"
    wildcard_constraints:
        task="subtyping|survival",
    conda:
        "../../envs/mirrorflow.yaml"
    threads: 1
    resources:
        mem_mb=growing(2000),
        runtime=growing(10),
    params:
        version=versions.TABLES,
        names=names_digest(),
        title=lambda wildcards: MAIN_TITLES[wildcards.task],
        methods=list(config["methods"]),
        titles={name: entry["title"] for name, entry in config["cohorts"].items() if "title" in entry},
        run=config["run"],
    script:
        "../scripts/make_main_table.py"


rule make_further_table:
    input:
        results=f"{RESULTS}/tables/results.csv",
    output:
        csv=f"{RESULTS}/tables/{{table}}.csv",
        md=report(
            f"{RESULTS}/tables/{{table}}.md",
            caption="../report/further_table.rst",
            category="Tables",
        ),
        tex=f"{RESULTS}/tables/{{table}}.tex",
    log:
        f"{LOGS}/make_further_table/{{table}}.log",
    benchmark:
        f"{BENCHMARKS}/make_further_table/{{table}}.tsv"
    wildcard_constraints:
        table=any_of(FURTHER),
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
        title=lambda wildcards: further_table(wildcards.table).title,
        methods=list(config["methods"]),
        titles={name: entry["title"] for name, entry in config["cohorts"].items() if "title" in entry},
        run=config["run"],
    script:
        "../scripts/make_further_table.py"


rule make_optimism:
    input:
        manifests=manifests(optimism_protocols(), COHORTS),
        cohorts=expand(f"{RESULTS}/cohort/{{cohort}}.parquet", cohort=COHORTS),
        results=f"{RESULTS}/tables/results.csv",
    output:
        csv=f"{RESULTS}/tables/optimism.csv",
        md=report(
            f"{RESULTS}/tables/optimism.md",
            caption="../report/optimism.rst",
            category="Tables",
        ),
        tex=f"{RESULTS}/tables/optimism.tex",
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
        cohorts=COHORTS,
        single_changes={
            **{name.removeprefix(SINGLE_CHANGE): name for name in SINGLE_CHANGES},
            "all together": (config["evaluation"]["optimism"] or {}).get("against"),
        },
        settings={
            **{key: config["evaluation"][key] for key in ("bootstrap", "confidence", "seed")},
            "base": (config["evaluation"]["optimism"] or {}).get("base"),
            "protocols": {name: config["protocols"][name] for name in optimism_protocols()},
            "titles": {name: entry["title"] for name, entry in config["cohorts"].items() if "title" in entry},
        },
    script:
        "../scripts/make_optimism.py"
