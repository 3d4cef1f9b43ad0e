"""The record inside a model against the place it lies in: whose weights are they really?"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mirrorflow.audit.findings import LEAK, Finding
from mirrorflow.config.protocols import label_scope_of
from mirrorflow.errors import InputError
from mirrorflow.learners.tasks import ALL_DATA
from mirrorflow.plan.model_paths import LabelledModel, facts_of, model_of
from mirrorflow.plan.paths import EmbeddingsFile, GeneManifest, ModelRecord, PredictionsManifest
from mirrorflow.store.digest import digest, names_digest
from mirrorflow.store.method_predictions import Manifest
from mirrorflow.store.model_records import read_config, read_done, weights_metadata
from mirrorflow.store.tables import read_text_sheet

Place = LabelledModel | ModelRecord

FIX = "delete the folder and run again"
WEIGHTS, CONFIG = "model.safetensors", "config.json"
METADATA = "settings"
"""Key of the weights' metadata that holds what config.json says, too."""


def audit_place(folder: Path, genes: str = "") -> Iterator[Finding]:
    """A model whose record, weights, embeddings or genes are those of another place than the folder's: a leak each.

    genes: digest of the names in the gene manifest of the same fold; empty: not compared. A folder whose path is none
    of a model's is passed over, and so is what its records do not say.
    """
    place = model_of(folder)
    if place is None:
        return
    config, weights = read_config(folder), weights_metadata(folder / WEIGHTS, METADATA)
    said = list(_otherwise(place, folder, config, weights))
    if genes and config.get("data", {}).get("genes", genes) != genes:
        said.append("it was trained on other genes than those of its fold")
    if said:
        where = _where(place)
        text = f"the model of {where} is not the one that belongs there: {'; '.join(said)}; {FIX}"
        yield Finding(LEAK, "model_place", text, place.fold, len(said), (where,))
    yield from _embeddings(place, folder, config)


def _where(place: Place) -> str:
    own = [place.task, place.setting] if isinstance(place, LabelledModel) else []
    prefix = "" if isinstance(place, LabelledModel) else place.genes
    return "/".join([place.encoder, place.method, *own, f"seed{place.seed}", f"{prefix}fold{place.fold}"])


def _differences(place: Place, record: Mapping[str, Any]) -> list[str]:
    """What ``record`` says otherwise, as ``fold 1``; keys that it lacks are not compared."""
    mine = facts_of(place).items()
    return [f"{key} {record[key]}" for key, value in mine if key in record and str(record[key]) != str(value)]


def _otherwise(
    place: Place, folder: Path, config: Mapping[str, Any], weights: Mapping[str, Any] | None
) -> Iterator[str]:
    for name, record in (("config.json", config), (WEIGHTS, weights or {})):
        if other := _differences(place, record):
            yield f"{name} says {', '.join(other)}"
    if weights is None and (folder / WEIGHTS).exists() and isinstance(place, ModelRecord):
        yield f"{WEIGHTS} says nothing of what it was made with"
    shared = set(config) & set(weights or {}) - {"digest"}
    if weights and (apart := sorted(key for key in shared if config[key] != weights[key])):
        yield f"{WEIGHTS} was not made with what config.json says ({', '.join(apart)})"
    made = model_of(Path(str(read_done(folder).get("model", ""))).parent)
    if made is not None and facts_of(made) != facts_of(place):
        yield f"done.json names the model of {_where(made)} ({made.scope}, {made.cohort})"


def _embeddings(place: Place, folder: Path, config: Mapping[str, Any]) -> Iterator[Finding]:
    """Embeddings of the same place that another model than the one there made."""
    made_with = {key: value for key, value in config.items() if key != "digest"}
    if isinstance(place, LabelledModel) or not made_with:
        return
    facts = facts_of(place)
    name = f"{place.genes}fold{place.fold}.safetensors"
    for path in [folder / name for folder in EmbeddingsFile.folders(place.root, **facts)]:
        if not path.exists():
            continue
        record = weights_metadata(path, "mirrorflow") or {}
        settings = json.loads(record.get("settings", "{}"))
        if settings.get("model", digest(made_with)) != digest(made_with):
            where = f"{EmbeddingsFile.parse(path).mode} embeddings of {_where(place)}"
            made = path.with_name(f"{place.genes}done.json")  # what Snakemake looks at
            text = f"the {where} were made with another model than the one that lies there; delete {made} and run again"
            yield Finding(LEAK, "embeddings_place", text, place.fold, 1, (path.name,))


def manifest_digests(manifests: Sequence[str], own: Sequence[str]) -> dict[tuple[str, str], str]:
    """(method, or "" for the run's genes; ``few-shot-fold0``) -> digest of the names in a gene manifest.

    own: those that a method has for itself, in a folder of its name. A manifest without names is passed over.
    """
    found = {}
    for path in manifests:
        try:
            names = read_text_sheet(path)
        except InputError:
            continue
        if "id" in names:
            manifest = GeneManifest.parse(path)
            method = manifest.variant.rstrip("/") if path in own else ""
            found[method, f"{manifest.genes}fold{manifest.fold}"] = names_digest(names["id"])
    return found


@dataclass
class ModelInputs:
    """Digests of the features and expression that pretrained models of the same units noted."""

    features: dict[tuple[str, ...], dict[str, set[str]]] = field(default_factory=dict)
    expression: dict[tuple[str, ...], dict[str, set[str]]] = field(default_factory=dict)

    def read(self, folder: Path) -> None:
        """Take note of a model's record."""
        place, data = model_of(folder), read_config(folder).get("data", {})
        if place is None or not {"units", "features", "expression", "genes"} <= set(data):
            return
        name, units = _where(place), str(data["units"])
        here = self.features.setdefault((place.scope, place.cohort, place.encoder, units), {})
        here.setdefault(str(data["features"]), set()).add(name)
        here = self.expression.setdefault((place.scope, place.cohort, str(data["genes"]), units), {})
        here.setdefault(str(data["expression"]), set()).add(name)

    def findings(self) -> Iterator[Finding]:
        """Models of the same units (and genes) that saw different values."""
        for what, groups in (("features", self.features), ("expression", self.expression)):
            mixed = [models for models in groups.values() if len(models) > 1]
            if mixed:
                names = sorted({name for models in mixed for group in models.values() for name in group})
                text = (
                    f"pretrained models of the same patients saw different {what}: {' | '.join(names[:6])}; delete the "
                    "older ones' folders and run again"
                )
                yield Finding(LEAK, f"mixed_{what}", text, None, len(names), tuple(names[:5]))


def labelled_models(manifest: Manifest, protocol: Mapping[str, Any]) -> list[Path]:
    """Folders of the networks behind a method's predictions that were trained on labels, if any were kept.

    They are those that its manifest names: others of this method may lie there, of another protocol or of an earlier
    config. A manifest that names none, as old ones do, stands for all that lie where its protocol keeps them.
    """
    if not PredictionsManifest.fits(manifest.path):
        return []
    folders = list(map(Path, manifest.models)) or _kept_under(manifest.path, protocol)
    return sorted(one for one in folders if LabelledModel.fits(one / CONFIG) and (one / CONFIG).exists())


def _kept_under(manifest: Path, protocol: Mapping[str, Any]) -> list[Path]:
    """Folders where a protocol keeps models of the manifest's method: of all training data, and of k-shot settings."""
    place = PredictionsManifest.parse(manifest)
    known = {"cohort": place.cohort, "encoder": place.encoder, "method": place.method}
    scopes = {few_shot: label_scope_of(protocol, few_shot=few_shot) for few_shot in (False, True)}
    return [
        folder
        for few_shot, scope in scopes.items()
        for folder in LabelledModel.folders(place.root, scope=scope, **known)
        if (LabelledModel.parse(folder / CONFIG).setting != ALL_DATA) == few_shot
    ]
