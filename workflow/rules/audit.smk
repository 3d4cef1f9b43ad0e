"""The auditor: what was really used, and whether a protocol's claim of honesty holds.

A broken claim fails `require_honesty` and keeps the protocol's numbers out of every table (rule evaluate);
the report is made all the same, with the audit that says why.
"""


rule audit:
    input:
        cohort=cohort_file,
        splits=scope_splits,
        split_summary=scope_file(f"{SCOPE}/splits/summary.tsv"),
        genes=scope_genes,
        support=unless_pair(scope_file(f"{SCOPE}/support/support.tsv")),
        models=unless_pair(scope_models),
        few_shot_genes=unless_pair(few_shot_genes),
        inner_splits=unless_pair(used_inner_splits),
        inner_genes=unless_pair(used_inner_genes),
        own_genes=unless_pair(own_genes),
        expression=lambda wildcards: f"{expression_of(wildcards)}.json",
        manifests=own_manifests,
        indexes=lambda wildcards: feature_indexes(home_of(wildcards.cohort)),
        matrix=expression_of,
        lists=user_lists,
        # of an adapted cohort: whom the encoders have seen
        source_cohort=source_cohort,
        source_splits=of_source(f"{SCOPE}/splits/splits_{{fold}}.csv"),
        source_genes=of_source(f"{SCOPE}/genes/fold{{fold}}.tsv"),
        source_models=audited_source_models,
        source_indexes=lambda wildcards: [path for name in source_of_pair(wildcards) for path in feature_indexes(name)],
    output:
        record=f"{RESULTS}/audit/{{protocol}}/{{cohort}}.json",
        page=f"{RESULTS}/audit/{{protocol}}/{{cohort}}.md",
    log:
        f"{LOGS}/audit/{{protocol}}/{{cohort}}.log",
    benchmark:
        f"{BENCHMARKS}/audit/{{protocol}}/{{cohort}}.tsv"
    wildcard_constraints:
        cohort=any_of(EVERY_COHORT),
    conda:
        "../../envs/mirrorflow.yaml"
    threads: 1
    resources:
        mem_mb=growing(2000),
        runtime=growing(10),
    params:
        version=versions.AUDIT,
        protocol=protocol_of,
        shots=lambda wildcards: ([] if wildcards.cohort in ADAPTED else shots_of(config, wildcards.protocol)),
        site_kind=lambda wildcards: (
            "institutions" if "institutions" in cohort_of(wildcards) else cohort_of(wildcards)["site"]
        ),
        encoders=lambda wildcards: cohort_of(wildcards)["encoders"],
        source_encoders=lambda wildcards: [
            encoder for name in source_of_pair(wildcards) for encoder in config["cohorts"][name]["encoders"]
        ],
        columns=sorted({name for method in config["methods"].values() for name in method.get("columns", [])}),
        scaled_upstream=lambda wildcards: config["expression"]["sources"][cohort_of(wildcards)["expression"]][
            "scaled_upstream"
        ],
    script:
        "../scripts/audit.py"


rule require_honesty:
    input:
        record=f"{RESULTS}/audit/{{protocol}}/{{cohort}}.json",
    output:
        passed=touch(f"{RESULTS}/audit/{{protocol}}/{{cohort}}.passed"),
    log:
        f"{LOGS}/require_honesty/{{protocol}}/{{cohort}}.log",
    wildcard_constraints:
        cohort=any_of(EVERY_COHORT),
    localrule: True
    conda:
        "../../envs/mirrorflow.yaml"
    params:
        strict=config["strict"],
    script:
        "../scripts/require_honesty.py"
