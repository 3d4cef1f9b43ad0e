"""Public data sets by name: Xena's matrices, probe maps and clinical tables."""


rule download_dataset:
    output:
        file=at(store_paths.Download),
    log:
        f"{LOGS}/download_dataset/{{dataset}}/{{file}}.log",
    benchmark:
        f"{BENCHMARKS}/download_dataset/{{dataset}}/{{file}}.tsv"
    wildcard_constraints:
        dataset=any_of(config["downloads"]),
        file="[^/]+",
    # compute nodes of many clusters have no way out
    localrule: True
    conda:
        "../../envs/mirrorflow.yaml"
    threads: 1
    resources:
        mem_mb=growing(1000),
        runtime=growing(720),
    params:
        dataset=SLIDES.dataset,
    script:
        "../scripts/download_dataset.py"
