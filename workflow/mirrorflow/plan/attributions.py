"""Inputs and params of which genes count: integrated gradients of methods that see RNA."""

from dataclasses import dataclass
from typing import Any

from mirrorflow.config.explained import gene_methods, genes_settings
from mirrorflow.config.protocols import scope_of
from mirrorflow.config.queries import encoders_of, methods_under, selection_of
from mirrorflow.plan.contract_path import ContractPath
from mirrorflow.plan.explained import ExplainInputs
from mirrorflow.plan.files import given, marked
from mirrorflow.plan.paths import FeatureIndex, PredictionsManifest, SplitFile
from mirrorflow.plan.run import Run
from mirrorflow.plan.wildcards import Wildcards

LINEAR = ("linear", "cox")
"""Families whose coefficients stand beside."""


@dataclass(frozen=True, order=True)
class AttributionsFolder(ContractPath):
    """Which genes a method's models look at: tables and a figure a task."""

    protocol: str
    cohort: str
    encoder: str
    method: str
    TEMPLATE = "attributions/{protocol}/{cohort}/{encoder}/{method}"


@dataclass(frozen=True, eq=False)
class AttributionInputs:
    """Of every network that sees RNA, by the target ``explained``; by ``all`` where the config has ``explain``."""

    run: Run
    explained: ExplainInputs

    @property
    def methods(self) -> list[str]:
        """Methods whose genes can be asked about."""
        return gene_methods(self.run.config)

    def folders(self) -> list[str]:
        """Folders of all that the section names, of its defaults where there is none."""
        run, named = self.run, genes_settings(self.run.config)
        chosen = named["methods"] or self.methods
        return [
            run.at(AttributionsFolder, protocol=protocol, cohort=cohort, encoder=encoder, method=method)
            for protocol in self.explained.protocols
            for cohort in run.with_rna
            for method in methods_under(run.config, protocol)
            if method in chosen
            for encoder in encoders_of(run.config, cohort, method)
        ]

    def of_all(self) -> list[str]:
        """Folders that every run makes."""
        return self.folders() if "explain" in self.run.config else []

    def index(self, wildcards: Wildcards) -> str | list[str]:
        """Input: the index of the features; nothing for methods without slides, nor for pretrained ones, whose vectors
        are stored.
        """
        name = wildcards.method
        if name in self.run.pretrained or "slides" not in self.run.config["methods"][name]["inputs"]:
            return []
        return self.run.at(FeatureIndex, cohort=wildcards.cohort, encoder=wildcards.encoder)

    def splits(self, wildcards: Wildcards) -> list[str]:
        """Input: split files of the protocol's folds."""
        scope = scope_of(self.run.protocol(wildcards))
        return [
            self.run.at(SplitFile, scope=scope, cohort=wildcards.cohort, inner="", fold=fold) for fold in self.run.folds
        ]

    def linear(self, wildcards: Wildcards) -> list[str]:
        """Input: manifests of linear methods that see RNA, whose coefficients stand beside."""
        methods = self.run.config["methods"]
        wanted = {name for name, entry in methods.items() if entry["family"] in LINEAR and "rna" in entry["inputs"]}
        return [
            path
            for path in self.run.manifests(wildcards.protocol, wildcards.cohort)
            if (place := PredictionsManifest.parse(path)).method in wanted
            and place.encoder in (wildcards.encoder, "none")
        ]

    def census(self, wildcards: Wildcards) -> str | list[str]:
        """Input: the cohort's census of cancer genes, if it has one."""
        named = self.run.cohort(wildcards.cohort).get("census")
        return marked(named, self.run.store) if named else []

    def _sets(self) -> str | None:
        config = self.run.config
        own = [entry.get("gene_sets") for entry in config["methods"].values()]
        named = (genes_settings(config)["gene_sets"], config["expression"]["selection"]["gene_sets"], *own)
        return next((one for one in named if one not in (None, "random")), None)

    def gene_sets(self, wildcards: Wildcards) -> str | list[str]:
        """Input: the file of gene sets, if the run has one."""
        named = self._sets()
        return marked(named, self.run.store) if named else []

    def given(self, wildcards: Wildcards) -> dict[str, str]:
        """Param: state of the lists of genes that a user gave."""
        lists = (self.run.cohort(wildcards.cohort).get("census"), self._sets())
        return given(filter(None, lists), self.run.store)

    def settings(self, wildcards: Wildcards) -> dict[str, Any]:
        """Param: section ``explain.genes`` less what names methods and files."""
        named = genes_settings(self.run.config)
        return {key: value for key, value in named.items() if key not in ("methods", "gene_sets")}

    def curated(self, wildcards: Wildcards) -> dict[str, Any]:
        """Param: which genes of the census count."""
        selection = selection_of(self.run.config)
        return {
            "tumour_types": self.run.cohort(wildcards.cohort)["tumour_types"],
            "tiers": selection.get("tiers"),
        }
