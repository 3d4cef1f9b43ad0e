"""Where slide and RNA vectors of pretrained methods lie: maps, distances; `all` where the config has `explain:`."""


rule map_embeddings:
    input:
        cohort=at(paths.CohortFile),
        splits=MAPS.splits,
        embeddings=MAPS.embeddings,
    output:
        # a folder: which maps there are depends on the data
        folder=report(
            directory(at(MapsFolder)),
            patterns=["{figure}.png"],
            caption="../report/maps.rst",
            category="Figures",
            subcategory="{cohort}",
        ),
    log:
        f"{LOGS}/map_embeddings/{{protocol}}/{{cohort}}/{{encoder}}.log",
    benchmark:
        f"{BENCHMARKS}/map_embeddings/{{protocol}}/{{cohort}}/{{encoder}}.tsv"
    conda:
        "../../envs/mirrorflow.yaml"
    threads: 1
    resources:
        mem_mb=growing(4000),
        runtime=growing(60),
    params:
        version=versions.MAPS,
        names=names_digest(),
        protocol=RUN.protocol,
        settings=MAPS.settings,
        bands=MAPS.bands,
    script:
        "../scripts/map_embeddings.py"


rule make_modality_gap:
    input:
        maps=MAPS.folders(),
    output:
        csv=at(paths.TableFile, name=GAP_TABLE, ending="csv"),
        md=report(
            at(paths.TableFile, name=GAP_TABLE, ending="md"),
            caption="../report/modality_gap.rst",
            category="Tables",
        ),
        tex=at(paths.TableFile, name=GAP_TABLE, ending="tex"),
    log:
        f"{LOGS}/make_modality_gap.log",
    benchmark:
        f"{BENCHMARKS}/make_modality_gap.tsv"
    conda:
        "../../envs/mirrorflow.yaml"
    threads: 1
    resources:
        mem_mb=growing(2000),
        runtime=growing(10),
    params:
        version=versions.TABLES,
        names=names_digest(),
        titles=TABLES.titles,
    script:
        "../scripts/make_modality_gap.py"
