"""Inputs and params of a cohort's figures."""

from dataclasses import dataclass
from typing import Any

from mirrorflow.config.protocols import scope_of
from mirrorflow.plan.cohorts import CohortInputs
from mirrorflow.plan.contract_path import ContractPath
from mirrorflow.plan.genes import GeneInputs
from mirrorflow.plan.models import ModelInputs
from mirrorflow.plan.paths import CohortSheet, PredictionsManifest, SplitFile
from mirrorflow.plan.predictions import PredictionInputs
from mirrorflow.plan.run import Run
from mirrorflow.plan.store_paths import Ledger
from mirrorflow.plan.wildcards import Wildcards

MOST_RESAMPLES = 500
"""For the bands of curves: more are not seen in a picture."""


@dataclass(frozen=True, order=True)
class PermutedRecord(ContractPath):
    """How a method does where outcomes were traded."""

    protocol: str
    cohort: str
    encoder: str
    method: str
    TEMPLATE = "permuted/{protocol}/{cohort}/{encoder}/{method}.json"


@dataclass(frozen=True, eq=False)
class FigureInputs:
    """Figures of a cohort; an adapted pair has those of its results alone."""

    run: Run
    cohorts: CohortInputs
    genes: GeneInputs
    models: ModelInputs

    def _is_pair(self, wildcards: Wildcards) -> bool:
        return wildcards.cohort in self.run.adapted

    def flow(self, wildcards: Wildcards) -> str | list[str]:
        """Input: how many patients are left after each step."""
        return [] if self._is_pair(wildcards) else self.run.at(CohortSheet, cohort=wildcards.cohort, name="flow")

    def manifests(self, wildcards: Wildcards) -> list[str]:
        """Input: manifests of the methods whose curves are drawn."""
        return [
            path
            for protocol in self._protocols(wildcards)
            for path in self.run.manifests(protocol, wildcards.cohort)
            if any(PredictionsManifest.parse(path).method in names for names in self.by_task.values())
        ]

    def _protocols(self, wildcards: Wildcards) -> list[str]:
        """Those that the cohort is evaluated under, single-setting changes apart."""
        own = [protocol for protocol, cohort in self.run.evaluated() if cohort == wildcards.cohort]
        return [protocol for protocol in own if protocol in self.run.whole_protocols]

    @property
    def permutations(self) -> int:
        """Param: how often outcomes are traded."""
        return self.run.config["evaluation"].get("permutations", 0)

    def permuted(self, wildcards: Wildcards) -> list[str]:
        """Input: records of classical methods that predict survival; nothing where no outcome is traded."""
        cheap = set(self.by_task.get("survival", ())) & set(self.run.baselines)
        places = [PredictionsManifest.parse(path) for path in self.manifests(wildcards)]
        names = ("protocol", "cohort", "encoder", "method")
        return [
            self.run.at(PermutedRecord, **{name: getattr(place, name) for name in names})
            for place in places
            if self.permutations and place.method in cheap and self.run.config["methods"][place.method]["inputs"]
        ]

    def ledgers(self, wildcards: Wildcards) -> list[str]:
        """Input: ledgers of the slides, beside which pictures lie; none where features were made elsewhere."""
        cohort = self.run.home_of(wildcards.cohort)
        return [self.run.at(Ledger, cohort=cohort, patching=name) for name in self.run.patchings(cohort)]

    @property
    def by_task(self) -> dict[str, list[str]]:
        """Param: the methods that answer each task of the run."""
        methods = self.run.config["methods"].items()
        tasks = self.run.config["evaluation"]["tasks"]
        return {task: [name for name, entry in methods if task in entry["tasks"]] for task in tasks}

    def curves_of(self, wildcards: Wildcards) -> str:
        """Param: the protocol whose curves over thresholds and days are drawn, the config's first."""
        return self._protocols(wildcards)[0]

    def splits(self, wildcards: Wildcards) -> list[str]:
        """Input: its split files."""
        scope = scope_of(self.run.config["protocols"][self.curves_of(wildcards)])
        cohort = self.run.home_of(wildcards.cohort)
        return [self.run.at(SplitFile, scope=scope, cohort=cohort, inner="", fold=fold) for fold in self.run.folds]

    @property
    def bands(self) -> dict[str, Any]:
        """Param: how bands of curves are resampled."""
        settings = self.run.config["evaluation"]
        resamples = min(MOST_RESAMPLES, settings["bootstrap"])
        return {"resamples": resamples, "seed": settings["seed"], "confidence": settings["confidence"]}

    def planned(self, wildcards: Wildcards, threads: int) -> list[dict[str, Any]]:
        """Param that re-runs nothing: records that the predictions of these manifests should have."""
        return PredictionInputs(self.run).records_of(self.manifests(wildcards))

    def history(self, wildcards: Wildcards) -> list[str]:
        """Input: records of the models whose training is drawn."""
        return [] if self._is_pair(wildcards) else self.models.of_cohort(wildcards.cohort)

    def expression(self, wildcards: Wildcards) -> str | list[str]:
        """Input: the cohort's expression."""
        return [] if self._is_pair(wildcards) else self.run.expression(wildcards)

    def gene_manifests(self, wildcards: Wildcards) -> list[str]:
        """Input: the run's genes of every model scope."""
        return [] if self._is_pair(wildcards) else self.genes.of_every_scope([wildcards.cohort])
