"""What ``rule all`` asks for."""

from mirrorflow.plan.new_patients import new_patients_pages
from mirrorflow.plan.paths import AuditFile, ReportPage, TableFile
from mirrorflow.plan.results import TableInputs
from mirrorflow.plan.run import Run
from mirrorflow.plan.slides import SlideInputs
from mirrorflow.plan.store_paths import GdcStatus


def all_targets(run: Run, slides: SlideInputs, tables: TableInputs) -> list[str]:
    """The report, every table and audit in all its forms, audits that passed, ledgers, deletions, new patients.

    What a job writes beside a target is a target: a file of it that was deleted is made again.
    """
    return [
        run.at(ReportPage),
        run.at(TableFile, name="results", ending="csv"),
        *(table for ending in ("csv", "md", "tex") for table in tables.main(ending)),
        *tables.further(),
        *(file for ending in ("json", "md", "passed") for file in run.of_evaluated(AuditFile, ending=ending)),
        *slides.ledgers(),
        *dropped_slides(run),
        *new_patients_pages(run),
    ]


def dropped_slides(run: Run) -> list[str]:
    """Records of the deletion of slides that are not kept."""
    return [
        run.at(GdcStatus, cohort=cohort, step="dropped", shard=shard)
        for cohort in run.cohorts
        if run.own_encoders(cohort) and not run.config["cohorts"][cohort]["slides"].get("gdc", {}).get("keep", True)
        for shard in run.shards
    ]
