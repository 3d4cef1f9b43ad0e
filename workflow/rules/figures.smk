"""Figures of a cohort: its flow, forest plots, survival of risk groups, training curves. One job a cohort."""


rule draw_figures:
    input:
        flow=f"{RESULTS}/cohort/{{cohort}}.flow.tsv",
        manifests=curve_manifests,
        models=model_records,
        results=f"{RESULTS}/tables/results.csv",
        names=RESOURCES / "names.tsv",
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
        methods=list(config["methods"]),
    script:
        "../scripts/draw_figures.py"
