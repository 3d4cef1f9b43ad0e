"""Inputs and params of tables, figures and the report."""

from dataclasses import dataclass
from typing import Any

from mirrorflow.config.modalities import reference_of
from mirrorflow.config.primary import primary_place
from mirrorflow.config.protocols import SINGLE_CHANGE
from mirrorflow.config.queries import CAUSE_SPECIFIC, encoders_of, endpoint_of, selection_of
from mirrorflow.config.resources import listed_titles
from mirrorflow.plan.causes import cause_specific
from mirrorflow.plan.field import field_cohorts
from mirrorflow.plan.files import marked
from mirrorflow.plan.genes import GeneInputs
from mirrorflow.plan.models import ModelInputs
from mirrorflow.plan.paths import (
    CohortFile,
    CohortSheet,
    FiguresFolder,
    MainTable,
    SensitivitySheet,
    SplitSummary,
    TableFile,
    TrainingFoldsSheet,
)
from mirrorflow.plan.predictions import PredictionInputs
from mirrorflow.plan.run import Run
from mirrorflow.plan.store_paths import ExpressionFile
from mirrorflow.plan.wildcards import Wildcards
from mirrorflow.tables.compared import disease_specific, settings_compared
from mirrorflow.tables.further import MAIN_TITLES, wanted_tables

MAIN_TASKS = tuple(MAIN_TITLES)


@dataclass(frozen=True, eq=False)
class TableInputs:
    """Predictions to metrics to tables."""

    run: Run

    @property
    def titles(self) -> dict[str, str]:
        """Param: titles of cohorts, as the config has them; with the name of a cause-specific outcome behind them."""
        ends = {name: endpoint_of(entry) for name, entry in self.run.config["cohorts"].items()}
        listed = listed_titles("cohort") if any(ends.values()) else {}
        return self.own_titles | {
            name: f"{self.own_titles.get(name) or listed.get(name, name)} ({said}, {CAUSE_SPECIFIC})"
            for name, said in ends.items()
            if said
        }

    @property
    def own_titles(self) -> dict[str, str]:
        """Param: titles of cohorts, as the config has them."""
        return {name: entry["title"] for name, entry in self.run.config["cohorts"].items() if "title" in entry}

    def _bootstrap(self, *more: str) -> dict[str, Any]:
        return {key: self.run.config["evaluation"][key] for key in ("bootstrap", "confidence", "seed", *more)}

    def evaluate_settings(self, wildcards: Wildcards) -> dict[str, Any]:
        """Param: how predictions are scored. No comparison with another reference than the named one is primary."""
        config, run = self.run.config, self.run
        reference = reference_of(config, run.home_of(wildcards.cohort))
        named = reference == config["evaluation"]["reference"]
        trained = {name: config["methods"][name]["train"]["label_smoothing"] for name in run.supervised}
        return {
            **self._bootstrap(),
            "reference": reference,
            "primary": primary_place(config) if named else {},
            "strict": config["strict"],
            "label_smoothing": {
                **dict.fromkeys(run.pretrained, config["probe"]["label_smoothing"]),
                **trained,
            },
        }

    @property
    def dss(self) -> list[str]:
        """Param: cohorts whose outcome is disease-specific survival."""
        return sorted(disease_specific(settings_compared(self.run.config)))

    def main(self, ending: str) -> list[str]:
        """The main tables."""
        return [self.run.at(MainTable, task=task, ending=ending) for task in MAIN_TASKS]

    @property
    def further_names(self) -> list[str]:
        """Tables beyond the main ones that this run has rows for, that of optimism apart."""
        evaluation = self.run.config["evaluation"]
        return wanted_tables(self.run.methods, self.run.every_cohort, evaluation["shots"], evaluation["tasks"])

    def further(self) -> list[str]:
        """Tables beyond the main ones, each in its three forms."""
        config = self.run.config
        beside = {
            "optimism": config["evaluation"]["optimism"],
            "cause_bounds": cause_specific(config),
            "survival_field": field_cohorts(config),
        }
        names = [*self.further_names, *(name for name, wanted in beside.items() if wanted)]
        return [self.run.at(TableFile, name=name, ending=ending) for name in names for ending in ("csv", "md", "tex")]

    def made(self, ending: str) -> list[str]:
        """Output: the main tables and those beyond them, in one form."""
        return [*self.main(ending), *(self.run.at(TableFile, name=name, ending=ending) for name in self.further_names)]

    # optimism

    @property
    def _optimism(self) -> dict[str, Any]:
        return self.run.config["evaluation"]["optimism"] or {}

    def _optimism_protocols(self) -> list[str]:
        """The base, each change by itself, and all of them together; nothing without an optimism table."""
        chosen = self._optimism
        return [chosen["base"], *self.run.single_changes, chosen["against"]] if chosen else []

    def optimism_manifests(self) -> list[str]:
        """Input: manifests of the protocols of the optimism table, on cohorts with patients of their own."""
        return [
            path
            for protocol in self._optimism_protocols()
            for cohort in self.run.cohorts
            for path in self.run.manifests(protocol, cohort)
        ]

    def planned_optimism(self, wildcards: Wildcards, threads: int) -> list[dict[str, Any]]:
        """Param that re-runs nothing: records that these predictions should have."""
        return PredictionInputs(self.run).records_of(self.optimism_manifests())

    def optimism_cohorts(self) -> list[str]:
        """Input: patients of each cohort with patients of its own, in the order of the run."""
        return [self.run.at(CohortFile, cohort=cohort) for cohort in self.run.cohorts]

    def single_changes(self) -> dict[str, str | None]:
        """Param: what is changed, by the protocol that changes it."""
        changes = {name.removeprefix(SINGLE_CHANGE): name for name in self.run.single_changes}
        return {**changes, "all together": self._optimism.get("against")}

    def optimism_settings(self) -> dict[str, Any]:
        """Param: how differences are resampled, and what the protocols are."""
        protocols = self.run.config["protocols"]
        return {
            **self._bootstrap(),
            "base": self._optimism.get("base"),
            "protocols": {name: protocols[name] for name in self._optimism_protocols()},
            "titles": self.titles,
        }

    # on request

    def pretrained_cases(self) -> list[dict[str, str]]:
        """Param: every pretrained method under every protocol, cohort and encoder; single-setting changes apart."""
        run = self.run
        return [
            {"protocol": protocol, "cohort": cohort, "encoder": encoder, "method": method}
            for protocol in run.whole_protocols
            for cohort in run.cohorts
            for method in run.pretrained
            for encoder in encoders_of(run.config, cohort, method)
        ]

    def sensitivity_sheets(self) -> list[str]:
        """Input: a sheet a case."""
        return [self.run.at(SensitivitySheet, **case) for case in self.pretrained_cases()]

    def survival_cases(self) -> list[dict[str, str]]:
        """Param: the pretrained methods whose survival probes the run has."""
        if "survival" not in self.run.config["evaluation"]["tasks"]:
            return []
        methods = self.run.config["methods"]
        return [case for case in self.pretrained_cases() if "survival" in methods[case["method"]]["tasks"]]

    def training_folds_sheets(self) -> list[str]:
        """Input: a sheet a case."""
        return [self.run.at(TrainingFoldsSheet, **case) for case in self.survival_cases()]


@dataclass(frozen=True, eq=False)
class ReportInputs:
    """The report: everything of a run."""

    run: Run
    genes: GeneInputs
    models: ModelInputs

    def cohorts(self) -> list[str]:
        """Input: patients of every cohort."""
        return [self.run.at(CohortFile, cohort=cohort) for cohort in self.run.cohorts]

    def beside_cohorts(self) -> list[str]:
        """Input: who is left after each step, and who was dropped."""
        names = ("flow", "dropped")
        return [self.run.at(CohortSheet, cohort=cohort, name=name) for cohort in self.run.cohorts for name in names]

    def summaries(self) -> list[str]:
        """Input: what folds hold."""
        run = self.run
        return [run.at(SplitSummary, scope=scope, cohort=cohort) for scope in run.scopes for cohort in run.cohorts]

    def gene_manifests(self) -> list[str]:
        """Input: the run's genes of every model scope and cohort."""
        return self.genes.of_every_scope(self.run.cohorts)

    def _sets(self) -> list[str]:
        methods = self.run.config["methods"]
        own = [entry["gene_sets"] for entry in methods.values() if entry.get("gene_sets", "random") != "random"]
        chosen = [selection_of(self.run.config, name) for name, entry in methods.items() if "rna" in entry["inputs"]]
        shared = [one["gene_sets"] for one in chosen if one["method"] in ("families", "pathways")]
        return sorted({*own, *shared})

    def gene_sets(self) -> list[str]:
        """Input: files of gene sets that a method or a gene selection of the run takes."""
        return [marked(path, self.run.store) for path in self._sets()]

    def expressions(self) -> list[str]:
        """Input: expression of the cohorts whose genes these sets are counted in; nothing without sets."""
        names = self.run.with_rna if self._sets() else ()
        return [self.run.at(ExpressionFile, source=self.run.cohort(name)["expression"], cohort=name) for name in names]

    def history(self) -> list[str]:
        """Input: records of the pretrained models."""
        return [record for cohort in self.run.cohorts for record in self.models.of_cohort(cohort)]

    def figures(self) -> list[str]:
        """Input: figures of cohorts and adapted pairs."""
        return [self.run.at(FiguresFolder, cohort=cohort) for cohort in self.run.every_cohort]

    def predictions(self) -> list[str]:
        """Input: manifests of the predictions on cohorts with patients of their own, single-setting changes apart."""
        run = self.run
        return [
            path
            for protocol, cohort in run.evaluated()
            if protocol in run.whole_protocols and cohort in run.cohorts
            for path in run.manifests(protocol, cohort)
        ]

    def planned(self, wildcards: Wildcards, threads: int) -> list[dict[str, Any]]:
        """Param that re-runs nothing: records that the predictions of these manifests should have."""
        return PredictionInputs(self.run).records_of(self.predictions())
