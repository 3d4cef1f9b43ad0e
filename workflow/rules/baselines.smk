"""What a user would try first: majority, linear models, ridge Cox. One job per protocol, cohort, encoder, method."""


rule fit_baseline:
    input:
        cohort=f"{RESULTS}/cohort/{{cohort}}.parquet",
        splits=scope_splits,
        support=scope_file(f"{SCOPE}/support/support.tsv"),
        index=pooled_index,
        expression=expression_of,
        genes=gene_inputs,
        few_shot_genes=few_shot_gene_inputs,
    output:
        manifest=f"{PREDICTIONS}/manifest.json",
    log:
        f"{LOGS}/fit_baseline/{{protocol}}/{{cohort}}/{{encoder}}/{{method}}.log",
    benchmark:
        f"{BENCHMARKS}/fit_baseline/{{protocol}}/{{cohort}}/{{encoder}}/{{method}}.tsv"
    wildcard_constraints:
        method=any_of(BASELINES),
    conda:
        "../../envs/mirrorflow.yaml"
    threads: 1
    resources:
        mem_mb=growing(4000),
        runtime=growing(120),
    params:
        version=versions.BASELINES,
        protocol=protocol_of,
        tasks=tasks_of,
        shots=lambda wildcards: shots_of(config, wildcards.protocol),
        seeds=config["seeds"][:1],
        bins=config["probe"]["survival_bins"],
        settings=method_settings,
        rna={"clip": config["expression"]["clip"]},
        saved=saved_models,
    script:
        "../scripts/fit_baseline.py"
