"""Figures of a cohort: its flow, forest plots, curves of each method, training curves, genes. One job a cohort.

An adapted cohort has those of its results alone: patients and genes are its target's, models its source's.
"""


rule draw_figures:
    input:
        flow=FIGURES.flow,
        manifests=FIGURES.manifests,
        splits=FIGURES.splits,
        models=FIGURES.history,
        results=at(paths.TableFile, name="results", ending="csv"),
        cohort=COHORTS.file,
        expression=FIGURES.expression,
        genes=FIGURES.gene_manifests,
        ledgers=FIGURES.ledgers,
        permuted=FIGURES.permuted,
    output:
        # a folder: which figures there are depends on the cohort's encoders
        folder=report(
            directory(at(paths.FiguresFolder)),
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
        cohort=any_of(RUN.every_cohort),
    conda:
        "../../envs/mirrorflow.yaml"
    threads: 4
    resources:
        mem_mb=growing(4000),
        runtime=growing(20),
    params:
        version=versions.REPORT,
        names=names_digest(),
        published=resource_digest("published_log_rank.csv"),
        methods=RUN.methods,
        rna_clip=config["expression"]["clip"],
        by_task=FIGURES.by_task,
        curves_of=FIGURES.curves_of,
        bands=FIGURES.bands,
        planned=FIGURES.planned,
        stored=STORED.expression,
    script:
        "../scripts/draw_figures.py"
