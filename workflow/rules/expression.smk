"""Expression matrix to parquet; genes a fold's models see."""


rule convert_expression:
    input:
        matrix=lambda wildcards: ancient(source_of(wildcards)["matrix"]),
        probemap=lambda wildcards: source_of(wildcards).get("probemap", []),
        sheet=lambda wildcards: cohort_of(wildcards)["slides"]["sheet"],
    output:
        parquet=f"{STORE}/expression/{{source}}/{{cohort}}.parquet",
        record=f"{STORE}/expression/{{source}}/{{cohort}}.parquet.json",
    log:
        f"{LOGS}/convert_expression/{{source}}/{{cohort}}.log",
    benchmark:
        f"{BENCHMARKS}/convert_expression/{{source}}/{{cohort}}.tsv"
    conda:
        "../../envs/mirrorflow.yaml"
    threads: 1
    resources:
        mem_mb=growing(3000),
        runtime=growing(120),
    params:
        version=versions.EXPRESSION,
        columns=lambda wildcards: cohort_of(wildcards)["slides"]["columns"],
        settings=lambda wildcards: {key: source_of(wildcards)[key] for key in ("orientation", "sample_ids")},
    script:
        "../scripts/convert_expression.py"


rule select_genes:
    input:
        cohort=f"{RESULTS}/cohort/{{cohort}}.parquet",
        split=f"{BASIS}/splits/splits_{{fold}}.csv",
        expression=expression_of,
        census=lambda wildcards: cohort_of(wildcards).get("census", []),
        gene_sets=config["expression"]["selection"]["gene_sets"] or [],
        drivers=RESOURCES / "drivers.tsv",
    output:
        manifest=f"{BASIS}/genes/fold{{fold}}.tsv",
        record=f"{BASIS}/genes/fold{{fold}}.json",
    log:
        f"{LOGS}/select_genes/{{basis}}/{{cohort}}/fold{{fold}}.log",
    benchmark:
        f"{BENCHMARKS}/select_genes/{{basis}}/{{cohort}}/fold{{fold}}.tsv"
    conda:
        "../../envs/mirrorflow.yaml"
    threads: 2
    resources:
        mem_mb=growing(6000),
        runtime=growing(60),
    params:
        version=versions.SELECTION,
        scope=lambda wildcards: basis_keys(wildcards.basis)["gene_selection"],
        settings=lambda wildcards: {
            **config["expression"]["selection"],
            "tumour_types": cohort_of(wildcards)["tumour_types"],
            "scaling": basis_keys(wildcards.basis)["rna_scaling"],
            "clip": config["expression"]["clip"],
        },
        seed=config["splits"]["seed"],
    script:
        "../scripts/select_genes.py"
