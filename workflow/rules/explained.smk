"""What models saw on slides: weights of patches, what is lost without them; `all` where the config has `explain:`."""


rule explain_slides:
    input:
        cohort=at(paths.CohortFile),
        manifest=EXPLAINED.manifest,
        index=PREDICTIONS.index,
        expression=EXPLAINED.expression,
        embeddings=EXPLAINED.embeddings,
        ledger=EXPLAINED.ledger,
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
