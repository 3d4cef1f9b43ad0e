"""Inputs and params of pretraining, embedding and adaptation."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from mirrorflow.config import versions
from mirrorflow.config.protocols import scope_of
from mirrorflow.config.queries import (
    encoders_of,
    few_shot_prefix,
    inner_prefixes,
    methods_under,
    prefixes_of,
    version_of_family,
)
from mirrorflow.plan.paths import CohortFile, EmbeddingsRecord, FeatureIndex, GeneManifest, ModelRecord, SplitFile
from mirrorflow.plan.run import Run
from mirrorflow.plan.wildcards import Wildcards, has


@dataclass(frozen=True, eq=False)
class ModelInputs:
    """Records of pretrained models and of embeddings made with them."""

    run: Run

    # pretraining

    @property
    def share(self) -> int:
        """Folds that share a GPU: one job a fold, or one for all folds of a seed."""
        return self.run.config["compute"]["gpu_share"]

    @property
    def fold_of_job(self) -> str:
        """What the names of a job's log and benchmark say of its folds."""
        return "{fold}" if self.share == 1 else "all"

    def records(self) -> str | list[str]:
        """Output: record of the model that one job makes, or of every fold's."""
        return self.run.at(ModelRecord) if self.share == 1 else self.of_folds()

    def of_folds(self) -> list[str]:
        """Input: records of the models of every fold."""
        return [self.run.at(ModelRecord, fold=fold) for fold in self.run.folds]

    def folds(self, wildcards: Wildcards) -> list[int]:
        """Param: the folds that one job serves."""
        return [int(wildcards.fold)] if has(wildcards, "fold") else self.run.folds

    def family(self, wildcards: Wildcards) -> str:
        """Param: the method's family."""
        return self.run.family(wildcards.method)

    def version(self, wildcards: Wildcards) -> int | str:
        """Param: version of pretraining, and of the method's family."""
        return version_of_family(versions.PRETRAIN, self.run.family(wildcards.method))

    def pretrain_settings(self, wildcards: Wildcards) -> dict[str, Any]:
        """Param: how the method is pretrained."""
        return self.run.config["methods"][wildcards.method]["pretrain"]

    def compute(self, wildcards: Wildcards, threads: int) -> dict[str, Any]:
        """Param that no value depends on: one that asks for ``threads`` re-runs nothing."""
        return {key: value for key, value in self.run.config["compute"].items() if key != "jobs"}

    def rna_scaling(self, wildcards: Wildcards) -> str:
        """Param: which patients scale RNA."""
        return self.run.scope_keys(wildcards.scope)["rna_scaling"]

    def epoch(self, wildcards: Wildcards) -> str:
        """Param: which epoch of pretraining is kept."""
        return self.run.scope_keys(wildcards.scope)["pretraining_epoch"]

    def embed_settings(self, wildcards: Wildcards) -> dict[str, Any]:
        """Param: how units are embedded. The published probe draws their patches anew in each of its epochs."""
        config, resampled = self.run.config, wildcards.mode == "resampled_dropout"
        draws = config["probe"]["epochs"] if resampled else config["embed"]["draws"]
        # As before the key existed where it is not named: what was embedded then is kept.
        precision = {key: config["embed"][key] for key in ("precision",) if key in config["embed"]}
        return {"mode": wildcards.mode, "draws": draws, **precision}

    def of_method(
        self,
        cohort: str,
        scope: str,
        method: str,
        encoder: str,
        seeds: Iterable[object] | None = None,
        prefix: str = "",
    ) -> list[str]:
        """Records of a method's pretrained models, of all folds; ``prefix``: of k-shot settings or of an inner fold."""
        where = {"cohort": cohort, "scope": scope, "method": method, "encoder": encoder, "genes": prefix}
        return [
            self.run.at(ModelRecord, **where, seed=seed, fold=fold)
            for seed in seeds or self.run.config["seeds"]
            for fold in self.run.folds
        ]

    def of_protocol(self, wildcards: Wildcards) -> list[str]:
        """Input: records of the pretrained models of the protocol's model scope, those of k-shot settings and inner
        folds among them.
        """
        config, cohort, scope = self.run.config, wildcards.cohort, self.run.scope(wildcards)
        return [
            record
            for method in methods_under(config, wildcards.protocol)
            if method in self.run.pretrained
            for prefix in prefixes_of(config, wildcards.protocol, method)
            for encoder in encoders_of(config, cohort, method)
            for record in self.of_method(cohort, scope, method, encoder, prefix=prefix)
        ]

    def of_cohort(self, cohort: str) -> list[str]:
        """Records of every pretrained model of a cohort, those of k-shot settings and inner folds apart."""
        config = self.run.config
        made = {
            (scope_of(protocol), method)
            for name, protocol in config["protocols"].items()
            for method in methods_under(config, name)
        }
        return [
            record
            for scope, method in sorted(made)
            if method in self.run.pretrained
            for encoder in encoders_of(config, cohort, method)
            for record in self.of_method(cohort, scope, method, encoder)
        ]

    def behind_frozen(self, wildcards: Wildcards) -> list[str]:
        """Input: records of the pretrained models behind :meth:`frozen`."""
        return self.of_method(wildcards.cohort, self.run.scope(wildcards), wildcards.method, wildcards.encoder)

    # embeddings

    def _embeddings(self, wildcards: Wildcards, prefix: str = "", mode: str | None = None) -> list[str]:
        """One record a seed. ``mode``: how units were embedded; by default as the protocol's probe wants them."""
        where = {
            "scope": self.run.scope(wildcards),
            "cohort": wildcards.cohort,
            "encoder": wildcards.encoder,
            "method": wildcards.method,
            "mode": mode or self.run.protocol(wildcards)["probe_features"],
            "genes": prefix,
        }
        return [self.run.at(EmbeddingsRecord, **where, seed=seed) for seed in self.run.config["seeds"]]

    def embeddings(self, wildcards: Wildcards) -> list[str]:
        """Input: records of the embeddings that the protocol's probe takes, one a seed."""
        return self._embeddings(wildcards)

    def few_shot_embeddings(self, wildcards: Wildcards) -> list[str]:
        """Input: records of the embeddings that the k-shot settings use, where they have genes of their own."""
        prefix = few_shot_prefix(self.run.config, wildcards.protocol, wildcards.method)
        return self._embeddings(wildcards, prefix) if prefix else []

    def inner_embeddings(self, wildcards: Wildcards) -> list[str]:
        """Input: records of the embeddings of each inner fold on which the protocol chooses its epoch."""
        prefixes = inner_prefixes(self.run.config, self.run.protocol(wildcards))
        return [path for prefix in prefixes for path in self._embeddings(wildcards, prefix)]

    def frozen(self, wildcards: Wildcards) -> list[str]:
        """Input: records of the frozen embeddings of the protocol's model scope, one a seed, also where its probe
        draws anew.
        """
        return self._embeddings(wildcards, mode="frozen")


@dataclass(frozen=True, eq=False)
class PairInputs:
    """An adapted pair: its patients, folds and genes are the target's, its models the source's.

    The wildcard ``cohort`` is the pair's name; methods whose names begin with ``of_source`` give nothing for others.
    """

    run: Run
    models: ModelInputs

    def target_index(self, wildcards: Wildcards) -> str:
        """Input: index of the target's features."""
        return self.run.at(FeatureIndex, cohort=self.run.home_of(wildcards.cohort), encoder=wildcards.encoder)

    def source_models(self, wildcards: Wildcards) -> list[str]:
        """Input: records of the source's models of one encoder and method, of one seed or, under a protocol, of all."""
        one_seed = has(wildcards, "seed")
        scope = wildcards.scope if one_seed else self.run.scope(wildcards)
        seeds = [wildcards.seed] if one_seed else None
        source = self.run.adapted[wildcards.cohort]["source"]
        return self.models.of_method(source, scope, wildcards.method, wildcards.encoder, seeds)

    def settings(self, wildcards: Wildcards) -> dict[str, Any]:
        """Param: the method's family, and how a pair's new RNA embedding is trained."""
        pair = self.run.adapted[wildcards.cohort]
        trained = {key: pair[key] for key in ("embedding_learning_rate", "embedding_weight_decay")}
        return {"family": self.run.family(wildcards.method), "adapt": trained}

    def of_source_cohort(self, wildcards: Wildcards) -> str | list[str]:
        """Input: patients of a pair's source."""
        pair = self.run.adapted.get(wildcards.cohort)
        return self.run.at(CohortFile, cohort=pair["source"]) if pair else []

    def of_source_splits(self, wildcards: Wildcards) -> list[str]:
        """Input: split files of a pair's source, of the protocol's model scope."""
        return self._of_source(wildcards, SplitFile, inner="")

    def of_source_genes(self, wildcards: Wildcards) -> list[str]:
        """Input: gene manifests of a pair's source, of the protocol's model scope."""
        return self._of_source(wildcards, GeneManifest, variant="", genes="")

    def _of_source(
        self, wildcards: Wildcards, kind: type[SplitFile] | type[GeneManifest], **known: object
    ) -> list[str]:
        pair = self.run.adapted.get(wildcards.cohort)
        if not pair:
            return []
        where = {"scope": self.run.scope(wildcards), "cohort": pair["source"], **known}
        return [self.run.at(kind, **where, fold=fold) for fold in self.run.folds]

    def of_source_models(self, wildcards: Wildcards) -> list[str]:
        """Input: records of the source's models behind all predictions of a pair."""
        pair = self.run.adapted.get(wildcards.cohort)
        if not pair:
            return []
        return [
            record
            for method in pair["methods"]
            for encoder in pair["encoders"]
            for record in self.models.of_method(pair["source"], self.run.scope(wildcards), method, encoder)
        ]
