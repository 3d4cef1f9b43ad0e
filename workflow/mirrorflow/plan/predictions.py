"""Inputs and params of what predicts, and of what reads predictions: audit, scores."""

from dataclasses import dataclass
from typing import Any

from mirrorflow.config.queries import encoders_of, shots_of
from mirrorflow.plan.cohorts import GeneInputs, SplitInputs
from mirrorflow.plan.files import given, marked
from mirrorflow.plan.models import ModelInputs
from mirrorflow.plan.paths import FeatureIndex, PredictionsManifest, SplitSummary, SupportSets
from mirrorflow.plan.run import Run
from mirrorflow.plan.wildcards import Wildcards

ELSEWHERE = ("cohorts", "encoders", "selection")
"""Keys of a method that decide where it is run, or what chooses its genes (they are an input)."""


@dataclass(frozen=True, eq=False)
class PredictionInputs:
    """A method under a protocol on a cohort."""

    run: Run

    def support(self, wildcards: Wildcards) -> str:
        """Input: support sets of the protocol's model scope."""
        cohort = self.run.home_of(wildcards.cohort)
        return self.run.at(SupportSets, scope=self.run.scope(wildcards), cohort=cohort)

    def index(self, wildcards: Wildcards) -> str | list[str]:
        """Input: the index of the encoder's features, for methods that see slides."""
        if "slides" not in self.run.config["methods"][wildcards.method]["inputs"]:
            return []
        return self.run.at(FeatureIndex, cohort=wildcards.cohort, encoder=wildcards.encoder)

    def gene_sets(self, wildcards: Wildcards) -> str | list[str]:
        """Input: the method's file of gene sets, if it reads one."""
        sets = self._sets_file(wildcards)
        return marked(sets, self.run.store) if sets else []

    def given_gene_sets(self, wildcards: Wildcards) -> dict[str, str]:
        """Param: state of that file."""
        return given(filter(None, [self._sets_file(wildcards)]), self.run.store)

    def _sets_file(self, wildcards: Wildcards) -> str | None:
        sets = self.run.config["methods"][wildcards.method].get("gene_sets", "random")
        return None if sets == "random" else sets

    def tasks(self, wildcards: Wildcards) -> list[str]:
        """Param: tasks of the run that the method takes part in."""
        its_own = self.run.config["methods"][wildcards.method]["tasks"]
        return [task for task in self.run.config["evaluation"]["tasks"] if task in its_own]

    def shots(self, wildcards: Wildcards) -> list[int]:
        """Param: k of the k-shot settings; a pair has none."""
        return [] if wildcards.cohort in self.run.adapted else shots_of(self.run.config, wildcards.protocol)

    def settings(self, wildcards: Wildcards) -> dict[str, Any]:
        """Param: what decides a method's values."""
        entry = self.run.config["methods"][wildcards.method]
        return {key: value for key, value in entry.items() if key not in ELSEWHERE}

    def saved(self, wildcards: Wildcards) -> dict[str, Any]:
        """Param: where a job's trained models go, and which are kept."""
        names = {name: getattr(wildcards, name) for name in ("cohort", "encoder", "method")}
        return {"results": self.run.results, "keep": self.run.config["keep_models"], **names}

    def manifests(self, wildcards: Wildcards) -> list[str]:
        """Input: manifests of the wildcards' protocol and cohort, which may be a pair."""
        return self.run.manifests(wildcards.protocol, wildcards.cohort)

    def reference_of_target(self, wildcards: Wildcards) -> list[str]:
        """Input: manifests of the reference on a pair's target, which the pair's methods are held against; else
        nothing.
        """
        reference, target = self.run.config["evaluation"]["reference"], self.run.home_of(wildcards.cohort)
        if wildcards.cohort not in self.run.adapted or reference not in self.run.methods:
            return []
        where = {"protocol": wildcards.protocol, "cohort": target, "method": reference}
        encoders = encoders_of(self.run.config, target, reference)
        return [self.run.at(PredictionsManifest, **where, encoder=encoder) for encoder in encoders]


@dataclass(frozen=True, eq=False)
class AuditInputs:
    """What the auditor reads. A pair has no k-shot settings, inner folds and models of its own."""

    run: Run
    splits: SplitInputs
    genes: GeneInputs
    models: ModelInputs
    predictions: PredictionInputs

    def _is_pair(self, wildcards: Wildcards) -> bool:
        return wildcards.cohort in self.run.adapted

    def summary(self, wildcards: Wildcards) -> str:
        """Input: what make_splits says of the folds."""
        cohort = self.run.home_of(wildcards.cohort)
        return self.run.at(SplitSummary, scope=self.run.scope(wildcards), cohort=cohort)

    def support(self, wildcards: Wildcards) -> str | list[str]:
        """Input: support sets."""
        return [] if self._is_pair(wildcards) else self.predictions.support(wildcards)

    def pretrained(self, wildcards: Wildcards) -> list[str]:
        """Input: records of the pretrained models."""
        return [] if self._is_pair(wildcards) else self.models.of_protocol(wildcards)

    def few_shot_genes(self, wildcards: Wildcards) -> list[str]:
        """Input: the run's gene manifests of the k-shot settings."""
        return [] if self._is_pair(wildcards) else self.genes.few_shot(wildcards)

    def inner_splits(self, wildcards: Wildcards) -> list[str]:
        """Input: split files of the inner folds, where a method of the run has epochs."""
        used = not self._is_pair(wildcards) and (self.run.pretrained or self.run.supervised)
        return self.splits.inner_of_protocol(wildcards) if used else []

    def inner_genes(self, wildcards: Wildcards) -> list[str]:
        """Input: gene manifests of the inner folds, where a method with epochs sees the selected genes."""
        with_epochs = self.run.pretrained + self.run.supervised
        used = [name for name in with_epochs if self.genes.sees(name) and name not in self.run.own_genes]
        return self.genes.inner(wildcards) if used and not self._is_pair(wildcards) else []

    def own_genes(self, wildcards: Wildcards) -> list[str]:
        """Input: gene manifests of methods with a selection of their own."""
        return [] if self._is_pair(wildcards) else self.genes.own(wildcards)

    def expression(self, wildcards: Wildcards) -> str:
        """Input: record of the converted matrix."""
        return f"{self.run.expression(wildcards)}.json"
