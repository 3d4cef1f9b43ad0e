"""Sensitivity of the logits to the input, s1 and s2; on request: `snakemake --cores 8 --resources gpu=1 make_sensitivity`."""


rule probe_sensitivity:
    input:
        cohort=at(paths.CohortFile),
        splits=SPLITS.of_protocol,
        support=PREDICTIONS.support,
        index=at(paths.FeatureIndex),
        expression=RUN.expression,
        embeddings=MODELS.frozen,
        models=MODELS.behind_frozen,
        genes=GENES.of_protocol,
        few_shot_genes=GENES.few_shot,
    output:
        sheet=at(paths.SensitivitySheet),
    log:
        f"{LOGS}/probe_sensitivity/{{protocol}}/{{cohort}}/{{encoder}}/{{method}}.log",
    benchmark:
        f"{BENCHMARKS}/probe_sensitivity/{{protocol}}/{{cohort}}/{{encoder}}/{{method}}.tsv"
    wildcard_constraints:
        method=any_of(RUN.pretrained),
    conda:
        "../../envs/mirrorflow.yaml"
    threads: 8
    resources:
        gpu=1,
        mem_mb=growing(16000),
        runtime=growing(240),
    params:
        version=versions.SENSITIVITY,
        family=MODELS.family,
        protocol=RUN.protocol,
        tasks=["subtyping"],
        shots=[],
        seeds=config["seeds"],
        bins=config["probe"]["survival_bins"],
        probe=config["probe"],
        stored=STORED.both,
    script:
        "../scripts/probe_sensitivity.py"


rule make_sensitivity:
    input:
        sheets=TABLES.sensitivity_sheets(),
    output:
        csv=at(paths.TableFile, name="sensitivity", ending="csv"),
        md=at(paths.TableFile, name="sensitivity", ending="md"),
        tex=at(paths.TableFile, name="sensitivity", ending="tex"),
    log:
        f"{LOGS}/make_sensitivity.log",
    benchmark:
        f"{BENCHMARKS}/make_sensitivity.tsv"
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
        cases=TABLES.pretrained_cases(),
    script:
        "../scripts/make_sensitivity.py"
