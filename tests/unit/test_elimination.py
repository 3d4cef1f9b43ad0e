import numpy as np
import pytest

from mirrorflow.errors import ConfigError, InputError
from mirrorflow.expression.elimination import Step, eliminate
from mirrorflow.expression.svm import fit_duals, one_vs_rest


def problem(n: int, p: int, classes: int = 2, seed: int = 0) -> tuple[np.ndarray, np.ndarray, list[str]]:
    """Random genes, a fifth of which differ between the classes."""
    rng = np.random.default_rng(seed)
    labels = np.arange(n) % classes
    effect = rng.standard_normal((classes, p)) * (rng.random(p) < 0.2)
    ids = [f"gene{number:04d}" for number in range(p)]
    return rng.standard_normal((n, p)) + 0.5 * effect[labels], labels, ids


def order_of(X: np.ndarray, labels: np.ndarray, ids: list[str]) -> list[str]:
    """Ids in the order they leave, one by one."""
    ranking = eliminate(X, labels, ids=ids, step=Step(1)).ranking
    return [ids[gene] for gene in np.argsort(-ranking)]


def order_by_refitting(X: np.ndarray, labels: np.ndarray, ids: list[str]) -> list[str]:
    """The same by the definition: fit everything, drop the lowest, again."""
    here, left = list(range(len(ids))), []
    while len(here) > 1:
        names = [ids[gene] for gene in here]
        fitted = eliminate(X[:, here], labels, ids=names, step=Step(2), n_features=len(here))
        lowest = np.square(fitted.coefficients).sum(axis=0).argmin()
        left.append(here.pop(lowest))
    return [ids[gene] for gene in [*left, *here]]


def test_the_optimum_has_no_gradient():
    X, labels, _ = problem(40, 15)
    signs = one_vs_rest(labels, np.unique(labels))
    duals = fit_duals(X @ X.T + 1, signs, C=0.7)[0]
    with_one = np.column_stack([X, np.ones(40)])
    weights = with_one.T @ duals
    slack = np.maximum(0, 1 - signs[0] * (with_one @ weights))
    gradient = weights - 2 * 0.7 * with_one.T @ (signs[0] * slack)
    assert np.abs(gradient).max() < 1e-10


@pytest.mark.parametrize(("n", "p", "classes"), [(30, 120, 2), (90, 30, 2), (45, 60, 3)])
def test_one_by_one_leaves_what_refitting_leaves(n: int, p: int, classes: int):
    X, labels, ids = problem(n, p, classes)
    assert order_of(X, labels, ids) == order_by_refitting(X, labels, ids)


def test_one_by_one_needs_its_shortlists(monkeypatch: pytest.MonkeyPatch):
    """With lists of 20 and 6 genes the bounds, not a full look, decide; the order stays."""
    X, labels, ids = problem(30, 150, seed=3)
    looked_at_everything = order_of(X, labels, ids)
    monkeypatch.setattr("mirrorflow.expression.shortlist.LONG", 20)
    monkeypatch.setattr("mirrorflow.expression.shortlist.SHORT", 6)
    assert order_of(X, labels, ids) == looked_at_everything


@pytest.mark.parametrize("step", [Step(0.1), Step(0.2, "remaining"), Step(7), Step(1)])
def test_the_order_of_columns_does_not_matter(step: Step):
    X, labels, ids = problem(30, 80)
    X[:, 10:20] = X[:, 30:40]  # ties
    shuffled = np.random.default_rng(1).permutation(80)
    ranking = eliminate(X, labels, ids=ids, step=step).ranking
    again = eliminate(X[:, shuffled], labels, ids=[ids[gene] for gene in shuffled], step=step).ranking
    assert np.array_equal(ranking[shuffled], again)


@pytest.mark.parametrize("step", [Step(3), Step(1)])
def test_equal_genes_leave_by_id(step: Step):
    X, labels, ids = problem(30, 40)
    X[:, 5:15] = X[:, [20]]
    ranking = eliminate(X, labels, ids=ids, step=step).ranking
    tied = ranking[[*range(5, 15), 20]]
    assert (np.diff(tied) <= 0).all()
    assert step.size > 1 or (np.diff(tied) < 0).all()


def test_constant_and_zero_genes_leave_first():
    X, labels, ids = problem(30, 20)
    X[:, 4] = 0.0
    assert order_of(X, labels, ids)[0] == "gene0004"


def test_a_gene_far_larger_than_all_others_is_survived():
    X, labels, ids = problem(40, 60)
    X[:, 7] = 1e6 * (labels - 0.5) + X[:, 7]
    assert order_of(X, labels, ids) == order_by_refitting(X, labels, ids)


def test_the_planted_genes_stay_and_the_weights_are_of_the_kept():
    rng = np.random.default_rng(5)
    labels = np.arange(60) % 2
    X = rng.standard_normal((60, 100)).astype(np.float32)
    X[:, :5] += 2.0 * (2 * labels[:, None] - 1)
    result = eliminate(X, labels, ids=[f"g{number:03d}" for number in range(100)], C=1e-3, n_features=5)
    assert np.flatnonzero(result.kept).tolist() == [0, 1, 2, 3, 4]
    assert (result.coefficients[:, 5:] == 0).all()
    assert (result.coefficients[:, :5] > 0).all()


@pytest.mark.parametrize(
    ("step", "counts"),
    [
        (Step(0.05), [100, 95, 90, 85, 80, 75, 70, 65, 60, 55, 50, 45, 40, 35, 30, 25, 20, 15, 10, 8]),
        (Step(0.5, "remaining"), [100, 50, 25, 13, 8]),
        (Step(40), [100, 60, 20, 8]),
        (Step(0.001), list(range(100, 7, -1))),
    ],
)
def test_numbers_of_genes_by_step(step: Step, counts: list[int]):
    assert step.counts(100, 8) == counts


@pytest.mark.parametrize(("size", "of"), [(0, "original"), (-1, "original"), (1.5, "original"), (0.1, "rest")])
def test_impossible_steps_are_refused(size: float, of: str):
    with pytest.raises(ConfigError, match="step"):
        Step(size, of)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_values_that_are_not_finite_are_refused_by_name(value: float):
    X, labels, ids = problem(10, 12)
    X[3, 7] = value
    with pytest.raises(InputError, match=r"gene0007, sample number 3"):
        eliminate(X, labels, ids=ids)


def test_repeated_ids_are_refused():
    X, labels, ids = problem(10, 12)
    with pytest.raises(InputError, match="gene0001"):
        eliminate(X, labels, ids=[*ids[:-1], "gene0001"])


def test_one_class_is_refused():
    X, _, ids = problem(10, 12)
    with pytest.raises(InputError, match="one class only"):
        eliminate(X, np.zeros(10), ids=ids)
