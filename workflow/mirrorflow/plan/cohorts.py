"""Inputs and params of the cohort, its expression and its folds."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mirrorflow.config.datasets import fold_files
from mirrorflow.config.modalities import names_of_slides
from mirrorflow.config.queries import (
    inner_prefixes,
    selection_of,
    split_source,
)
from mirrorflow.config.resources import OUR_INSTITUTIONS, TCGA_SITES, resource_digest
from mirrorflow.plan.files import file_state, given, is_users, marked
from mirrorflow.plan.paths import CohortFile, SplitFile
from mirrorflow.plan.records import planned
from mirrorflow.plan.run import Run
from mirrorflow.plan.store_paths import ExpressionPlan
from mirrorflow.plan.wildcards import Wildcards, has
from mirrorflow.store.sheet_rows import patients_digest


@dataclass(frozen=True, eq=False)
class CohortInputs:
    """Who is in a cohort, and what was measured of them."""

    run: Run

    def clinical_files(self, wildcards: Wildcards) -> list[str]:
        """Input: files of the config's section `clinical`."""
        return [marked(path, self.run.store) for path in self._clinical_paths(wildcards)]

    def given(self, wildcards: Wildcards) -> dict[str, str]:
        """Param: state of the files that build_cohort reads and a user gave."""
        named = self.institutions(wildcards)
        return given([*self._clinical_paths(wildcards), *([named] if isinstance(named, str) else [])], self.run.store)

    def _clinical_paths(self, wildcards: Wildcards) -> list[str]:
        clinical = self.run.cohort(wildcards.cohort)["clinical"]
        named = [clinical[key] for key in ("sheet", "survival", "matrix") if key in clinical]
        return [path for paths in named for path in ([paths] if isinstance(paths, str) else paths)]

    def clinical(self, wildcards: Wildcards) -> dict[str, Any]:
        """Param: the config's section `clinical`."""
        return self.run.cohort(wildcards.cohort)["clinical"]

    def encoders(self, wildcards: Wildcards) -> list[str]:
        """Param: the cohort's encoders."""
        return self.run.cohort(wildcards.cohort)["encoders"]

    def institutions(self, wildcards: Wildcards) -> str | list[str]:
        """Input: the user's table of institutions; ours is among the params (``settings``)."""
        named = self.run.cohort(wildcards.cohort).get("institutions", [])
        return [] if named in ([], OUR_INSTITUTIONS) else marked(named, self.run.store)

    def settings(self, wildcards: Wildcards) -> dict[str, Any]:
        """Param: what of a cohort's entry build_cohort uses, with the digest of a table that comes with mirrorflow."""
        entry = self.run.cohort(wildcards.cohort)
        named = ("classes", "site", "institutions", "train_on")
        settings: dict[str, Any] = {key: entry[key] for key in named if key in entry}
        if settings.get("institutions") == OUR_INSTITUTIONS:
            settings["table"] = resource_digest(TCGA_SITES)
        return settings

    def simulation(self, wildcards: Wildcards) -> dict[str, Any]:
        """Param: what a simulated cohort is like."""
        return self.run.config["simulate"][wildcards.name]

    def file(self, wildcards: Wildcards) -> str:
        """Input: the cohort's patients; of a pair the target's."""
        return self.run.at(CohortFile, cohort=self.run.home_of(wildcards.cohort))

    # expression

    def _source(self, wildcards: Wildcards) -> dict[str, Any]:
        return self.run.config["expression"]["sources"][wildcards.source]

    def matrix(self, wildcards: Wildcards) -> str:
        """Input: the matrix of an expression source."""
        return marked(self._source(wildcards)["matrix"], self.run.store)

    def probemap(self, wildcards: Wildcards) -> str | list[str]:
        """Input: its probe map, if it has one."""
        named = self._source(wildcards).get("probemap")
        return marked(named, self.run.store) if named else []

    def given_expression(self, wildcards: Wildcards) -> dict[str, str]:
        """Param: state of the matrix and the probe map, where a user gave them."""
        source = self._source(wildcards)
        return given([source[key] for key in ("matrix", "probemap") if source.get(key)], self.run.store)

    def expression_settings(self, wildcards: Wildcards) -> dict[str, Any]:
        """Param: how the matrix is to be read."""
        source = self._source(wildcards)
        return {key: source[key] for key in ("orientation", "sample_ids", "transform") if key in source}

    def expression_record(self, source: str, cohort: str) -> dict[str, Any]:
        """What a cohort's expression is planned with: how the matrix is read, which one it is, for which patients.

        Of a sheet or matrix that the workflow makes itself nothing is known before it is there: it has no keys here.
        """
        entry = self.run.config["expression"]["sources"][source]
        probemap = entry.get("probemap")
        settings: dict[str, Any] = {
            "orientation": entry["orientation"],
            "sample_ids": entry["sample_ids"],
            "matrix": Path(entry["matrix"]).name,
            "probemap": Path(probemap).name if probemap else None,
            **({"transform": entry["transform"]} if "transform" in entry else {}),
        }
        if named := self._names_of(cohort):
            settings["patients"] = patients_digest(*named)
        if is_users(entry["matrix"], self.run.store):
            size, _, date = file_state(entry["matrix"]).partition("-")
            settings |= {"bytes": size, "date": date}
        return planned(self.run.at(ExpressionPlan, source=source, cohort=cohort), settings)

    def _names_of(self, cohort: str) -> tuple[str, dict[str, str]] | None:
        """The user's sheet that names the patients of the matrix, and its columns: of slides, or of patients."""
        entry = self.run.cohort(cohort)
        found = entry["slides"] if names_of_slides(entry) else entry["clinical"]
        own = "sheet" in found and is_users(found["sheet"], self.run.store)
        return (found["sheet"], found["columns"]) if own else None

    def patients_of_matrix(self, wildcards: Wildcards) -> str | None:
        """Param: the patients that a user's sheet names, whose columns of the matrix are read."""
        named = self._names_of(wildcards.cohort)
        return patients_digest(*named) if named else None

    def clinical_of_matrix(self, wildcards: Wildcards) -> dict[str, Any] | None:
        """Param: the section `clinical` where it, not the sheet of slides, names the patients of the matrix."""
        entry = self.run.cohort(wildcards.cohort)
        return None if names_of_slides(entry) else entry["clinical"]

    def clinical_files_of_matrix(self, wildcards: Wildcards) -> list[str]:
        """Input: its files."""
        return [] if names_of_slides(self.run.cohort(wildcards.cohort)) else self.clinical_files(wildcards)

    def planned_expression(self, wildcards: Wildcards, threads: int) -> dict[str, Any]:
        """Param that re-runs nothing: the record that the job leaves."""
        return self.expression_record(wildcards.source, wildcards.cohort)

    def scaled_upstream(self, wildcards: Wildcards) -> bool:
        """Param: whether the config says that the cohort's matrix was scaled with all its samples."""
        source = self.run.cohort(wildcards.cohort).get("expression")
        return source is not None and self.run.config["expression"]["sources"][source]["scaled_upstream"]

    def site_kind(self, wildcards: Wildcards) -> str:
        """Param: where sites come from."""
        entry = self.run.cohort(wildcards.cohort)
        return "institutions" if "institutions" in entry else entry["site"]


@dataclass(frozen=True, eq=False)
class SplitInputs:
    """Split files of a model scope, of its folds and inner folds."""

    run: Run

    def folder(self, wildcards: Wildcards) -> str | None:
        """Param: folder of split files when the model scope reads its folds, else nothing."""
        return split_source(self.run.cohort(wildcards.cohort), self.kind(wildcards))

    def kind(self, wildcards: Wildcards) -> str:
        """Param: where the folds of a model scope come from."""
        return self.run.scope_keys(wildcards.scope)["splits"]

    def files(self, wildcards: Wildcards) -> list[str]:
        """Input: the split files a model scope reads."""
        folder = self.folder(wildcards)
        return [marked(path, self.run.store) for path in self._paths(folder)]

    def given(self, wildcards: Wildcards) -> dict[str, str]:
        """Param: state of the split files that a user gave."""
        return given(self._paths(self.folder(wildcards)), self.run.store)

    def _paths(self, folder: str | None) -> list[str]:
        return [path for fold in self.run.folds for path in fold_files(folder, fold)] if folder else []

    def outer(self) -> list[str]:
        """Output: split files of every fold."""
        return [self.run.at(SplitFile, inner="", fold=fold) for fold in self.run.folds]

    def inner(self) -> list[str]:
        """Output: split files of every inner fold, fold after fold."""
        numbers = range(self.run.config["splits"]["inner_folds"])
        return [
            self.run.at(SplitFile, inner=f"inner{number}-", fold=fold) for number in numbers for fold in self.run.folds
        ]

    def drawn(self) -> dict[str, int]:
        """Param: how many folds there are. Fewer outputs than before are no change to Snakemake."""
        return {"folds": len(self.run.folds)}

    def inner_drawn(self) -> dict[str, int]:
        """Param: how many inner folds there are, as :meth:`drawn`."""
        return {"inner_folds": self.run.config["splits"]["inner_folds"]}

    def inner_settings(self) -> dict[str, Any]:
        """Param: how inner folds are drawn, and how many of each class a gene selection by labels needs."""
        by_labels = any(selection_of(self.run.config, name)["method"] == "rfe" for name in self.run.methods)
        return {"seed": self.run.config["splits"]["seed"], "per_class": 2 if by_labels else 0}

    def support_settings(self, wildcards: Wildcards) -> dict[str, Any]:
        """Param: which support sets are drawn."""
        config = self.run.config
        return {
            "unit": self.run.unit(wildcards),
            "shots": config["evaluation"]["shots"],
            "bins": config["probe"]["survival_bins"],
            "seed": config["splits"]["seed"],
        }

    def fitted(self, wildcards: Wildcards) -> str | list[str]:
        """Input: split files whose training patients genes and models are fitted on: of one fold, or of every fold
        of a job.
        """
        # split files of inner folds begin as their genes do
        inner = wildcards.genes if wildcards.genes.startswith("inner") else ""
        where = {"scope": wildcards.scope, "cohort": wildcards.cohort, "inner": inner}
        if has(wildcards, "fold"):
            return self.run.at(SplitFile, **where, fold=wildcards.fold)
        return [self.run.at(SplitFile, **where, fold=fold) for fold in self.run.folds]

    def of_protocol(self, wildcards: Wildcards, prefix: str = "") -> list[str]:
        """Input: split files of the protocol's model scope; ``prefix`` picks those of an inner fold."""
        scope, cohort = self.run.scope(wildcards), self.run.home_of(wildcards.cohort)
        return [self.run.at(SplitFile, scope=scope, cohort=cohort, inner=prefix, fold=fold) for fold in self.run.folds]

    def inner_of_protocol(self, wildcards: Wildcards) -> list[str]:
        """Input: split files of each inner fold on which the protocol chooses its epoch."""
        prefixes = inner_prefixes(self.run.config, self.run.protocol(wildcards))
        return [path for prefix in prefixes for path in self.of_protocol(wildcards, prefix)]
