"""What the networks cost on the machine at hand; on request: `snakemake --cores 8 measure_complexity`."""


rule measure_complexity:
    output:
        csv=at(paths.TableFile, name="complexity", ending="csv"),
        md=at(paths.TableFile, name="complexity", ending="md"),
        tex=at(paths.TableFile, name="complexity", ending="tex"),
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
