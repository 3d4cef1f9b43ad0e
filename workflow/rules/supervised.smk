"""Networks trained on labels (ABMIL, ILRA-MIL, PORPOISE, SurvPath): a job per protocol, cohort, encoder and method.

The predictions of each fold and task are kept by their digest; a killed job goes on with the first that is missing.
"""


rule train_supervised:
    input:
        cohort=f"{RESULTS}/cohort/{{cohort}}.parquet",
        splits=scope_splits,
        support=scope_file(f"{SCOPE}/support/support.tsv"),
        index=pooled_index,
        expression=expression_of,
        genes=gene_inputs,
        few_shot_genes=few_shot_gene_inputs,
        gene_sets=gene_set_file,
        inner_splits=of_inner_folds(scope_splits),
        inner_genes=of_inner_folds(gene_inputs),
    output:
        manifest=f"{PREDICTIONS}/manifest.json",
    log:
        f"{LOGS}/train_supervised/{{protocol}}/{{cohort}}/{{encoder}}/{{method}}.log",
    benchmark:
        f"{BENCHMARKS}/train_supervised/{{protocol}}/{{cohort}}/{{encoder}}/{{method}}.tsv"
    wildcard_constraints:
        method=any_of(SUPERVISED),
    conda:
        "../../envs/mirrorflow.yaml"
    threads: 8
    resources:
        gpu=1,
        mem_mb=growing(12000),
        runtime=growing(720),
    params:
        version=versions.SUPERVISED,
        protocol=protocol_of,
        tasks=tasks_of,
        shots=lambda wildcards: shots_of(config, wildcards.protocol),
        seeds=config["seeds"],
        bins=config["probe"]["survival_bins"],
        settings=method_settings,
        rna={"clip": config["expression"]["clip"]},
        saved=saved_models,
    script:
        "../scripts/train_supervised.py"
