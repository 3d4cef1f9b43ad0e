"""The auditor: what was really used, and whether a protocol's claim of honesty holds.

A broken claim fails `require_honesty` and keeps the protocol's numbers out of every table (rule evaluate);
the report is made all the same, with the audit that says why.
"""


rule audit:
    input:
        **AUDITED.inputs(
            cohort=COHORTS.file,
            splits=SPLITS.of_protocol,
            split_summary=AUDIT.summary,
            genes=GENES.of_protocol,
            support=AUDIT.support,
            models=AUDIT.pretrained,
            few_shot_genes=AUDIT.few_shot_genes,
            inner_splits=AUDIT.inner_splits,
            inner_genes=AUDIT.inner_genes,
            own_genes=AUDIT.own_genes,
            expression=AUDIT.expression,
            manifests=PREDICTIONS.manifests,
            indexes=AUDIT.indexes,
            matrix=AUDIT.matrix,
            lists=AUDIT.lists,
            sheet=AUDIT.sheet,
            # of an adapted cohort: the patients that the encoders have seen
            source_cohort=PAIRS.of_source_cohort,
            source_splits=PAIRS.of_source_splits,
            source_genes=PAIRS.of_source_genes,
            source_models=PAIRS.of_source_models,
            source_indexes=AUDIT.source_indexes,
        ),
    output:
        **AUDITED.outputs(
            record=at(paths.AuditFile, ending="json"),
            page=at(paths.AuditFile, ending="md"),
        ),
    log:
        AUDITED.file(LOGS, "{protocol}/{cohort}", "log"),
    benchmark:
        AUDITED.file(BENCHMARKS, "{protocol}/{cohort}", "tsv")
    wildcard_constraints:
        cohort=any_of(RUN.every_cohort),
    conda:
        "../../envs/mirrorflow.yaml"
    threads: AUDITED.threads
    resources:
        case_threads=AUDITED.case_threads,
        mem_mb=AUDITED.growing(2000),
        runtime=AUDITED.lasting(10),
    params:
        **AUDITED.params(
            version=versions.AUDIT,
            protocol=RUN.protocol,
            shots=PREDICTIONS.shots,
            site_kind=COHORTS.site_kind,
            saw=AUDIT.saw,
            collection=AUDIT.collection,
            encoders=COHORTS.encoders,
            source_encoders=AUDIT.source_encoders,
            columns=AUDIT.columns(),
            slide_columns=AUDIT.slide_columns,
            method_inputs=AUDIT.method_inputs,
            given=AUDIT.given_lists,
            scaled_upstream=COHORTS.scaled_upstream,
            planned=PREDICTIONS.planned_tables,
            stored=STORED.both,
        ),
    script:
        "../scripts/audit.py"


rule require_honesty:
    input:
        record=at(paths.AuditFile, ending="json"),
    output:
        passed=touch(at(paths.AuditFile, ending="passed")),
    log:
        f"{LOGS}/require_honesty/{{protocol}}/{{cohort}}.log",
    wildcard_constraints:
        cohort=any_of(RUN.every_cohort),
    localrule: True
    conda:
        "../../envs/mirrorflow.yaml"
    params:
        strict=config["strict"],
    script:
        "../scripts/require_honesty.py"
