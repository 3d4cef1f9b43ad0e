"""Figures of a cohort: its flow, forest plots, survival of risk groups, training curves, genes. One job a cohort.

An adapted cohort has those of its results alone: patients and genes are its target's, models its source's.
"""


rule draw_figures:
    input:
        flow=unless_pair(lambda wildcards: f"{RESULTS}/cohort/{wildcards.cohort}.flow.tsv"),
        manifests=curve_manifests,
        models=unless_pair(lambda wildcards: cohort_models(wildcards.cohort)),
        results=f"{RESULTS}/tables/results.csv",
        cohort=cohort_file,
        expression=unless_pair(expression_of),
        genes=unless_pair(
            lambda wildcards: expand(
                f"{RESULTS}/{{scope}}/{wildcards.cohort}/genes/fold{{fold}}.tsv",
                scope=sorted({scope_of(protocol) for protocol in config["protocols"].values()}),
                fold=FOLDS,
            )
        ),
    output:
        # a folder: which figures there are depends on the cohort's encoders
        folder=report(
            directory(f"{RESULTS}/figures/{{cohort}}"),
            patterns=["{figure}.svg"],
            caption="../report/figures.rst",
            category="Figures",
            subcategory="{cohort}",
        ),
    log:
        f"{LOGS}/draw_figures/{{cohort}}.log",
    benchmark:
        f"{BENCHMARKS}/draw_figures/{{cohort}}.tsv"
    wildcard_constraints:
        cohort=any_of(EVERY_COHORT),
    conda:
        "../../envs/mirrorflow.yaml"
    threads: 1
    resources:
        mem_mb=growing(2000),
        runtime=growing(20),
    params:
        version=versions.REPORT,
        names=names_digest(),
        methods=list(config["methods"]),
        rna_clip=config["expression"]["clip"],
    script:
        "../scripts/draw_figures.py"
