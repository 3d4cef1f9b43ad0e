"""mirrorflow: from whole-slide images and RNA to results tables.

    snakemake --cores 8 --resources gpu=1                       # the demo cohort
    snakemake --configfile config/features.yaml ...             # a cohort of one's own

The chain, a file a domain: cohort -> gdc, slides -> features -> expression -> splits -> pretrain -> probe,
baselines, supervised, adapt -> audit -> tables -> figures, prototypes, explained -> report (workflow/rules/).
"""

import sys

from snakemake.utils import min_version

min_version("9.12")


# The demo's config is loaded only when no other is given: Snakemake merges config files recursively.
if not workflow.configfiles:

    configfile: f"{workflow.basedir}/config/config.yaml"


include: "workflow/rules/common.smk"


become_own_task(sys.argv[1:])


include: "workflow/rules/downloads.smk"
include: "workflow/rules/cohort.smk"
include: "workflow/rules/gdc.smk"
include: "workflow/rules/slides.smk"
include: "workflow/rules/features.smk"
include: "workflow/rules/expression.smk"
include: "workflow/rules/splits.smk"
include: "workflow/rules/pretrain.smk"
include: "workflow/rules/probe.smk"
include: "workflow/rules/baselines.smk"
include: "workflow/rules/supervised.smk"
include: "workflow/rules/adapt.smk"
include: "workflow/rules/audit.smk"
include: "workflow/rules/tables.smk"
include: "workflow/rules/further_tables.smk"
include: "workflow/rules/cause_bounds.smk"
include: "workflow/rules/survival_field.smk"
include: "workflow/rules/complexity.smk"
include: "workflow/rules/sensitivity.smk"
include: "workflow/rules/training_folds.smk"
include: "workflow/rules/figures.smk"
include: "workflow/rules/prototypes.smk"
include: "workflow/rules/explained.smk"
include: "workflow/rules/modality_maps.smk"
include: "workflow/rules/report.smk"
include: "workflow/rules/reuse.smk"


rule all:
    default_target: True
    input:
        all_targets(RUN, SLIDES, TABLES),
        EXPLAINED.of_all(),
        ATTRIBUTIONS.of_all(),
        MAPS.of_all(),
        MAPS.tables_of_all(),


# what models saw, also where the config has no section `explain`
rule explained:
    input:
        EXPLAINED.folders(),
        ATTRIBUTIONS.folders(),
        MAPS.folders(),
        MAPS.tables(),


onstart:
    before_jobs(workflow, run_here)


onsuccess:
    print(f"Done. Open {RUN.results}/report.html; the tables are in {RUN.results}/tables/.")


onerror:
    print("Something failed; what was finished is kept. The messages above and the logs name the fix.")
