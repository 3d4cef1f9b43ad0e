"""What the networks cost on the machine at hand; on request: `snakemake --cores 8 measure_complexity`."""


rule measure_complexity:
    output:
        csv=f"{RESULTS}/tables/complexity.csv",
        md=f"{RESULTS}/tables/complexity.md",
        tex=f"{RESULTS}/tables/complexity.tex",
    log:
        f"{LOGS}/measure_complexity.log",
    benchmark:
        f"{BENCHMARKS}/measure_complexity.tsv"
    conda:
        "../../envs/mirrorflow.yaml"
    threads: 8
    resources:
        gpu=1,
        mem_mb=growing(24000),
        runtime=growing(60),
    params:
        version=versions.TABLES,
        published=resource_digest("published_results.csv"),
        names=names_digest(),
        settings=config["complexity"],
    script:
        "../scripts/measure_complexity.py"
