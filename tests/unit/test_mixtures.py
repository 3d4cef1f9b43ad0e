"""Mixtures of prototypes: EM and k-means beside scikit-learn, a slide by hand, one fit for two methods."""

from typing import Any

import h5py
import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.cluster import KMeans
from sklearn.mixture import GaussianMixture

from labelled_cohort import Store
from mirrorflow.cohorts.splits import Fold
from mirrorflow.config.methods import METHODS
from mirrorflow.errors import CannotFitError, InputError
from mirrorflow.learners.inputs.bagged import FoldBags
from mirrorflow.learners.inputs.own_fit import OWN_FIT, own_fit_of
from mirrorflow.metrics import c_index
from mirrorflow.models.mixtures.em import Mixture, fit_mixture, lloyd
from mirrorflow.models.mixtures.fit import fit_patches
from mirrorflow.models.mixtures.rows import ArrayRows, DrawnRows, draw
from mirrorflow.models.mixtures.tokens import PrototypeTokens
from mirrorflow.models.supervised import Sizes, build_network
from mirrorflow.probes.objective import Cox, target_tensors
from mirrorflow.probes.task import Targets
from mirrorflow.store.digest import patients_digest
from mirrorflow.training.bags import ArrayBags
from mirrorflow.training.supervised import LabelledUnits, SupervisedSettings, Units, predict_units, train_supervised

FIT = {"components": 2, "prior": "kmeans", "sample": 1000, "restarts": 2}


def clouds(count: int = 300, shift: float = 0.0) -> np.ndarray:
    rng = np.random.default_rng(0)
    centres = rng.normal(scale=6.0, size=(3, 4))
    return (centres[rng.integers(3, size=count)] + rng.normal(size=(count, 4)) + shift).astype(np.float32)


def start_of(values: np.ndarray, components: int = 3) -> Mixture:
    means = torch.from_numpy(values[:components]).double()
    variances = torch.from_numpy(values.var(0)).double().expand(components, -1)
    return Mixture(torch.full((components,), 1 / components, dtype=torch.float64), means, variances)


@pytest.mark.parametrize("shift", [0.0, 1000.0])
def test_em_takes_the_steps_that_scikit_learn_takes(shift):
    values = clouds(shift=shift)
    start = start_of(values)
    theirs = GaussianMixture(
        3, covariance_type="diag", max_iter=7, tol=0.0, reg_covar=1e-6,
        weights_init=start.weights.numpy(), means_init=start.means.numpy(), precisions_init=1 / start.variances.numpy(),
    )  # fmt: skip
    with pytest.warns(match="did not converge"):
        theirs.fit(values.astype(np.float64))
    ours = fit_mixture(ArrayRows(values), start, steps=7, tolerance=0.0)
    np.testing.assert_allclose(ours.mixture.means, theirs.means_, rtol=1e-4, atol=1e-3)
    np.testing.assert_allclose(ours.mixture.variances, theirs.covariances_, rtol=1e-3)
    np.testing.assert_allclose(ours.mixture.weights, theirs.weights_, rtol=1e-4)
    assert ours.log_likelihoods[-1] == pytest.approx(theirs.score(values.astype(np.float64)), rel=1e-5)
    assert all(np.diff(ours.log_likelihoods) > -1e-5)
    assert not ours.settled


def test_em_ends_where_the_likelihood_stands_still():
    ours = fit_mixture(ArrayRows(clouds()), start_of(clouds()), steps=200, tolerance=1e-3)
    assert ours.settled
    assert len(ours.log_likelihoods) < 60


def test_k_means_takes_the_steps_of_lloyd():
    values = clouds()
    theirs = KMeans(3, init=values[:3], n_init=1, algorithm="lloyd", tol=0.0).fit(values)
    ours = lloyd(ArrayRows(values), torch.from_numpy(values[:3]).double(), steps=100)
    np.testing.assert_allclose(ours.centres, theirs.cluster_centers_, rtol=1e-4, atol=1e-4)
    assert ours.inertia == pytest.approx(theirs.inertia_, rel=1e-4)


def test_an_empty_cluster_stays_where_it_is():
    values = np.array([[0.0], [1.0], [10.0]], np.float32)
    found = lloyd(ArrayRows(values), torch.tensor([[0.0], [10.0], [99.0]]).double(), steps=5)
    assert found.centres[:, 0].tolist() == pytest.approx([0.5, 10.0, 99.0], abs=1e-4)


def test_a_sample_takes_as_many_patches_of_each_unit_as_it_has_and_reads_the_same_twice():
    bags = ArrayBags([np.full((size, 2), size, np.float32) for size in (1, 3, 50)])
    rows = draw(bags, 12, np.random.default_rng(0))
    assert isinstance(rows, ArrayRows)
    assert sorted(rows.array[:, 0].tolist()) == [1.0] + [3.0] * 3 + [50.0] * 4
    streamed = DrawnRows(bags, [np.arange(1), np.arange(3), np.arange(50)])
    assert len(streamed) == 54
    assert np.array_equal(np.concatenate(list(streamed.chunks())), np.concatenate(list(streamed.chunks())))


def test_fits_of_the_same_seed_are_equal_and_of_a_stream_as_of_an_array(monkeypatch):
    bags = ArrayBags([clouds(40), clouds(90)[50:]])
    one, again = (fit_patches(bags, np.random.default_rng(3), **FIT) for _ in range(2))
    assert all(np.array_equal(one[name], again[name]) for name in one)
    monkeypatch.setattr("mirrorflow.models.mixtures.rows.HELD_GB", 0.0)
    streamed = fit_patches(bags, np.random.default_rng(3), **FIT)
    assert all(np.allclose(one[name], streamed[name], atol=1e-4) for name in one)
    wide = fit_patches(bags, np.random.default_rng(3), **FIT | {"prior": "mixture"})
    assert not np.allclose(wide["tokens.variances"], 1.0)
    assert wide["tokens.weights"].sum() == pytest.approx(1.0)


def test_fewer_patches_than_components_are_told_with_what_to_set():
    with pytest.raises(
        CannotFitError, match=r"16 components cannot be fitted on 3 different patches.*network\.components"
    ):
        fit_patches(ArrayBags([np.eye(3, dtype=np.float32)]), np.random.default_rng(0), **FIT | {"components": 16})


def test_a_slides_mixture_is_one_map_step_by_hand():
    tokens = PrototypeTokens(2, 2, 1)
    tokens.means.copy_(torch.tensor([[0.0, 0.0], [2.0, 2.0]]))
    bag = torch.tensor([[0.0, 1.0], [2.0, 1.0], [3.0, 3.0]])
    scores = torch.stack([-0.5 * (bag - mean).square().sum(1) for mean in tokens.means], dim=1)
    share = scores.softmax(1)
    counts = share.sum(0) + 1
    weights = counts / counts.sum()
    means = (share.T @ bag + tokens.means) / counts[:, None]
    squares = (share.T @ bag.square() + 1 + tokens.means.square()) / counts[:, None]
    expected = torch.cat([weights[:, None], means, squares - means.square()], dim=1)
    padded = torch.cat([bag, torch.full((2, 2), 7.0)])[None]
    mask = torch.tensor([[True] * 3 + [False] * 2])
    torch.testing.assert_close(tokens(padded, mask)[0], expected)


def test_two_steps_go_on_from_the_slides_own_mixture():
    one, two = PrototypeTokens(2, 2, 1), PrototypeTokens(2, 2, 2)
    two.load_state_dict(one.state_dict())
    bag, mask = torch.randn(1, 5, 2, generator=torch.Generator().manual_seed(0)), torch.ones(1, 5, dtype=torch.bool)
    assert not torch.allclose(one(bag, mask), two(bag, mask))


@pytest.fixture
def store(tmp_path):
    return Store(tmp_path)


def fitted(store: Store, family: str, **changes: Any) -> tuple[Fold, FoldBags]:
    inputs = store.inputs(inputs=["slides"], fit=own_fit_of(family, settings_of(family) | changes))
    units = inputs.units
    fold = _fold(store)
    sides = [units[units["patient"].isin(side)] for side in (fold.train, fold.val)]
    return fold, inputs.vectors(fold, 0, 42, *sides)


def settings_of(family: str) -> dict[str, Any]:
    return METHODS[family].defaults["network"] | {"components": 2, "sample": 500}


def _fold(store: Store) -> Fold:
    names = store.frame["patient"].tolist()
    return Fold(tuple(names[:20]), tuple(names[20:]))


def test_one_fit_serves_both_methods_and_is_reported_on_the_training_patients(store, monkeypatch):
    calls = []
    real = fit_patches

    def counted(bags, rng, *, components, prior, sample, restarts):
        calls.append(len(bags))
        return real(bags, rng, components=components, prior=prior, sample=sample, restarts=restarts)

    counted.__module__, counted.__qualname__ = real.__module__, real.__qualname__
    for family in ("panther", "mmp"):
        monkeypatch.setattr(f"mirrorflow.models.{family}.fit_patches", counted)
    fold, one = fitted(store, "panther")
    _, other = fitted(store, "mmp")
    assert calls == [20]
    assert all(np.array_equal(one.own[name], other.own[name]) for name in one.own)
    assert one.fitted[OWN_FIT] == patients_digest(fold.train)
    network = build_network("panther", Sizes(5, 0, 1), settings_of("panther"), 0)
    network.take_fitted({name: torch.from_numpy(array) for name, array in one.own.items()})
    assert np.array_equal(network.tokens.means, one.own["tokens.means"])
    fitted(store, "panther", components=3)
    assert calls == [20, 20]


def test_evaluation_patients_slides_change_no_prototype(store):
    _, before = fitted(store, "panther")
    for patient in _fold(store).val:
        for path in store.folder.glob(f"{patient}-*.h5"):
            with h5py.File(path, "r+") as file:
                file["features"][...] = file["features"][...] * -7.0
    for kept in (store.folder / "index.fits").glob("*"):
        kept.unlink()
    _, after = fitted(store, "panther")
    assert all(np.array_equal(before.own[name], after.own[name]) for name in before.own)


def test_too_few_patches_leave_the_fold_out_with_the_reason(store):
    with pytest.raises(CannotFitError, match=r"set network\.components to fewer"):
        fitted(store, "panther", components=5000)
    plan = store.plan("panther", tasks=["survival"], shots=[])
    fit = own_fit_of("panther", plan.method["network"] | {"components": 5000})
    folder = store.predict(plan, store.inputs(inputs=["slides"], fit=fit))
    skipped = (folder / "manifest.json").read_text()
    assert "5000 components cannot be fitted" in skipped


def test_a_damaged_fit_is_made_again(store):
    _, before = fitted(store, "panther")
    (kept,) = (store.folder / "index.fits").glob("*.safetensors")
    kept.write_bytes(b"x")
    _, after = fitted(store, "panther")
    assert all(np.array_equal(before.own[name], after.own[name]) for name in before.own)


def test_a_slide_that_changes_its_patient_is_fitted_anew(store):
    fitted(store, "panther")
    slides = store.frame["slide_ids"].tolist()
    store.frame["slide_ids"] = [["P00-1"], ["P00-2", "P01-1"], *slides[2:]]
    fitted(store, "panther")
    assert len(list((store.folder / "index.fits").glob("*.safetensors"))) == 2


def test_patches_are_fitted_as_the_network_sees_them(store):
    _, scaled = fitted(store, "panther")
    inputs = store.inputs(inputs=["slides"], fit=own_fit_of("panther", settings_of("panther")), feature_scaling="none")
    fold = _fold(store)
    sides = [inputs.units[inputs.units["patient"].isin(side)] for side in (fold.train, fold.val)]
    plain = inputs.vectors(fold, 0, 42, *sides)
    assert np.abs(scaled.own["tokens.means"]).max() < np.abs(plain.own["tokens.means"]).max()


def test_a_broken_file_is_no_reason_to_leave_a_fold_out(store):
    (store.folder / "P00-1.h5").write_bytes(b"no features")
    with pytest.raises(InputError) as caught:
        fitted(store, "panther")
    assert not isinstance(caught.value, CannotFitError)


def test_fitted_prototypes_learn_a_planted_risk_and_no_shuffled_one():
    """The share of one of three clouds in a bag tells the risk; its mean and spread do not differ from the others'."""
    rng = np.random.default_rng(5)
    centres = rng.normal(scale=6.0, size=(3, 4))
    share = rng.uniform(0.05, 0.9, size=90)
    bags = [
        (centres[np.where(rng.random(30) < own, 0, rng.integers(1, 3, size=30))] + rng.normal(size=(30, 4))).astype(
            "f4"
        )
        for own in share
    ]
    fitted_on = fit_patches(ArrayBags(bags[:60]), rng, components=3, prior="kmeans", sample=2000, restarts=2)
    times, event = rng.exponential(np.exp(-4 * share)), np.ones(90, bool)

    def agreement(order: np.ndarray) -> float:
        network = build_network("panther", Sizes(4, 0, 1), {"components": 3}, 0)
        network.take_fitted({name: torch.from_numpy(array) for name, array in fitted_on.items()})
        known = Targets(pd.DataFrame(index=range(60)), time_days=times[:60][order], event=event[:60], bins=event[:60])
        units = [Units(ArrayBags(part), np.zeros((len(part), 0), np.float32)) for part in (bags[:60], bags[60:])]
        cox = Cox(known, np.array([1.0]))
        how = SupervisedSettings(epochs=40, batch_size=20, learning_rate=0.05, tokens=30, min_steps=0, seed=1)
        train_supervised(network, LabelledUnits(units[0], target_tensors(known), cox), how, device="cpu")
        risk = predict_units(network, units[1], device="cpu").squeeze(1).numpy()
        return float(c_index(risk, times[60:], event[60:], np.ones((1, 30)))[0])

    assert agreement(np.arange(60)) > 0.7
    assert agreement(np.random.default_rng(2).permutation(60)) < 0.65
