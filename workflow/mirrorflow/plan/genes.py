"""Gene manifests: what chooses genes, and who reads which."""

from dataclasses import dataclass
from typing import Any

from mirrorflow.config.protocols import scope_of
from mirrorflow.config.queries import (
    encoders_of,
    few_shot_prefix,
    gene_variant,
    inner_prefixes,
    methods_under,
    prefixes_of,
    sees_genes,
    selection_of,
)
from mirrorflow.plan.contract_path import FEW_SHOT
from mirrorflow.plan.files import given, is_users, marked
from mirrorflow.plan.paths import GeneManifest
from mirrorflow.plan.run import Run
from mirrorflow.plan.wildcards import Wildcards, has


def gene_lists(run: Run, cohort: str) -> list[str]:
    """Files of genes that a user gives and a method sees; those in the store come with their data sets."""
    methods, own = run.config["methods"], set(run.own_genes)
    selections = [selection_of(run.config, name if name in own else None) for name in methods]
    named = [selection["gene_sets"] for selection in selections]
    named += [method["gene_sets"] for method in methods.values() if method.get("gene_sets", "random") != "random"]
    if any(selection["census"] is not False for selection in selections):
        named.append(run.cohort(cohort).get("census"))
    return sorted({path for path in named if path and is_users(path, run.store)})


@dataclass(frozen=True, eq=False)
class GeneInputs:
    """Gene manifests; ``prefix``: of the k-shot settings (``few-shot-``) or of an inner fold (``inner<j>-``)."""

    run: Run

    def manifests(self, scope: str, cohort: str, method: str | None, prefix: str = "") -> list[str]:
        """Gene manifests of the folds that a method sees (None: the run's); none of a cohort without expression."""
        if self.run.home_of(cohort) not in self.run.with_rna:
            return []
        variant = gene_variant(self.run.config, method)
        where = {"scope": scope, "cohort": cohort, "variant": variant, "genes": prefix}
        return [self.run.at(GeneManifest, **where, fold=fold) for fold in self.run.folds]

    # what select_genes reads

    def _selection(self, wildcards: Wildcards) -> dict[str, Any]:
        """As configured: of the method whose own genes are chosen, or of the run."""
        return selection_of(self.run.config, wildcards.variant.rstrip("/") or None)

    def census(self, wildcards: Wildcards) -> str | list[str]:
        """Input: the cohort's census of cancer genes, if it has one."""
        named = self.run.cohort(wildcards.cohort).get("census")
        return marked(named, self.run.store) if named else []

    def gene_sets(self, wildcards: Wildcards) -> str | list[str]:
        """Input: the selection's file of gene sets, if it has one."""
        named = self._selection(wildcards)["gene_sets"]
        return marked(named, self.run.store) if named else []

    def given(self, wildcards: Wildcards) -> dict[str, str]:
        """Param: state of the lists of genes that a user gave."""
        lists = (self.run.cohort(wildcards.cohort).get("census"), self._selection(wildcards)["gene_sets"])
        return given(filter(None, lists), self.run.store)

    def first(self, wildcards: Wildcards) -> str | list[str]:
        """Input: manifest of the first fold, which the other folds take over where one choice on the whole cohort
        serves all.
        """
        of_cohort = not wildcards.genes and self.run.scope_keys(wildcards.scope)["gene_selection"] == "cohort"
        if not of_cohort or int(wildcards.fold) == self.run.folds[0]:
            return []
        here = {key: getattr(wildcards, key) for key in ("scope", "cohort", "variant", "genes")}
        return self.run.at(GeneManifest, **here, fold=self.run.folds[0])

    def chosen_on(self, wildcards: Wildcards) -> str:
        """Param: whose labels choose. Genes of k-shot settings and inner folds never see more than their own training
        patients.
        """
        return "fold" if wildcards.genes else self.run.scope_keys(wildcards.scope)["gene_selection"]

    def selection_settings(self, wildcards: Wildcards) -> dict[str, Any]:
        """Param: what chooses the genes of a model scope; those of the k-shot settings are chosen without labels."""
        selection = self._selection(wildcards)
        if wildcards.genes == FEW_SHOT:
            label_free = {key: value for key, value in selection.items() if key not in ("rfe", "gene_sets")}
            selection = {**label_free, "method": "variance"}
        return {
            **selection,
            "tumour_types": self.run.cohort(wildcards.cohort)["tumour_types"],
            "scaling": self.run.scope_keys(wildcards.scope)["rna_scaling"],
            "clip": self.run.config["expression"]["clip"],
        }

    # what others read of them

    def fitted(self, wildcards: Wildcards) -> str | list[str]:
        """Input: gene manifests of a pretrained method: of one fold, or of every fold of a job."""
        paths = self.manifests(wildcards.scope, wildcards.cohort, wildcards.method, wildcards.genes)
        return paths[int(wildcards.fold)] if has(wildcards, "fold") else paths

    def of_protocol(self, wildcards: Wildcards, prefix: str = "") -> list[str]:
        """Input: gene manifests of the protocol's model scope, the method's own where it has such."""
        method = wildcards.method if has(wildcards, "method") else None
        return self.manifests(self.run.scope(wildcards), self.run.home_of(wildcards.cohort), method, prefix)

    def few_shot(self, wildcards: Wildcards) -> list[str]:
        """Input: gene manifests of the k-shot settings, where the protocol gives them genes of their own."""
        method = wildcards.method if has(wildcards, "method") else None
        prefix = few_shot_prefix(self.run.config, wildcards.protocol, method)
        return self.of_protocol(wildcards, prefix) if prefix else []

    def inner(self, wildcards: Wildcards) -> list[str]:
        """Input: gene manifests of each inner fold on which the protocol chooses its epoch."""
        prefixes = inner_prefixes(self.run.config, self.run.protocol(wildcards))
        return [path for prefix in prefixes for path in self.of_protocol(wildcards, prefix)]

    def sees(self, method: str) -> bool:
        """Whether a method sees the genes selected."""
        return sees_genes(self.run.config["methods"][method])

    def seen(self, wildcards: Wildcards) -> list[str]:
        """Input: gene manifests, for methods that see the selected genes."""
        return self.of_protocol(wildcards) if self.sees(wildcards.method) else []

    def few_shot_seen(self, wildcards: Wildcards) -> list[str]:
        """Input: gene manifests of the k-shot settings, for methods that see the selected genes."""
        return self.few_shot(wildcards) if self.sees(wildcards.method) else []

    def inner_seen(self, wildcards: Wildcards) -> list[str]:
        """Input: gene manifests of inner folds, for methods that see the selected genes."""
        return self.inner(wildcards) if self.sees(wildcards.method) else []

    def own(self, wildcards: Wildcards) -> list[str]:
        """Input: gene manifests of the methods that have a selection of their own, whatever they are made for."""
        config, scope = self.run.config, scope_of(self.run.protocol(wildcards))
        return [
            path
            for method in methods_under(config, wildcards.protocol)
            if method in self.run.own_genes and encoders_of(config, wildcards.cohort, method)
            for prefix in prefixes_of(config, wildcards.protocol, method)
            for path in self.manifests(scope, wildcards.cohort, method, prefix)
        ]

    def of_every_scope(self, cohorts: list[str]) -> list[str]:
        """The run's gene manifests of every model scope."""
        return [path for scope in self.run.scopes for cohort in cohorts for path in self.manifests(scope, cohort, None)]
