"""New patients by the models of the run: an entry of `new_patients` each."""


rule predict_patients:
    input:
        manifests=NEW_PATIENTS.manifests,
    output:
        about=at(NewPatientsPage),
    log:
        f"{LOGS}/predict_patients/{{patients}}.log",
    benchmark:
        f"{BENCHMARKS}/predict_patients/{{patients}}.tsv"
    wildcard_constraints:
        patients=NAME,
    conda:
        "../../envs/mirrorflow.yaml"
    threads: 8
    resources:
        gpu=1,
        mem_mb=growing(12000),
        runtime=growing(240),
    params:
        version=versions.NEW_PATIENTS,
        results=NEW_PATIENTS.results,
        entry=NEW_PATIENTS.entry,
        given=NEW_PATIENTS.given,
    script:
        "../scripts/predict_patients.py"
