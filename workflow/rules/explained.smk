"""What models saw: patches and genes by weights, removal and gradients; `all` where the config has `explain:`."""


rule explain_slides:
    input:
        cohort=at(paths.CohortFile),
        manifest=EXPLAINED.manifest,
        index=PREDICTIONS.index,
        expression=EXPLAINED.expression,
        embeddings=EXPLAINED.embeddings,
        ledger=EXPLAINED.ledger,
        splits=EXPLAINED.splits,
    output:
        # a folder: which pictures there are depends on the data
        folder=report(
            directory(at(ExplainedFolder)),
            patterns=["{figure}.png"],
            caption="../report/explained.rst",
            category="Figures",
            subcategory="{cohort}",
        ),
    log:
        f"{LOGS}/explain_slides/{{protocol}}/{{cohort}}/{{encoder}}/{{method}}.log",
    benchmark:
        f"{BENCHMARKS}/explain_slides/{{protocol}}/{{cohort}}/{{encoder}}/{{method}}.tsv"
    wildcard_constraints:
        method=any_of(EXPLAINED.methods),
    conda:
        "../../envs/mirrorflow.yaml"
    threads: 1
    resources:
        mem_mb=growing(6000),
        runtime=growing(120),
    params:
        version=versions.EXPLAIN,
        protocol=RUN.protocol,
        planned=EXPLAINED.planned,
        slides=EXPLAINED.slides,
        settings=EXPLAINED.settings,
        stored=STORED.both,
    script:
        "../scripts/explain_slides.py"


rule explain_genes:
    input:
        cohort=at(paths.CohortFile),
        manifest=EXPLAINED.manifest,
        splits=ATTRIBUTIONS.splits,
        expression=RUN.expression,
        index=ATTRIBUTIONS.index,
        embeddings=EXPLAINED.embeddings,
        linear=ATTRIBUTIONS.linear,
        census=ATTRIBUTIONS.census,
        gene_sets=ATTRIBUTIONS.gene_sets,
    output:
        # a folder: which figures and tables there are depends on the data
        folder=report(
            directory(at(AttributionsFolder)),
            patterns=["{figure}.png"],
            caption="../report/attributions.rst",
            category="Figures",
            subcategory="{cohort}",
        ),
    log:
        f"{LOGS}/explain_genes/{{protocol}}/{{cohort}}/{{encoder}}/{{method}}.log",
    benchmark:
        f"{BENCHMARKS}/explain_genes/{{protocol}}/{{cohort}}/{{encoder}}/{{method}}.tsv"
    wildcard_constraints:
        method=any_of(ATTRIBUTIONS.methods),
    conda:
        "../../envs/mirrorflow.yaml"
    threads: 1
    resources:
        mem_mb=growing(6000),
        runtime=growing(240),
    params:
        version=versions.ATTRIBUTIONS,
        protocol=RUN.protocol,
        drivers=resource_digest("drivers.tsv"),
        planned=EXPLAINED.planned,
        settings=ATTRIBUTIONS.settings,
        curated=ATTRIBUTIONS.curated,
        given=ATTRIBUTIONS.given,
        stored=STORED.both,
    script:
        "../scripts/explain_genes.py"
