import numpy as np
import pandas as pd
import pytest
import torch

from mirrorflow.models.families import build_network
from mirrorflow.models.settings import MirrorSettings
from mirrorflow.probes.linear_head import HeadSettings, fit_linear_head, last_head
from mirrorflow.probes.task import SubtypePrediction, Targets
from mirrorflow.tables.sensitivity import METRICS, sensitivity_table, shown
from mirrorflow.training.bags import ArrayBags
from mirrorflow.training.embedding import EmbedSettings, embed
from mirrorflow.training.sensitivity import KnownUnits, sensitivities

UNITS, GENES, PATCH_DIM, WIDTH, TOKENS = 5, 7, 6, 24, 4
NAMES = [f"unit-{i}" for i in range(UNITS)]
SETTINGS = EmbedSettings(tokens=TOKENS, batch_size=2)


def network(attention: str = "exact"):
    settings = MirrorSettings(
        patch_dim=PATCH_DIM, gene_count=GENES, width=WIDTH, tokens=TOKENS, prototypes=8, attention=attention
    )
    return build_network("mirror", settings, seed=0).eval()


def inputs() -> tuple[ArrayBags, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    bags = ArrayBags([rng.normal(size=(TOKENS, PATCH_DIM)).astype(np.float32) for _ in range(UNITS)])
    return bags, rng.normal(size=(UNITS, GENES)).astype(np.float32), np.array([0, 1, 2, 0, 1])


def head(classes: int = 3) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(1)
    return rng.normal(size=(classes, 2 * WIDTH)), rng.normal(size=classes)


def measured(model, classes: np.ndarray, weight: np.ndarray, bias: np.ndarray) -> dict[str, np.ndarray]:
    bags, genes, _ = inputs()
    return sensitivities(model, (weight, bias), KnownUnits(NAMES, bags, genes, classes), SETTINGS, seed=3, device="cpu")


def test_the_jacobian_is_that_of_finite_differences():
    """Of the RNA part, in float64, entry by entry."""
    model, (bags, genes, classes), (weight, bias) = network(), inputs(), head()
    found = measured(model, classes, weight, bias)
    model, step, columns = model.double(), 1e-6, []
    patches = torch.zeros(1, TOKENS, PATCH_DIM, dtype=torch.float64)

    def logits(values: np.ndarray) -> np.ndarray:
        with torch.inference_mode():
            vector = torch.cat(model.encode(patches, torch.as_tensor(values[None], dtype=torch.float64)), 1)
        return vector.numpy()[0] @ weight.T + bias

    for gene in range(GENES):
        moved = np.eye(GENES)[gene] * step
        columns.append((logits(genes[1] + moved) - logits(genes[1] - moved)) / (2 * step))
    jacobian = np.array(columns).T
    assert found["s2_rna"][1] == pytest.approx(np.linalg.norm(jacobian), rel=1e-3)
    here = logits(genes[1])
    rival = max((0, 2), key=lambda k: here[k] + embed_slide(model, bags, weight, 1)[k])
    assert found["s1_rna"][1] == pytest.approx(np.linalg.norm(jacobian[1] - jacobian[rival]), rel=1e-3)


def embed_slide(model, bags: ArrayBags, weight: np.ndarray, unit: int) -> np.ndarray:
    """What the unit's slide adds to the logits, less what a slide of zeros adds."""
    with torch.inference_mode():
        rna = torch.zeros(1, GENES, dtype=torch.float64)
        slides = (torch.as_tensor(bags[unit][None]).double(), torch.zeros(1, TOKENS, PATCH_DIM, dtype=torch.float64))
        own, empty = (model.encode(slide, rna)[0].numpy()[0] for slide in slides)
    return (own - empty) @ weight[:, :WIDTH].T


def test_both_inputs_are_the_root_of_the_sum_of_squares():
    _, _, classes = inputs()
    found = measured(network(), classes, *head())
    for name in ("s1", "s2"):
        np.testing.assert_allclose(found[name], np.hypot(found[f"{name}_slide"], found[f"{name}_rna"]), rtol=1e-6)
        assert (found[name] > 0).all()


def test_the_norms_grow_with_the_head_and_forget_its_bias():
    _, _, classes = inputs()
    weight, bias = head()
    found, twice = measured(network(), classes, weight, bias), measured(network(), classes, 2 * weight, 2 * bias)
    for name in METRICS:
        np.testing.assert_allclose(twice[name], 2 * found[name], rtol=1e-4)


def test_with_two_classes_the_margin_does_not_know_which_is_true():
    weight, bias = head(2)
    classes = np.array([0, 1, 0, 1, 0])
    one, other = (measured(network(), labels, weight, bias)["s1"] for labels in (classes, 1 - classes))
    np.testing.assert_allclose(one, other, rtol=1e-6)


@pytest.mark.parametrize("attention", ["exact", "nystrom"])
def test_a_unit_does_not_depend_on_its_company(attention: str):
    bags, genes, classes = inputs()
    weight, bias = head()
    arguments = {"seed": 3, "device": "cpu"}
    together = measured(network(attention), classes, weight, bias)
    alone = sensitivities(
        network(attention), (weight, bias), KnownUnits(NAMES[:1], ArrayBags(bags.arrays[:1]), genes[:1], classes[:1]),
        SETTINGS, **arguments,
    )  # fmt: skip
    for name in METRICS:
        np.testing.assert_allclose(alone[name], together[name][:1], rtol=1e-4)


def test_the_weights_stay_trainable():
    model = network()
    _, _, classes = inputs()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    measured(model, classes, *head())
    assert all(parameter.requires_grad for parameter in model.parameters())
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


@pytest.mark.parametrize("standardize", [False, True])
def test_the_last_head_gives_the_probes_probabilities(*, standardize: bool):
    bags, genes, _ = inputs()
    vectors = embed(network(), bags, genes, NAMES, SETTINGS, seed=3, device="cpu").joined()
    targets = Targets(pd.DataFrame(index=range(UNITS)), classes=np.array([0, 1, 2, 0, 1]))
    settings = HeadSettings(epochs=5, standardize=standardize, weight_decay=0.01)
    weight, bias = last_head(vectors[None], targets, 3, settings)
    expected = fit_linear_head(vectors[None], vectors[None], targets, 3, settings)
    assert isinstance(expected, SubtypePrediction)
    found = torch.as_tensor(vectors.astype(float) @ weight.T + bias).softmax(1).numpy()
    np.testing.assert_allclose(found, expected.probabilities, atol=1e-5)


def unit_rows(cohort: str = "brca") -> pd.DataFrame:
    rows = pd.DataFrame({"fold": [0, 0, 1, 1, 1], "seed": 42, "s1": [1.0, 3.0, 4.0, 4.0, 4.0]})
    rows = rows.assign(**{name: 0.5 for name in METRICS if name != "s1"})
    return rows.assign(protocol="honest", cohort=cohort, encoder="phikon", method="mirror")


PUBLISHED = pd.DataFrame(
    {
        "paper": "mirror", "table": "V-C1", "cohort": "TCGA-BRCA", "encoder": "phikon", "method": "mirror",
        "metric": ["s1", "s2"], "mean": [0.768, 0.484], "sd": [0.045, 0.248], "suspect": "",
    }
)  # fmt: skip


def test_the_table_averages_folds_and_never_calls_itself_comparable():
    table = sensitivity_table(unit_rows(), PUBLISHED, cohorts={"brca": "TCGA-BRCA"}).set_index("metric")
    row = table.loc["s1"]
    assert (row["mean"], row["n"], row["folds"]) == (3.0, 5, 2)
    assert row["sd"] == pytest.approx(np.std([2, 4], ddof=1))
    assert row["published_mean"] == 0.768
    assert set(table["comparable"]) == {"no"}
    assert "scale" in row["why_not"]
    assert np.isnan(table.loc["s1_rna", "published_mean"])


def test_a_reader_sees_the_published_value_in_brackets():
    table = sensitivity_table(unit_rows(), PUBLISHED, cohorts={"brca": "TCGA-BRCA"})
    wide = shown(table, {"method": {"mirror": "MIRROR"}, "cohort": {}, "encoder": {}})
    assert wide["Method"].tolist() == ["MIRROR"]
    assert wide["s1"].tolist() == ["3 ± 1.4 (0.768)"]
    assert wide["s1_rna"].tolist() == ["0.5 ± 0"]


def test_a_suspect_published_value_is_shown_as_such():
    table = sensitivity_table(unit_rows(), PUBLISHED.assign(suspect="inferred"), cohorts={"brca": "TCGA-BRCA"})
    assert table.set_index("metric").loc["s1", "suspect"] == "inferred"
    assert shown(table, {})["s1"].tolist() == ["3 ± 1.4 (0.768, suspect)"]
