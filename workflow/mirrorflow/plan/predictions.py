"""Inputs and params of what predicts, and of what reads predictions: audit, scores."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from mirrorflow.config.modalities import takes_available
from mirrorflow.config.queries import (
    encoders_of,
    has_epochs,
    methods_under,
    selection_of,
    shots_of,
)
from mirrorflow.config.saw import saw
from mirrorflow.plan.cohorts import SplitInputs
from mirrorflow.plan.files import given, marked
from mirrorflow.plan.genes import GeneInputs, gene_lists
from mirrorflow.plan.models import ModelInputs
from mirrorflow.plan.paths import FeatureIndex, PredictionsManifest, PredictionsPlan, SplitSummary, SupportSets
from mirrorflow.plan.prediction_versions import PredictionVersions
from mirrorflow.plan.records import planned
from mirrorflow.plan.run import Run
from mirrorflow.plan.unfilled import unfilled
from mirrorflow.plan.wildcards import Wildcards

ELSEWHERE = ("cohorts", "encoders", "selection", "under")
"""Keys of a method that decide where it is run, or what chooses its genes (they are an input)."""


FILES = ("sheet", "survival", "matrix", "download")
"""Keys of the section ``clinical`` that name files: their content counts, in the cohort's digest, not their places."""


NEW_SLIDES = ("batch_size", "max_unreadable")
"""Keys of the section ``features`` that slides of new patients are read by: a finished run has no other record."""

ADAPT_KEYS = ("embedding_learning_rate", "embedding_weight_decay")


def _but_files(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Settings less a file of gene sets: its content counts, in the predictions' digest, not its place."""
    named = settings.get("gene_sets") not in (None, "random")
    return {**settings, "gene_sets": "a file"} if named else dict(settings)


@dataclass(frozen=True, eq=False)
class PredictionInputs(PredictionVersions):
    """A method under a protocol on a cohort."""

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
        return self._entry(wildcards.method)

    def _entry(self, method: str) -> dict[str, Any]:
        return {key: value for key, value in self.run.config["methods"][method].items() if key not in ELSEWHERE}

    def record_of(self, place: PredictionsManifest) -> dict[str, Any]:
        """What the predictions of a method are planned with: the settings that decide them, in whichever rule.

        Each of them starts the job again when it changes, or one before it: a record that differs is older.
        """
        config, cohort = self.run.config, self.run.cohort(place.cohort)
        entry, protocol = config["methods"][place.method], config["protocols"][place.protocol]
        settings: dict[str, Any] = {
            "protocol": protocol,
            "tasks": [task for task in config["evaluation"]["tasks"] if task in entry["tasks"]],
            "shots": [] if place.cohort in self.run.adapted else shots_of(config, place.protocol),
            "bins": config["probe"]["survival_bins"],
            "cohort": {key: cohort[key] for key in ("classes", "site", "expression", "train_on") if key in cohort},
            "clinical": {key: value for key, value in cohort["clinical"].items() if key not in FILES},
            "splits": {key: config["splits"][key] for key in ("folds", "seed", "evaluate")},
            "seeds": config["seeds"][:1] if place.method in self.run.baselines else config["seeds"],
        }
        if protocol["epoch"] == "nested" and has_epochs(entry) and place.cohort not in self.run.adapted:
            settings["inner_folds"] = config["splits"]["inner_folds"]
        pretrained = place.method in self.run.pretrained
        settings |= self._of_pretrained(place) if pretrained else {"method": _but_files(self._entry(place.method))}
        if "rna" in entry["inputs"]:
            settings |= self._of_rna(place, cohort)
        names = (place.protocol, place.cohort, place.encoder, place.method)
        left_out = unfilled(place.method, pretrained=pretrained)
        noted = (
            {"features": {key: config["features"][key] for key in NEW_SLIDES}} if "slides" in entry["inputs"] else {}
        )
        return planned(PredictionsPlan(place.root, *names).format(), settings, left_out, noted)

    def records_of(self, manifests: Iterable[str]) -> list[dict[str, Any]]:
        """:meth:`record_of` of each manifest."""
        return [self.record_of(PredictionsManifest.parse(path)) for path in manifests]

    def _of_pretrained(self, place: PredictionsManifest) -> dict[str, Any]:
        config, pair = self.run.config, self.run.adapted.get(place.cohort)
        frozen = config["protocols"][place.protocol]["probe_features"] == "frozen"
        return {
            "family": self.run.family(place.method),
            "pretrain": config["methods"][place.method]["pretrain"],
            "probe": config["probe"],
            "draws": config["embed"]["draws"] if frozen else config["probe"]["epochs"],
            "adapt": {key: pair[key] for key in ADAPT_KEYS} if pair else None,
            **{key: config["embed"][key] for key in ("precision",) if key in config["embed"]},
        }

    def _of_rna(self, place: PredictionsManifest, cohort: Mapping[str, Any]) -> dict[str, Any]:
        config = self.run.config
        source = config["expression"]["sources"][cohort["expression"]]
        rna = {key: source[key] for key in ("orientation", "sample_ids", "transform") if key in source} | {
            "clip": config["expression"]["clip"]
        }
        if config["methods"][place.method].get("gene_sets", "random") != "random":
            return {"rna": rna}
        genes = {**selection_of(config, place.method), "tumour_types": cohort["tumour_types"]}
        return {"rna": rna, "genes": _but_files(genes)}

    def planned(self, wildcards: Wildcards, threads: int) -> dict[str, Any]:
        """Param that re-runs nothing: the record that the job leaves."""
        names = (wildcards.protocol, wildcards.cohort, wildcards.encoder, wildcards.method)
        return self.record_of(PredictionsManifest(self.run.results, *names))

    def planned_tables(self, wildcards: Wildcards, threads: int) -> list[dict[str, Any]]:
        """Param that re-runs nothing: records that predictions should have where tables are made of them."""
        return self.records_of([*self.manifests(wildcards), *self.reference_of_target(wildcards)])

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
        run_here = methods_under(self.run.config, wildcards.protocol)
        if wildcards.cohort not in self.run.adapted or reference not in run_here:
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

    def expression(self, wildcards: Wildcards) -> str | list[str]:
        """Input: record of the converted matrix; nothing without one."""
        matrix = self.run.expression(wildcards)
        return f"{matrix}.json" if matrix else []

    def matrix(self, wildcards: Wildcards) -> str | list[str]:
        """Input: the converted matrix; of a pair the target's; nothing without one."""
        return self.run.expression(wildcards)

    def indexes(self, wildcards: Wildcards) -> list[str]:
        """Input: indexes of the features, an encoder each; of a pair the target's."""
        cohort = self.run.home_of(wildcards.cohort)
        return [self.run.at(FeatureIndex, cohort=cohort, encoder=name) for name in self.run.cohort(cohort)["encoders"]]

    def saw(self, wildcards: Wildcards) -> dict[str, dict[str, Any]]:
        """Param: what each encoder of the cohort was trained on, and who says so."""
        return {name: saw(self.run.config, name).plain() for name in self.run.cohort(wildcards.cohort)["encoders"]}

    def collection(self, wildcards: Wildcards) -> str:
        """Param: the public collection that the cohort's patients are of; empty where their names tell."""
        cohort = self.run.cohort(wildcards.cohort)
        return "none" if cohort["simulated"] else cohort.get("collection", "")

    def source_encoders(self, wildcards: Wildcards) -> list[str]:
        """Param: encoders of a pair's source; nothing for other cohorts."""
        pair = self.run.adapted.get(wildcards.cohort)
        return list(self.run.cohort(pair["source"])["encoders"]) if pair else []

    def source_indexes(self, wildcards: Wildcards) -> list[str]:
        """Input: indexes of the features of a pair's source, an encoder each."""
        pair = self.run.adapted.get(wildcards.cohort)
        names = self.source_encoders(wildcards)
        return [self.run.at(FeatureIndex, cohort=pair["source"], encoder=name) for name in names] if pair else []

    def _lists(self, wildcards: Wildcards) -> list[str]:
        return gene_lists(self.run, wildcards.cohort)

    def lists(self, wildcards: Wildcards) -> list[str]:
        """Input: lists of genes that a user gave."""
        return [marked(path, self.run.store) for path in self._lists(wildcards)]

    def given_lists(self, wildcards: Wildcards) -> dict[str, str]:
        """Param: state of these lists."""
        return given(self._lists(wildcards), self.run.store)

    def sheet(self, wildcards: Wildcards) -> str | list[str]:
        """Input: the cohort's sheet of slides, where it has one."""
        entry = self.run.cohort(wildcards.cohort)
        return marked(entry["slides"]["sheet"], self.run.store) if "slides" in entry else []

    def slide_columns(self, wildcards: Wildcards) -> dict[str, str]:
        """Param: our names of its columns and those of the sheet."""
        return self.run.cohort(wildcards.cohort).get("slides", {}).get("columns", {})

    def method_inputs(self, wildcards: Wildcards) -> dict[str, list[str]]:
        """Param: method -> what it sees, where each takes the patients who have that; else nothing."""
        available = takes_available(self.run.cohort(wildcards.cohort))
        return {name: entry["inputs"] for name, entry in self.run.config["methods"].items()} if available else {}

    def columns(self) -> list[str]:
        """Param: columns of the patients' sheet that a method sees."""
        return sorted({name for method in self.run.config["methods"].values() for name in method.get("columns", [])})
