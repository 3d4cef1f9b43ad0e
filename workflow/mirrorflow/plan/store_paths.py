"""Every path below the store, which runs may share, formatted and parsed in one place."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from mirrorflow.plan.contract_path import ContractPath

PLAN = "plan.json"
"""What the files of a folder were planned with, beside them."""


@dataclass(frozen=True, order=True)
class ExpressionFile(ContractPath):
    """A cohort's expression from one source."""

    source: str
    cohort: str
    TEMPLATE = "expression/{source}/{cohort}.parquet"
    UNDER = "store"


@dataclass(frozen=True, order=True)
class ExpressionRecord(ExpressionFile):
    """What it was made with."""

    TEMPLATE = "expression/{source}/{cohort}.parquet.json"


@dataclass(frozen=True, order=True)
class ExpressionPlan(ExpressionFile):
    """What it was planned with: held against every run that shares the store."""

    TEMPLATE = "expression/{source}/{cohort}.plan.json"


@dataclass(frozen=True, order=True)
class PatchPlan(ContractPath):
    """What the patches of a cohort and preset were planned with."""

    cohort: str
    patching: str
    TEMPLATE = "slides/{cohort}/{patching}/" + PLAN
    UNDER = "store"


@dataclass(frozen=True, order=True)
class FeaturePlan(ContractPath):
    """What the features of a cohort and encoder were planned with."""

    cohort: str
    patching: str
    encoder: str
    TEMPLATE = "features/{cohort}/{patching}/{encoder}/" + PLAN
    UNDER = "store"


@dataclass(frozen=True, order=True)
class PatchStatus(ContractPath):
    """How each slide of a shard was patched."""

    cohort: str
    patching: str
    shard: int
    TEMPLATE = "slides/{cohort}/{patching}/shards/{shard}.tsv"
    UNDER = "store"

    @property
    def files(self) -> Path:
        """The folder of the patches."""
        return self.folder.parent


@dataclass(frozen=True, order=True)
class Ledger(ContractPath):
    """One row a slide over all shards and encoders."""

    cohort: str
    patching: str
    TEMPLATE = "slides/{cohort}/{patching}/ledger.tsv"
    UNDER = "store"


@dataclass(frozen=True, order=True)
class ContactSheet(Ledger):
    """Thumbnails of the slides."""

    TEMPLATE = "slides/{cohort}/{patching}/contact_sheet.jpg"


@dataclass(frozen=True, order=True)
class FeatureStatus(ContractPath):
    """How features of each slide of a shard were made."""

    cohort: str
    patching: str
    encoder: str
    shard: int
    TEMPLATE = "features/{cohort}/{patching}/{encoder}/shards/{shard}.tsv"
    UNDER = "store"

    @property
    def files(self) -> Path:
        """The folder of the features."""
        return self.folder.parent


@dataclass(frozen=True, order=True)
class GdcSheet(ContractPath):
    """The slides that GDC has of a cohort."""

    cohort: str
    TEMPLATE = "gdc/{cohort}/slides.tsv"
    UNDER = "store"


@dataclass(frozen=True, order=True)
class GdcStatus(ContractPath):
    """Record of a shard: of its ``shards`` (downloads), or of its ``dropped`` slides."""

    cohort: str
    step: str
    shard: int
    TEMPLATE = "gdc/{cohort}/{step}/{shard}.tsv"
    UNDER = "store"


@dataclass(frozen=True, order=True)
class Download(ContractPath):
    """A file of a public data set."""

    dataset: str
    file: str
    TEMPLATE = "downloads/{dataset}/{file}"
    UNDER = "store"


@dataclass(frozen=True, order=True)
class Simulated(ContractPath):
    """A file of a simulated cohort."""

    name: str
    file: str
    TEMPLATE = "simulated/{name}/{file}"
    UNDER = "store"


def made_from_slides(folder: Path) -> list[Path]:
    """Folders to delete where what lies in ``folder`` is to be made again: patches and all features made of them, or
    features alone.
    """
    if not PatchPlan.fits(folder / PLAN):
        return [folder]
    patches = PatchPlan.parse(folder / PLAN)
    return [patches.folder, *FeaturePlan.folders(patches.root, cohort=patches.cohort, patching=patches.patching)]


def delete_hint(folders: Iterable[Path]) -> str:
    """What to delete, in words, each folder once."""
    return f"To make all of it again delete {', '.join(dict.fromkeys(map(str, folders)))}."
