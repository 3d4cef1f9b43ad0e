"""Sensitivity of the logits to the input, s1 and s2; on request: `snakemake --cores 8 --resources gpu=1 make_sensitivity`."""


rule probe_sensitivity:
    input:
        cohort=f"{RESULTS}/cohort/{{cohort}}.parquet",
        splits=scope_splits,
        support=scope_file(f"{SCOPE}/support/support.tsv"),
        index=f"{RESULTS}/features/{{cohort}}/{{encoder}}.tsv",
        expression=expression_of,
        embeddings=frozen_embeddings,
        models=frozen_models,
        genes=scope_genes,
        few_shot_genes=few_shot_genes,
    output:
        sheet=f"{SENSITIVITY}.tsv",
    log:
        f"{LOGS}/probe_sensitivity/{{protocol}}/{{cohort}}/{{encoder}}/{{method}}.log",
    benchmark:
        f"{BENCHMARKS}/probe_sensitivity/{{protocol}}/{{cohort}}/{{encoder}}/{{method}}.tsv"
    wildcard_constraints:
        method=any_of(PRETRAINED),
    conda:
        "../../envs/mirrorflow.yaml"
    threads: 8
    resources:
        gpu=1,
        mem_mb=growing(16000),
        runtime=growing(240),
    params:
        version=versions.SENSITIVITY,
        family=family_of,
        protocol=protocol_of,
        tasks=["subtyping"],
        shots=[],
        seeds=config["seeds"],
        bins=config["probe"]["survival_bins"],
        probe=config["probe"],
    script:
        "../scripts/probe_sensitivity.py"


rule make_sensitivity:
    input:
        sheets=[SENSITIVITY.format(**case) + ".tsv" for case in pretrained_cases()],
    output:
        csv=f"{RESULTS}/tables/sensitivity.csv",
        md=f"{RESULTS}/tables/sensitivity.md",
        tex=f"{RESULTS}/tables/sensitivity.tex",
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
        cases=pretrained_cases(),
    script:
        "../scripts/make_sensitivity.py"
