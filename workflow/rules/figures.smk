"""Figures of a cohort: its flow, forest plots, survival of risk groups, training curves, genes. One job a cohort."""


rule draw_figures:
    input:
        flow=f"{RESULTS}/cohort/{{cohort}}.flow.tsv",
        manifests=curve_manifests,
        models=lambda wildcards: cohort_models(wildcards.cohort),
        results=f"{RESULTS}/tables/results.csv",
        cohort=f"{RESULTS}/cohort/{{cohort}}.parquet",
        expression=expression_of,
        genes=lambda wildcards: expand(
            f"{RESULTS}/{{basis}}/{wildcards.cohort}/genes/fold{{fold}}.tsv",
            basis=sorted({basis_of(protocol) for protocol in config["protocols"].values()}),
            fold=FOLDS,
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
