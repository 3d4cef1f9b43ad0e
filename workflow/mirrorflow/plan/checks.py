"""Held together when planning: what lies in the store and among the results, and this run's settings.

A few small records a cohort, encoder, preset, source and method; no file of data is read, but for a matrix whose date
alone is new.
"""

import json
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mirrorflow.errors import SettingsMismatchError
from mirrorflow.plan.cohorts import CohortInputs
from mirrorflow.plan.paths import PredictionsManifest
from mirrorflow.plan.predictions import PredictionInputs
from mirrorflow.plan.records import content_digest, hold, is_noted, read_plan
from mirrorflow.plan.run import Run
from mirrorflow.plan.slides import SlideInputs
from mirrorflow.plan.store_paths import ExpressionFile, ExpressionRecord

FORCED = ("-R", "--forcerun", "-F", "--forceall")
STORE_FIX = "Another run made it in this store; a run with other settings needs another name or store."
RESULTS_FIX = (
    "Snakemake has no notes of these results here (.snakemake), so it would remake tables from them as they are: run "
    "once with `--forceall` (finished work that is still valid is kept), or give the run another name (`run:`)."
)


@dataclass(frozen=True, eq=False)
class StoredChecks:
    """The checks of a run."""

    run: Run
    cohorts: CohortInputs
    slides: SlideInputs
    predictions: PredictionInputs

    def hold(self, arguments: Sequence[str] = tuple(sys.argv[1:])) -> None:
        """Raise SettingsMismatchError where something stored was made with other settings and nothing would say so."""
        for record in self._slides():
            hold(record, STORE_FIX)
        for cohort in self.run.cohorts:
            self._hold_expression(cohort)
        if not any(argument.startswith(FORCED) for argument in arguments):
            self._hold_results()

    def _slides(self) -> Iterator[dict[str, Any]]:
        """Records of patches and features: their jobs refuse other settings, too, where they start."""
        for cohort in self.run.cohorts:
            for patching in self.run.patchings(cohort):
                yield self.slides.patch_record(cohort, patching)
            for encoder in self.run.own_encoders(cohort):
                yield self.slides.feature_record(cohort, encoder)

    def _hold_expression(self, cohort: str) -> None:
        source = self.run.cohort(cohort)["expression"]
        record = self.cohorts.expression_record(source, cohort)
        stored = read_plan(record["path"])
        if stored is None or is_noted(self.run.at(ExpressionFile, source=source, cohort=cohort)):
            return
        wanted = dict(record["settings"])
        if wanted.pop("date") != stored.pop("date", None) and wanted == stored:
            self._hold_content(source, cohort)
        hold({"path": record["path"], "settings": record["settings"] | {"date": read_date(record["path"])}}, STORE_FIX)

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
                "To make it again in its place: `--forcerun convert_expression`."
            )
            raise SettingsMismatchError(message)

    def _hold_results(self) -> None:
        for protocol, cohort in self.run.evaluated():
            for path in self.run.manifests(protocol, cohort):
                if not is_noted(path):
                    hold(self.predictions.record_of(PredictionsManifest.parse(path)), RESULTS_FIX)


def read_date(path: str) -> Any:
    """The date in the record of a matrix: it is no setting."""
    return (read_plan(path) or {}).get("date")
