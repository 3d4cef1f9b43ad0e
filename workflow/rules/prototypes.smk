"""What TTA's prototypes are, and where patches and pathways go (Figures 7 to 11); only with a method `tta`."""


rule draw_prototypes:
    input:
        cohort=at(paths.CohortFile),
        manifest=PROTOTYPES.manifest,
        index=PREDICTIONS.index,
        expression=RUN.expression,
        gene_sets=PREDICTIONS.gene_sets,
        ledger=PROTOTYPES.ledger,
        splits=PROTOTYPES.splits,
    output:
        # a folder: which figures there are depends on the data
        folder=report(
            directory(at(PrototypesFolder)),
            patterns=["{figure}.svg"],
            caption="../report/prototypes.rst",
            category="Figures",
            subcategory="{cohort}",
        ),
    log:
        f"{LOGS}/draw_prototypes/{{protocol}}/{{cohort}}/{{encoder}}/{{method}}.log",
    benchmark:
        f"{BENCHMARKS}/draw_prototypes/{{protocol}}/{{cohort}}/{{encoder}}/{{method}}.tsv"
    wildcard_constraints:
        method=any_of(PROTOTYPES.methods),
    conda:
        "../../envs/mirrorflow.yaml"
    threads: 1
    resources:
        mem_mb=growing(4000),
        runtime=growing(60),
    params:
        version=versions.REPORT,
        protocol=RUN.protocol,
        planned=PROTOTYPES.planned,
        stored=STORED.both,
    script:
        "../scripts/draw_prototypes.py"
