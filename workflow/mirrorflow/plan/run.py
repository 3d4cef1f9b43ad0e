"""A run: its resolved config, and the names, numbers and paths that rules share."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from mirrorflow.config.adaptation import adapted_cohorts
from mirrorflow.config.methods import PRETRAINED_FAMILIES
from mirrorflow.config.modalities import has_rna
from mirrorflow.config.protocols import SCOPE_KEYS, SINGLE_CHANGE, scope_of
from mirrorflow.config.queries import encoders_of, gene_variant, methods_under
from mirrorflow.plan.contract_path import ContractPath
from mirrorflow.plan.paths import PredictionsManifest
from mirrorflow.plan.store_paths import ExpressionFile
from mirrorflow.plan.wildcards import Wildcards


@dataclass(frozen=True, eq=False)
class Run:
    """``config``: as :func:`mirrorflow.config.resolve.resolve` returns it."""

    config: Mapping[str, Any]

    # names and numbers

    @cached_property
    def store(self) -> str:
        """Folder of what runs may share."""
        return self.config["store"]

    @cached_property
    def results(self) -> str:
        """Folder of this run's results."""
        return f"results/{self.config['run']}"

    @cached_property
    def logs(self) -> str:
        """Folder of the log files."""
        return f"{self.results}/logs"

    @cached_property
    def benchmarks(self) -> str:
        """Folder of the benchmark files."""
        return f"{self.results}/benchmarks"

    @cached_property
    def cohorts(self) -> list[str]:
        """Cohorts with patients of their own."""
        return list(self.config["cohorts"])

    @cached_property
    def adapted(self) -> dict[str, dict[str, Any]]:
        """Adapted pairs by name, ``<target>--from--<source>``."""
        return adapted_cohorts(self.config)

    @cached_property
    def every_cohort(self) -> list[str]:
        """Cohorts, then adapted pairs."""
        return [*self.cohorts, *self.adapted]

    @cached_property
    def protocols(self) -> list[str]:
        """Protocols, those of single-setting changes among them."""
        return list(self.config["protocols"])

    @cached_property
    def single_changes(self) -> list[str]:
        """Protocols that differ from the base in one published choice."""
        return [name for name in self.protocols if name.startswith(SINGLE_CHANGE)]

    @cached_property
    def whole_protocols(self) -> list[str]:
        """All others: those that tables and figures show."""
        return [name for name in self.protocols if name not in self.single_changes]

    @cached_property
    def scopes(self) -> list[str]:
        """Model scopes: settings that decide which models protocols share."""
        return sorted({scope_of(protocol) for protocol in self.config["protocols"].values()})

    @cached_property
    def folds(self) -> list[int]:
        """Numbers of the folds."""
        return list(range(self.config["splits"]["folds"]))

    @cached_property
    def shards(self) -> list[int]:
        """Numbers of the shards of slides."""
        return list(range(self.config["slides"]["shards"]))

    @cached_property
    def methods(self) -> list[str]:
        """Names of the methods."""
        return list(self.config["methods"])

    @cached_property
    def pretrained(self) -> list[str]:
        """Methods that are pretrained without labels, then probed."""
        return [name for name in self.methods if self.family(name) in PRETRAINED_FAMILIES]

    @cached_property
    def supervised(self) -> list[str]:
        """Networks trained on labels."""
        return [name for name in self.methods if "train" in self.config["methods"][name]]

    @cached_property
    def baselines(self) -> list[str]:
        """Classical methods."""
        return [name for name in self.methods if name not in self.pretrained + self.supervised]

    @cached_property
    def own_genes(self) -> list[str]:
        """Methods with a gene selection of their own."""
        return [name for name in self.methods if gene_variant(self.config, name)]

    # paths

    def at(self, kind: type[ContractPath], **known: object) -> str:
        """The path of a kind of file in this run, with wildcards for everything that is not ``known``."""
        return kind.pattern(self.store if kind.UNDER == "store" else self.results, **known)

    def of_evaluated(self, kind: type[ContractPath], **known: object) -> list[str]:
        """The file of every protocol and cohort that predictions are made for."""
        return [self.at(kind, protocol=protocol, cohort=cohort, **known) for protocol, cohort in self.evaluated()]

    # what the config says of wildcards

    def evaluated(self) -> list[tuple[str, str]]:
        """Protocols and cohorts that predictions are made for, adapted cohorts last."""
        own = [(protocol, cohort) for protocol in self.protocols for cohort in self.cohorts]
        return own + [(protocol, cohort) for cohort, pair in self.adapted.items() for protocol in pair["protocols"]]

    def home_of(self, cohort: str) -> str:
        """The cohort whose patients, folds and genes a cohort has: an adapted one's target, else itself."""
        return self.adapted[cohort]["target"] if cohort in self.adapted else cohort

    def cohort(self, name: str) -> dict[str, Any]:
        """The config's entry of a cohort; of an adapted one its target's."""
        return self.config["cohorts"][self.home_of(name)]

    def protocol(self, wildcards: Wildcards) -> dict[str, Any]:
        """Param: the resolved protocol of the wildcard."""
        return self.config["protocols"][wildcards.protocol]

    def scope(self, wildcards: Wildcards) -> str:
        """The model scope of the wildcard's protocol."""
        return scope_of(self.protocol(wildcards))

    def scope_keys(self, scope: str) -> dict[str, Any]:
        """The keys a model scope stands for: unit, splits, gene_selection, rna_scaling, pretraining_epoch."""
        protocol = next(p for p in self.config["protocols"].values() if scope_of(p) == scope)
        return {key: protocol[key] for key in (*SCOPE_KEYS, "pretraining_epoch")}

    def unit(self, wildcards: Wildcards) -> str:
        """Param: patient or slide, what the model scope counts."""
        return self.scope_keys(wildcards.scope)["unit"]

    def family(self, method: str) -> str:
        """A method's family: mirror for ``mirror--alignment``."""
        return self.config["methods"][method]["family"]

    def is_external(self, cohort: str, encoder: str) -> bool:
        """Whether the encoder's features of a cohort were made elsewhere."""
        return encoder in self.config["cohorts"][cohort]["features"]

    def own_encoders(self, cohort: str) -> list[str]:
        """Encoders whose features this workflow makes for a cohort."""
        return [name for name in self.config["cohorts"][cohort]["encoders"] if not self.is_external(cohort, name)]

    def patching_of(self, encoder: str) -> str:
        """The patch preset an encoder sees."""
        return self.config["features"]["encoders"][encoder]["patching"]

    def patchings(self, cohort: str) -> list[str]:
        """Patch presets that the encoders see whose features are made here."""
        return sorted({self.patching_of(encoder) for encoder in self.own_encoders(cohort)})

    @cached_property
    def with_rna(self) -> list[str]:
        """Cohorts that have expression."""
        return [name for name in self.cohorts if has_rna(self.config["cohorts"][name])]

    def expression(self, wildcards: Wildcards) -> str | list[str]:
        """Input: the cohort's expression matrix in the store; nothing where it has none."""
        cohort = self.home_of(wildcards.cohort)
        if cohort not in self.with_rna:
            return []
        return self.at(ExpressionFile, source=self.cohort(cohort)["expression"], cohort=cohort)

    def manifests(self, protocol: str, cohort: str) -> list[str]:
        """Manifests of every method and encoder under a protocol on a cohort, which may be a pair."""
        cases = self._adapted_cases(cohort) if cohort in self.adapted else self.cases(protocol, cohort)
        return [
            self.at(PredictionsManifest, protocol=protocol, cohort=cohort, encoder=encoder, method=method)
            for method, encoder in cases
            if set(self.config["methods"][method]["tasks"]) & set(self.config["evaluation"]["tasks"])
        ]

    def cases(self, protocol: str, cohort: str) -> list[tuple[str, str]]:
        """Method and encoder of all that a protocol runs on a cohort with patients of its own."""
        methods = methods_under(self.config, protocol)
        return [(method, encoder) for method in methods for encoder in encoders_of(self.config, cohort, method)]

    def _adapted_cases(self, cohort: str) -> list[tuple[str, str]]:
        pair = self.adapted[cohort]
        return [(method, encoder) for method in pair["methods"] for encoder in pair["encoders"]]
