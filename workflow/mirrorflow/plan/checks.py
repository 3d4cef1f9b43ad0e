"""Held together when planning: what lies in the store and among the results, and this run's settings.

A few small records a cohort, encoder, preset, source and method; no file of data is read, but for a matrix whose date
alone is new.
"""

import json
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mirrorflow.errors import SettingsMismatchError
from mirrorflow.plan.cohorts import CohortInputs
from mirrorflow.plan.given_states import GivenStates, Held
from mirrorflow.plan.predictions import PredictionInputs
from mirrorflow.plan.records import STORE_FIX, compare, content_digest, hold, is_noted, is_replaced, read_plan
from mirrorflow.plan.run import Run
from mirrorflow.plan.slides import SlideInputs
from mirrorflow.plan.store_paths import ExpressionFile, ExpressionRecord, delete_hint, made_from_slides
from mirrorflow.plan.wildcards import Wildcards, has

JOB = "--target-jobs"
"""What Snakemake asks the process of one job for (on a cluster): the process that planned it has decided already."""
CONVERT = "convert_expression"
FORCED = ("-R", "--forcerun", "-F", "--forceall")
CLEAN = "`mirrorflow clean --what masks` (or features) with this config lists them; with --yes it deletes them."
RESULTS_FIX = (
    "Snakemake has no notes of these results here (.snakemake), so it would remake tables from them as they are: run "
    "once with `--forceall` (finished work that is still valid is kept), or give the run another name (`run:`)."
)

SLIDES_FIX = (
    "The sheet of slides (rows) or the slides themselves are others than those that these patches were made of, and "
    "Snakemake has no notes of them here (.snakemake), so nothing would run again: run once with `--forcerun "
    "patch_slides` (slides that are still the same are kept), or use another store."
)
GIVEN_FIX = (
    "Files of yours, or the version of mirrorflow, are others than those that these results were made with, and "
    "Snakemake has no notes of the results here (.snakemake), so nothing would run again: run once with `--forceall` "
    "(finished work that is still valid is kept), or give the run another name (`run:`)."
)


def is_left_alone(output: str) -> bool:
    """Whether an output is there and Snakemake has no notes of it in this folder: no change would start its job."""
    return Path(output).exists() and not is_noted(output)


@dataclass(frozen=True, eq=False)
class StoredChecks:
    """What a run holds when it is planned, and what its jobs hold again where they read."""

    run: Run
    cohorts: CohortInputs
    slides: SlideInputs
    predictions: PredictionInputs

    def hold(self, arguments: Sequence[str] | None = None) -> None:
        """Raise SettingsMismatchError where something stored was made with other settings and nothing would say so.

        arguments: of Snakemake; by default this process's.
        """
        arguments = sys.argv[1:] if arguments is None else arguments
        self._hold_slides()
        for cohort in self.run.with_rna:
            self._hold_expression(cohort, arguments)
        if not any(argument.startswith((*FORCED, JOB)) for argument in arguments):
            self._hold_results()
            given = GivenStates(self.run, self.cohorts, self.slides)
            _hold_given(given.in_store(), SLIDES_FIX, lambda output: is_left_alone(output) or is_replaced(output))
            _hold_given(given.in_results(), GIVEN_FIX, is_left_alone)

    # held again by the job that reads it

    def expression(self, wildcards: Wildcards, threads: int) -> list[dict[str, Any]]:
        """Param that re-runs nothing: the record of the expression that a job reads; a new date alone is none."""
        cohort = self.run.home_of(wildcards.cohort)
        return [self._expression(cohort)] if cohort in self.run.with_rna else []

    def expression_of_all(self, wildcards: Wildcards, threads: int) -> list[dict[str, Any]]:
        """Param that re-runs nothing: that of every cohort."""
        return [self._expression(cohort) for cohort in self.run.with_rna]

    def _expression(self, cohort: str) -> dict[str, Any]:
        record = self.cohorts.expression_record(self.run.cohort(cohort)["expression"], cohort)
        settings = {key: value for key, value in record["settings"].items() if key != "date"}
        return {**record, "settings": settings}

    def features(self, wildcards: Wildcards, threads: int) -> list[dict[str, Any]]:
        """Param that re-runs nothing: records of the features made here that a job reads, of one or all encoders."""
        cohort = self.run.home_of(wildcards.cohort)
        asked = [wildcards.encoder] if has(wildcards, "encoder") else None
        names = [name for name in self.run.own_encoders(cohort) if asked is None or name in asked]
        return [self.slides.feature_record(cohort, name) for name in names]

    def both(self, wildcards: Wildcards, threads: int) -> list[dict[str, Any]]:
        """Param that re-runs nothing: records of the features and the expression that a job reads."""
        return [*self.features(wildcards, threads), *self.expression(wildcards, threads)]

    def patches(self, wildcards: Wildcards, threads: int) -> list[dict[str, Any]]:
        """Param that re-runs nothing: the record of the patches that a job reads."""
        return [self.slides.patch_record(wildcards.cohort, wildcards.patching)]

    # held when planning

    def _hold_slides(self) -> None:
        """All that differs at once, with every folder that depends on it."""
        refused = self._refused_slides()
        if refused:
            folders = [folder for one in refused for folder in made_from_slides(one)]
            raise SettingsMismatchError("\n".join([*refused.values(), delete_hint(folders), CLEAN, STORE_FIX]))

    def _refused_slides(self) -> dict[Path, str]:
        """Folder -> why what lies there is of other settings."""
        refused = {}
        for record in self._slides():
            try:
                hold(record)
            except SettingsMismatchError as error:
                refused[Path(record["path"]).parent] = str(error)
        return refused

    def outdated_slides(self) -> dict[Path, str]:
        """Folder of patches or features that is to be made again -> the settings that differ, in a line.

        Features made of outdated patches are among them.
        """
        found: dict[Path, str] = {}
        for folder, error in self._refused_slides().items():
            why = "; ".join(line.strip() for line in error.splitlines()[1:] if ": made with" in line)
            for one in made_from_slides(folder):
                found.setdefault(one, why if one == folder else f"made of {folder}")
        return found

    def _slides(self) -> Iterator[dict[str, Any]]:
        """Records of patches and features: their jobs refuse other settings, too, where they start."""
        for cohort in self.run.cohorts:
            for patching in self.run.patchings(cohort):
                yield self.slides.patch_record(cohort, patching)
            for encoder in self.run.own_encoders(cohort):
                yield self.slides.feature_record(cohort, encoder)

    def _hold_expression(self, cohort: str, arguments: Sequence[str] = ()) -> None:
        source = self.run.cohort(cohort)["expression"]
        record = self.cohorts.expression_record(source, cohort)
        stored, wanted = read_plan(record["path"]), dict(record["settings"])
        output = self.run.at(ExpressionFile, source=source, cohort=cohort)
        if stored is None or not (is_left_alone(output) or is_replaced(output)):
            return
        dates = stored.pop("date", None), wanted.pop("date", None)
        compare(record["path"], stored, wanted, STORE_FIX)
        if None not in dates and dates[0] != dates[1] and not any(CONVERT in argument for argument in arguments):
            self._hold_content(source, cohort)

    def _hold_content(self, source: str, cohort: str) -> None:
        """A matrix of the same name and size with another date: its content decides."""
        matrix = self.run.config["expression"]["sources"][source]["matrix"]
        place = self.run.at(ExpressionRecord, source=source, cohort=cohort)
        try:
            stored = json.loads(Path(place).read_text(encoding="utf-8"))["settings"]["matrix_sha256"]
        except (OSError, ValueError, KeyError):
            return
        if Path(matrix).exists() and content_digest(matrix) != stored:
            message = (
                f"{place}: made of content {stored} of {matrix}, which now holds {content_digest(matrix)}. {STORE_FIX} "
                f"To make it again in its place: `--forcerun {CONVERT}`."
            )
            raise SettingsMismatchError(message)

    def _hold_results(self) -> None:
        for protocol, cohort in self.run.evaluated():
            alone = filter(is_left_alone, self.run.manifests(protocol, cohort))
            for record in self.predictions.records_of(alone):
                hold(record, RESULTS_FIX)


def _hold_given(held: Iterable[Held], fix: str, is_kept: Callable[[str], bool]) -> None:
    """Raise SettingsMismatchError where an output that no change would start again (``is_kept``) was made of others."""
    for output, records in held:
        if is_kept(output):
            for record in records():
                hold(record, fix)
