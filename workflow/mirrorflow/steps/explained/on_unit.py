"""A case's saved model with the unit's data from the store, held against the stored prediction; what it says of it."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mirrorflow.errors import InputError
from mirrorflow.learners.explained import (
    Asked,
    Draws,
    HeadOnUnit,
    NetworkOnUnit,
    OnUnit,
    Weighed,
    answer_of,
    asked_of,
    hold_prediction,
)
from mirrorflow.learners.inputs.bagged import bag_files
from mirrorflow.learners.network import evaluation_tokens
from mirrorflow.learners.saved import RawUnits, SavedModel, load_trained
from mirrorflow.models.paired import PairedNetwork
from mirrorflow.plan.paths import EmbeddingsRecord
from mirrorflow.steps.explained.cases import Case
from mirrorflow.steps.prototypes.slide_tiles import tokens_of
from mirrorflow.store.bags import FeatureBags
from mirrorflow.store.embeddings import read_embeddings
from mirrorflow.store.expression import read_expression
from mirrorflow.store.features import describe_features, read_coords
from mirrorflow.store.models import load_model
from mirrorflow.training.devices import choose_device
from mirrorflow.training.embedding import Embedder, EmbedSettings
from mirrorflow.training.removal import DeletionCurve, deletion_curve, effects, neighbours, per_patch

ORDERS, STEPS, SEED = 5, 10, 0
"""Random orders of a deletion curve, its steps, the seed of these orders and of covering draws."""


@dataclass(frozen=True)
class Files:
    """Where the data of the units lie; embeddings: records of a pretrained method."""

    index: Path
    expression: Path | None
    embeddings: Sequence[Path] = ()


@dataclass(frozen=True)
class Explained:
    """What a model says of a unit's patches (those it looks at).

    slides: of its bag, and their feature files; looked_at: patches of a larger bag that are looked at. weights, the
    main kind first. asked: the number whose change is told; whole: that number with all patches. effect [patch]: of its
    group, whose number is ``group``.
    """

    slides: list[str]
    files: list[Path]
    looked_at: int | None
    said: str
    weights: list[Weighed]
    asked: Asked
    whole: float
    group: np.ndarray
    effect: np.ndarray
    curve: DeletionCurve

    @property
    def patches(self) -> int:
        """How many patches are looked at."""
        return len(self.group)


def explain(case: Case, model: Path, files: Files, *, groups: int, covers: int) -> Explained:
    """The model on the case's unit. Raises InputError where it does not give the stored prediction, or data is gone."""
    saved = load_trained(model)
    slides, (own,) = case.unit["slide_ids"].iloc[0], bag_files(files.index, case.unit)
    if gone := [path for path in own if not path.exists()]:
        message = f"{gone[0]}: no features of {case.unit_name} there; make them again"
        raise InputError(message)
    looked_at = evaluation_tokens(saved.config) if saved.config["kind"] == "network" else None
    on_unit = _on_unit(saved, case, files, covers)
    weights = on_unit.weights()
    asked = asked_of(on_unit, case.classes)
    answer = answer_of(on_unit, asked)
    parts = neighbours(_places(own, looked_at), groups)
    found = effects(answer, on_unit.patches, parts)
    ranked = weights[0].values if weights else per_patch(found, parts, on_unit.patches)
    curve = deletion_curve(answer, ranked, steps=STEPS, orders=ORDERS, seed=SEED)
    return Explained(
        list(slides), own, looked_at, on_unit.said, weights, asked, float(curve.ordered[0]),
        per_patch(np.arange(len(parts)), parts, on_unit.patches).astype(int),
        per_patch(found, parts, on_unit.patches), curve,
    )  # fmt: skip


def _places(files: Sequence[Path], looked_at: int | None) -> np.ndarray:
    """Places [patch, 2] of the bag's patches, slides far beside each other; the order of patches that have none."""
    found, right = [np.zeros((0, 2))], 0.0
    for path in files:
        count, coords = describe_features(path).n, read_coords(path)
        own = np.stack([np.arange(count), np.zeros(count)], axis=1) if coords is None else coords.astype(float)
        if count:
            found.append(own - own.min(0) + [right, 0.0])
            right += 2 * float(np.ptp(own, axis=0).max()) + 1
    together = np.concatenate(found)
    return together[tokens_of(len(together), looked_at)]


def _on_unit(saved: SavedModel, case: Case, files: Files, covers: int) -> OnUnit:
    makers: dict[str, Callable[[SavedModel, Case, Files, int], OnUnit]] = {"network": _network, "head": _head}
    kind = saved.config["kind"]
    if kind not in makers:
        message = f"{saved.folder}: a model of kind {kind} has no patches to explain"
        raise InputError(message)
    return makers[kind](saved, case, files, covers)


def _network(saved: SavedModel, case: Case, files: Files, covers: int) -> NetworkOnUnit:
    expression = None
    if saved.genes and files.expression is not None:
        patients = case.unit["patient"].tolist()
        expression = read_expression(str(files.expression), patients=patients, genes=saved.genes).values
    bags = _bags(case, files, saved, saved.config["sizes"]["patch_dim"])
    units = saved.prepare(RawUnits(case.unit, bags, expression)).capped(evaluation_tokens(saved.config))
    on_unit = NetworkOnUnit(saved, units.bags[0], units.genes[0])
    hold_prediction(saved, on_unit.read(on_unit.logits(np.arange(on_unit.patches))), case.stored, case.unit_name)
    return on_unit


def _bags(case: Case, files: Files, saved: SavedModel, width: int) -> FeatureBags:
    """The unit's bag. Raises InputError where its features are not as wide as the model's."""
    bags = FeatureBags(bag_files(files.index, case.unit), cache_gb=0, names=[case.unit_name])
    if bags.width(0) != width:
        message = (
            f"{files.index}: features are {bags.width(0)} wide, the model in {saved.folder} takes {width}: it was "
            "trained with other settings"
        )
        raise InputError(message)
    return bags


def _head(saved: SavedModel, case: Case, files: Files, covers: int) -> HeadOnUnit:
    network = saved.source().eval()
    bags = _bags(case, files, saved, network.settings.patch_dim)
    training = load_model((saved.folder / saved.config["inputs"]["model_folder"]).resolve()).made_with["training"]
    settings = EmbedSettings.as_trained(training, saved.config["inputs"]["embeddings"]["settings"])
    rna = _held_vectors(saved, case, files, network, bags, settings)
    return HeadOnUnit(saved, network, bags[0], rna, Draws(settings.tokens, settings.short, covers, SEED))


def _held_vectors(
    saved: SavedModel, case: Case, files: Files, network: PairedNetwork, bags: FeatureBags, settings: EmbedSettings
) -> np.ndarray:
    """The unit's RNA vector [width] from the stored embeddings; they are held against prediction and features."""
    path = _embeddings_file(saved, files)
    embeddings = read_embeddings(path)
    number = (saved.config["epoch"] - 1) % len(embeddings.slide_eval)
    joined = embeddings.joined(draw=number, evaluation=True)[embeddings.units.index(case.unit_name)]
    hold_prediction(saved, saved.predict(joined[None, None]), case.stored, case.unit_name)
    slide, rna = np.split(joined, [embeddings.slide.shape[2]])
    seed = saved.config["inputs"]["embeddings"]["seed"]
    embedder = Embedder(network, bags, None, [case.unit_name], settings, seed, choose_device("cpu"))
    drawn = embedder.draws(training=False)[0].mean(0) if settings.mode == "frozen" else embedder.draw(number)[0]
    if not np.allclose(drawn[0], slide, rtol=1e-2, atol=1e-2 * float(np.abs(slide).max())):
        message = f"{path}: has {case.unit_name} otherwise than its features give it now; delete it and run again"
        raise InputError(message)
    return rna


def _embeddings_file(saved: SavedModel, files: Files) -> Path:
    """The embeddings that the head was trained on: of its seed and fold."""
    for path in files.embeddings:
        record = EmbeddingsRecord.parse(path)
        if record.seed == saved.config["seed"]:
            return Path(record.file(saved.config["fold"]).format())
    message = f"{saved.folder}: no embeddings of seed {saved.config['seed']} among the rule's inputs"
    raise InputError(message)
