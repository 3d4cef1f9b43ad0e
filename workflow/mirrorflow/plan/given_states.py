"""What the user's own files held when shards, cohorts and tables were made of them, noted beside what was made.

Snakemake notes the same in ``.snakemake``, in the folder that a run was started in. Where those notes are missing (a
store that is shared, a project that was copied without them) an added slide or a corrected table would start nothing.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from mirrorflow.config import versions
from mirrorflow.config.datasets import fold_files
from mirrorflow.plan.cohorts import CohortInputs
from mirrorflow.plan.files import ABSENT, file_state, is_users
from mirrorflow.plan.genes import gene_lists
from mirrorflow.plan.given_paths import CohortGiven, FeaturesGiven, ResultsGiven, SlidesGiven
from mirrorflow.plan.paths import CohortFile, FeatureIndex, TableFile
from mirrorflow.plan.records import content_digest, planned
from mirrorflow.plan.run import Run
from mirrorflow.plan.slides import SlideInputs
from mirrorflow.plan.store_paths import PatchStatus
from mirrorflow.plan.wildcards import Wildcards

SMALL = 8 << 20
"""Bytes of a file whose content is looked at when planning; of a larger one its size."""

IN_TABLE = (
    *("INDEX", "EXPRESSION", "COHORT", "SPLITS", "SELECTION", "PRETRAIN", "EMBED", "PROBE", "BASELINES", "SUPERVISED"),
    *(
        "ADAPTATION",
        "HAZARDS_CHOICE",
        "SPARED_VECTORS",
        "COX_NETWORKS",
        "UNDEFINED_CHOICE",
        "AUDIT",
        "METRICS",
        "TABLES",
    ),
)
"""Versions of what comes before the long table (:mod:`mirrorflow.config.versions`)."""

Noted = dict[str, Any]
"""A record (:func:`mirrorflow.plan.records.planned`)."""
Held = tuple[str, Callable[[], list[Noted]]]
"""An output, and what asks for its records as this run would write them."""


@dataclass(frozen=True, eq=False)
class GivenStates:
    """Records of the user's own files, each written by the job that reads them.

    Dates do not count: copies have new ones.
    """

    run: Run
    cohorts: CohortInputs
    slides: SlideInputs

    def of_shard(self, wildcards: Wildcards, threads: int) -> list[Noted]:
        """Param that re-runs nothing: rows and sizes of the slide files of a shard, where the sheet is the user's."""
        rows = self.slides.slides_digest(wildcards.cohort, int(wildcards.shard), len(self.run.shards))
        if rows is None:
            return []
        sizes = self.slides.sizes(wildcards.cohort, int(wildcards.shard))
        where = {"cohort": wildcards.cohort, "patching": wildcards.patching, "shard": wildcards.shard}
        return [planned(self.run.at(SlidesGiven, **where), {"rows": rows, "slides": sizes})]

    def of_features(self, wildcards: Wildcards, threads: int) -> list[Noted]:
        """Param that re-runs nothing: rows of the user's sheet, and what files of features made elsewhere hold."""
        settings: dict[str, Any] = {"version": versions.INDEX}
        if (features := self.slides.feature_sizes(wildcards)) != ABSENT:  # a copy may leave them where they are
            settings["features"] = features
        if (rows := self.slides.slides_digest(wildcards.cohort)) is not None:
            settings["rows"] = rows
        path = self.run.at(FeaturesGiven, cohort=wildcards.cohort, encoder=wildcards.encoder)
        return [planned(path, settings)]

    def of_cohort(self, wildcards: Wildcards, threads: int) -> list[Noted]:
        """Param that re-runs nothing: the clinical files and the table of institutions."""
        files = states(self.cohorts.given(wildcards))
        path = self.run.at(CohortGiven, cohort=wildcards.cohort)
        return [planned(path, {"version": versions.COHORT, "files": files})]

    def of_results(self, wildcards: Wildcards, threads: int) -> list[Noted]:
        """Param that re-runs nothing: split files and lists of genes of all cohorts, and versions of what computes."""
        files = {cohort: states(self._lists_and_splits(cohort)) for cohort in self.run.cohorts}
        numbers = {name: getattr(versions, name) for name in IN_TABLE}
        return [planned(self.run.at(ResultsGiven), {"versions": numbers, "files": files})]

    def _lists_and_splits(self, cohort: str) -> list[str]:
        sources = self.run.cohort(cohort)["splits"].values()
        splits = [path for source in sources for fold in self.run.folds for path in fold_files(source, fold)]
        return [path for path in [*gene_lists(self.run, cohort), *splits] if is_users(path, self.run.store)]

    # held when planning

    def in_store(self) -> Iterator[Held]:
        """Status files of patched shards."""
        for cohort in self.run.cohorts:
            for patching in self.run.patchings(cohort):
                for shard in self.run.shards:
                    where = {"cohort": cohort, "patching": patching, "shard": shard}
                    yield self.run.at(PatchStatus, **where), partial(self.of_shard, _Where(where), 1)

    def in_results(self) -> Iterator[Held]:
        """Cohorts, indexes of features and the long table."""
        for cohort in self.run.cohorts:
            yield self.run.at(CohortFile, cohort=cohort), partial(self.of_cohort, _Where({"cohort": cohort}), 1)
            for encoder in self.run.cohort(cohort)["encoders"]:
                where = {"cohort": cohort, "encoder": encoder}
                yield self.run.at(FeatureIndex, **where), partial(self.of_features, _Where(where), 1)
        yield self.run.at(TableFile, name="results", ending="csv"), partial(self.of_results, _Where({}), 1)


class _Where:
    """A rule's wildcards."""

    def __init__(self, values: Mapping[str, Any]) -> None:
        self.__dict__.update({name: str(value) for name, value in values.items()})

    def __getattr__(self, name: str) -> str:
        raise AttributeError(name)


def states(paths: Iterable[str]) -> dict[str, str]:
    """Name -> content of small files that are there, size of large ones; files of one name together.

    The name alone: a project that was moved is the same.
    """
    found: dict[str, list[str]] = {}
    for path in sorted(set(paths)):
        if (state := _state(path)) != ABSENT:
            found.setdefault(Path(path).name, []).append(state)
    return {name: ", ".join(sorted(held)) for name, held in found.items()}


def _state(path: str) -> str:
    """Sixteen digits for the content of a small file, ``<n> bytes`` of a large one."""
    size, _, date = file_state(path).partition("-")
    if not date:
        return ABSENT
    return content_digest(path) if int(size) <= SMALL else f"{size} bytes"
