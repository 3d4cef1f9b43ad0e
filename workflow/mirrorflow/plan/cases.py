"""Every case of a run, rule by rule: what jobs serve where they are few."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, fields
from functools import cached_property
from types import SimpleNamespace
from typing import Any

from mirrorflow.plan.contract_path import ContractPath
from mirrorflow.plan.genes import GeneInputs
from mirrorflow.plan.models import ModelInputs
from mirrorflow.plan.paths import EmbeddingsRecord, GeneManifest, ModelRecord, PredictionsManifest
from mirrorflow.plan.predictions import AuditInputs
from mirrorflow.plan.run import Run
from mirrorflow.plan.together import Case


@dataclass(frozen=True, eq=False)
class Cases:
    """Of cohorts with patients of their own; adapted pairs, and what is made on request, have jobs of their own."""

    run: Run
    genes: GeneInputs
    models: ModelInputs
    audits: AuditInputs

    @property
    def scopes(self) -> list[Case]:
        """Of folds and support sets."""
        return [{"scope": scope, "cohort": cohort} for scope in self.run.scopes for cohort in self.run.cohorts]

    @property
    def evaluated(self) -> list[Case]:
        """Of audits and scores."""
        return [{"protocol": protocol, "cohort": cohort} for protocol, cohort in self.run.evaluated()]

    @property
    def patches(self) -> list[Case]:
        """Of patching; none where a cohort's slides come shard by shard, each deleted before the next is fetched."""
        return [
            {"cohort": cohort, "patching": patching, "shard": shard}
            for cohort in self._whole_slides
            for patching in self.run.patchings(cohort)
            for shard in self.run.shards
        ]

    @property
    def features(self) -> list[Case]:
        """Of extraction, alike."""
        return [
            {"cohort": cohort, "patching": self.run.patching_of(encoder), "encoder": encoder, "shard": shard}
            for cohort in self._whole_slides
            for encoder in self.run.own_encoders(cohort)
            for shard in self.run.shards
        ]

    @property
    def _whole_slides(self) -> list[str]:
        entries = self.run.config["cohorts"]
        return [] if any("gdc" in entry.get("slides", {}) for entry in entries.values()) else list(entries)

    @property
    def selections(self) -> list[Case]:
        """Of gene selection: what the audit reads."""
        audits = self.audits
        asked = (audits.genes.of_protocol, audits.few_shot_genes, audits.inner_genes, audits.own_genes)
        return _parsed(GeneManifest, self._all_of(*asked))

    @property
    def trainings(self) -> list[Case]:
        """Of pretraining: what the audit and the report read; a job's folds are one case where they share a GPU."""
        records = [*self._all_of(self.audits.pretrained)]
        records += [record for cohort in self.run.cohorts for record in self.models.of_cohort(cohort)]
        left_out = ("fold",) if self.models.share > 1 else ()
        return _parsed(ModelRecord, records, left_out)

    @property
    def embeddings(self) -> list[Case]:
        """Of embedding: what probes and maps read, and the frozen ones that sensitivities are asked of."""
        run, models = self.run, self.models
        embedded: list[Any] = [
            SimpleNamespace(protocol=protocol, cohort=cohort, encoder=encoder, method=method)
            for protocol in run.protocols
            for cohort in run.cohorts
            for method, encoder in run.cases(protocol, cohort)
            if method in run.pretrained
        ]
        asked = (models.embeddings, models.few_shot_embeddings, models.inner_embeddings, models.frozen)
        return _parsed(EmbeddingsRecord, [path for where in embedded for ask in asked for path in ask(where)])

    @property
    def baselines(self) -> list[Case]:
        """Of classical methods."""
        return self._predicted(self.run.baselines)

    @property
    def probes(self) -> list[Case]:
        """Of pretrained methods."""
        return self._predicted(self.run.pretrained)

    @property
    def supervised(self) -> list[Case]:
        """Of networks trained on labels."""
        return self._predicted(self.run.supervised)

    def _predicted(self, methods: Iterable[str]) -> list[Case]:
        known = set(methods)
        return [case for case in _parsed(PredictionsManifest, self._manifests) if case["method"] in known]

    @cached_property
    def _manifests(self) -> list[str]:
        run = self.run
        own = [(protocol, cohort) for protocol, cohort in run.evaluated() if cohort in run.cohorts]
        return [path for protocol, cohort in own for path in run.manifests(protocol, cohort)]

    def _all_of(self, *asked: Callable[[Any], list[str]]) -> list[str]:
        """What input functions say of every protocol and cohort."""
        return [path for case in self.evaluated for ask in asked for path in ask(SimpleNamespace(**case))]


def _parsed(kind: type[ContractPath], paths: Iterable[str], left_out: Iterable[str] = ()) -> list[Case]:
    """The wildcards of paths of a kind, each once."""
    found: dict[str, dict[str, Any]] = {}
    for path in paths:
        place = kind.parse(path)
        case = {one.name: getattr(place, one.name) for one in fields(place) if one.name not in ("root", *left_out)}
        found.setdefault(repr(case), case)
    return list(found.values())
