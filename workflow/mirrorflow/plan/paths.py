"""Every path below a run's results, formatted and parsed in one place; those of the store: ``store_paths``."""

from collections.abc import Iterable
from dataclasses import dataclass, fields
from pathlib import Path

from mirrorflow.errors import InputError
from mirrorflow.plan.contract_path import ContractPath, inner_number

# who is in the cohort


@dataclass(frozen=True, order=True)
class CohortFile(ContractPath):
    """Patients of a cohort: labels, outcomes, slides."""

    cohort: str
    TEMPLATE = "cohort/{cohort}.parquet"


@dataclass(frozen=True, order=True)
class CohortSheet(ContractPath):
    """Beside the cohort: ``flow`` (how many are left after each step), ``dropped`` (who was dropped and why)."""

    cohort: str
    name: str
    TEMPLATE = "cohort/{cohort}.{name}.tsv"


@dataclass(frozen=True, order=True)
class FeatureIndex(ContractPath):
    """Which slides of a cohort have features of an encoder, and where."""

    cohort: str
    encoder: str
    TEMPLATE = "features/{cohort}/{encoder}.tsv"


# of a model scope


@dataclass(frozen=True, order=True)
class SplitFile(ContractPath):
    """Patients of a fold; ``inner``: ``inner<j>-`` for a part of its training patients, else empty."""

    scope: str
    cohort: str
    inner: str
    fold: int
    TEMPLATE = "{scope}/{cohort}/splits/{inner}splits_{fold}.csv"

    @property
    def inner_fold(self) -> int | None:
        """Number of the inner fold; None for the fold itself."""
        return inner_number(self.inner)


@dataclass(frozen=True, order=True)
class SplitSummary(ContractPath):
    """What each fold holds and lost."""

    scope: str
    cohort: str
    TEMPLATE = "{scope}/{cohort}/splits/summary.tsv"


@dataclass(frozen=True, order=True)
class SupportSets(ContractPath):
    """Support sets of the k-shot settings."""

    scope: str
    cohort: str
    TEMPLATE = "{scope}/{cohort}/support/support.tsv"


@dataclass(frozen=True, order=True)
class GeneManifest(ContractPath):
    """Genes that a fold's models see. ``variant``: ``<method>/`` where a method has genes of its own, else empty.

    ``genes``: ``few-shot-`` of the k-shot settings, ``inner<j>-`` of an inner fold, else empty.
    """

    scope: str
    cohort: str
    variant: str
    genes: str
    fold: int
    TEMPLATE = "{scope}/{cohort}/genes/{variant}{genes}fold{fold}.tsv"

    @property
    def method(self) -> str:
        """The method whose own genes these are; empty for those of the run."""
        return self.variant.rstrip("/")

    @property
    def inner_fold(self) -> int | None:
        """Number of the inner fold; None for the fold itself."""
        return inner_number(self.genes)


@dataclass(frozen=True, order=True)
class GeneRecord(GeneManifest):
    """Beside a manifest: how its genes were chosen, and whose labels were seen."""

    TEMPLATE = "{scope}/{cohort}/genes/{variant}{genes}fold{fold}.json"


@dataclass(frozen=True, order=True)
class ModelRecord(ContractPath):
    """Written when a pretrained model is finished; its weights, settings and history lie beside it."""

    scope: str
    cohort: str
    encoder: str
    method: str
    seed: int
    genes: str
    fold: int
    TEMPLATE = "{scope}/{cohort}/models/{encoder}/{method}/seed{seed}/{genes}fold{fold}/done.json"


@dataclass(frozen=True, order=True)
class EmbeddingsRecord(ContractPath):
    """Names the embeddings files of a seed. ``mode``: frozen, or resampled_dropout."""

    scope: str
    cohort: str
    encoder: str
    method: str
    seed: int
    mode: str
    genes: str
    TEMPLATE = "{scope}/{cohort}/embeddings/{encoder}/{method}/seed{seed}/{mode}/{genes}done.json"

    @property
    def inner_fold(self) -> int | None:
        """Number of the inner fold; None for the fold itself."""
        return inner_number(self.genes)

    def file(self, fold: int) -> "EmbeddingsFile":
        """The embeddings of a fold."""
        facts = {field.name: getattr(self, field.name) for field in fields(self)}
        return EmbeddingsFile(**facts, fold=fold)


@dataclass(frozen=True, order=True)
class EmbeddingsFile(ContractPath):
    """Units of a cohort, embedded with a fold's model."""

    scope: str
    cohort: str
    encoder: str
    method: str
    seed: int
    mode: str
    genes: str
    fold: int
    TEMPLATE = "{scope}/{cohort}/embeddings/{encoder}/{method}/seed{seed}/{mode}/{genes}fold{fold}.safetensors"


# of a protocol


@dataclass(frozen=True, order=True)
class PredictionsManifest(ContractPath):
    """Names a method's predictions files, and what was left out and why."""

    protocol: str
    cohort: str
    encoder: str
    method: str
    TEMPLATE = "predictions/{protocol}/{cohort}/{encoder}/{method}/manifest.json"

    @property
    def title(self) -> str:
        """``mirror (phikon)``; methods without slides lie under ``none``."""
        return self.method if self.encoder == "none" else f"{self.method} ({self.encoder})"

    def file(self, written: str) -> "PredictionsFile":
        """The file that a manifest names: ``<task>/fold<k>.parquet``."""
        return PredictionsFile.parse(self.folder / written)


@dataclass(frozen=True, order=True)
class PredictionsPlan(PredictionsManifest):
    """What the predictions were planned with: held against the config wherever tables are made."""

    TEMPLATE = "predictions/{protocol}/{cohort}/{encoder}/{method}/plan.json"


@dataclass(frozen=True, order=True)
class PredictionsFile(ContractPath):
    """A method's predictions of a task on a fold's evaluation patients."""

    protocol: str
    cohort: str
    encoder: str
    method: str
    task: str
    fold: int
    TEMPLATE = "predictions/{protocol}/{cohort}/{encoder}/{method}/{task}/fold{fold}.parquet"


@dataclass(frozen=True, order=True)
class AuditFile(ContractPath):
    """The audit of a protocol on a cohort: ``json`` (record), ``md`` (page), ``passed``."""

    protocol: str
    cohort: str
    ending: str
    TEMPLATE = "audit/{protocol}/{cohort}.{ending}"


@dataclass(frozen=True, order=True)
class MetricsSheet(ContractPath):
    """Scores of every method."""

    protocol: str
    cohort: str
    TEMPLATE = "metrics/{protocol}/{cohort}.tsv"


@dataclass(frozen=True, order=True)
class SensitivitySheet(ContractPath):
    """s1 and s2 of a pretrained method, a row an evaluation unit, fold and seed."""

    protocol: str
    cohort: str
    encoder: str
    method: str
    TEMPLATE = "sensitivity/{protocol}/{cohort}/{encoder}/{method}.tsv"


@dataclass(frozen=True, order=True)
class TrainingFoldsSheet(ContractPath):
    """A survival probe on the units it was fitted on."""

    protocol: str
    cohort: str
    encoder: str
    method: str
    TEMPLATE = "training_folds/{protocol}/{cohort}/{encoder}/{method}.tsv"


# what people look at


@dataclass(frozen=True, order=True)
class TableFile(ContractPath):
    """A table as csv, md or tex."""

    name: str
    ending: str
    TEMPLATE = "tables/{name}.{ending}"


@dataclass(frozen=True, order=True)
class MainTable(ContractPath):
    """The main table of a task."""

    task: str
    ending: str
    TEMPLATE = "tables/main_{task}.{ending}"


@dataclass(frozen=True, order=True)
class FiguresFolder(ContractPath):
    """Figures of a cohort."""

    cohort: str
    TEMPLATE = "figures/{cohort}"


@dataclass(frozen=True, order=True)
class ReportPage(ContractPath):
    """The report."""

    TEMPLATE = "report.html"


def by_inner_fold(
    kind: type[SplitFile] | type[GeneManifest] | type[EmbeddingsRecord], paths: Iterable[str | Path]
) -> list[list[str]]:
    """Paths of inner folds, a list an inner fold in the order of their numbers; each in the order given."""
    groups: dict[int, list[str]] = {}
    for path in paths:
        number = kind.parse(path).inner_fold
        if number is None:
            message = f"{path}: not of an inner fold (inner<j>-...)"
            raise InputError(message)
        groups.setdefault(number, []).append(str(path))
    return [groups[number] for number in sorted(groups)]
