import dataclasses
import json

import numpy as np
import pytest
import torch

from mirrorflow.errors import ConfigError, InputError, SettingsMismatchError
from mirrorflow.models.mirror import Mirror, MirrorSettings, build_mirror
from mirrorflow.store.embeddings import embeddings_are_finished, read_embeddings, stored_digest, write_embeddings
from mirrorflow.store.models import (
    load_checkpoint,
    load_model,
    model_digest,
    model_is_finished,
    save_checkpoint,
    save_model,
)
from mirrorflow.training import embedding
from mirrorflow.training.bags import ArrayBags, SomeBags
from mirrorflow.training.embedding import EmbedSettings, embed
from mirrorflow.training.trainer import TrainingState

NAMES = ["P1", "P2", "P3", "P4", "P5"]
SHAPE = MirrorSettings(
    4, 6, width=48, tokens=6, prototypes=10, style_widths=(12, 8, 4), attention="exact", losses=("alignment",)
)


def cohort() -> tuple[ArrayBags, np.ndarray]:
    rng = np.random.default_rng(0)
    bags = ArrayBags([rng.normal(size=(n, 4)).astype(np.float32) for n in (1, 3, 6, 12, 30)], NAMES)
    return bags, rng.normal(size=(5, 6)).astype(np.float32)


def embedded(settings: EmbedSettings, rows=(0, 1, 2, 3, 4), *, seed=0, attention="exact"):
    bags, genes = cohort()
    model = build_mirror(dataclasses.replace(SHAPE, attention=attention), 0)
    names = [NAMES[row] for row in rows]
    return embed(model, SomeBags(bags, rows), genes[list(rows)], names, settings, seed=seed, device="cpu")


def made_with(**changes) -> dict:
    model = json.loads(json.dumps(dataclasses.asdict(SHAPE)))
    return {"model": model, "training": {"epochs": 3, "learning_rate": 0.1} | changes, "data": {"genes": "abc"}}


@pytest.mark.parametrize("attention", ["exact", "nystrom"])
@pytest.mark.parametrize("short", ["resample", "mask"])
def test_frozen_embeddings_of_a_unit_do_not_depend_on_the_others(attention, short):
    settings = EmbedSettings(tokens=6, batch_size=2, short=short)
    whole, some = (embedded(settings, rows, attention=attention) for rows in ((0, 1, 2, 3, 4), (4, 2)))
    assert whole.slide.shape == whole.rna.shape == (1, 5, 48)
    np.testing.assert_allclose(some.slide[0], whole.slide[0, [4, 2]], atol=1e-6)
    np.testing.assert_allclose(some.rna[0], whole.rna[0, [4, 2]], atol=1e-6)


def test_small_bags_go_through_together_where_no_dropout_is_drawn(monkeypatch):
    settings = EmbedSettings(tokens=6, draws=2, batch_size=2, mode="resampled_dropout")
    together = embedded(settings)
    monkeypatch.setattr(embedding, "TOKENS_AT_A_TIME", 1)
    apart = embedded(settings)
    np.testing.assert_allclose(together.slide_eval, apart.slide_eval, atol=1e-6)
    assert np.array_equal(together.slide, apart.slide), "draws of dropout are those of a batch"


def test_frozen_embeddings_follow_from_the_seed():
    settings = EmbedSettings(tokens=6)
    first, again, other = (embedded(settings, seed=seed) for seed in (0, 0, 1))
    assert np.array_equal(first.slide, again.slide)
    assert not np.allclose(first.slide[0, 4], other.slide[0, 4])
    assert np.array_equal(first.rna, other.rna)
    assert first.slide_eval is first.slide


def test_several_draws_are_averaged_when_frozen():
    one, many = (embedded(EmbedSettings(tokens=6, draws=draws)) for draws in (1, 8))
    assert many.slide.shape == (1, 5, 48)
    assert not np.allclose(one.slide, many.slide)
    np.testing.assert_allclose(one.rna, many.rna, atol=1e-6)


def test_the_published_way_draws_anew_with_dropout_for_training_only():
    embeddings = embedded(EmbedSettings(tokens=6, draws=3, mode="resampled_dropout"))
    assert embeddings.slide.shape == embeddings.slide_eval.shape == (3, 5, 48)
    assert not np.allclose(embeddings.rna[0], embeddings.rna[1])
    assert np.array_equal(embeddings.rna_eval[0], embeddings.rna_eval[1])
    assert not np.allclose(embeddings.slide_eval[0, 4], embeddings.slide_eval[1, 4])
    np.testing.assert_array_equal(embeddings.joined(draw=4)[:, :48], embeddings.slide[1])
    np.testing.assert_array_equal(embeddings.joined(draw=4, evaluation=True)[:, 48:], embeddings.rna_eval[1])


def test_rna_is_embedded_once_where_no_dropout_is_drawn_and_many_units_at_a_time(monkeypatch):
    seen, whole = [], Mirror.encode_rna

    def counted(model, genes):
        seen.append(len(genes))
        return whole(model, genes)

    monkeypatch.setattr(Mirror, "encode_rna", counted)
    frozen = embedded(EmbedSettings(tokens=6, draws=3, batch_size=2))
    assert seen == [5]
    _, genes = cohort()
    expected = build_mirror(SHAPE, 0).eval().encode_rna(torch.from_numpy(genes)).detach().numpy()
    np.testing.assert_allclose(frozen.rna[0], expected, atol=1e-6)
    seen.clear()
    embedded(EmbedSettings(tokens=6, draws=3, batch_size=2, mode="resampled_dropout"))
    assert seen == [2, 2, 1] * 3 + [5]


def test_embedding_leaves_torchs_generator_alone_and_the_model_in_evaluation_mode():
    bags, genes = cohort()
    model, before = build_mirror(SHAPE, 0), torch.random.get_rng_state()
    settings = EmbedSettings(tokens=6, mode="resampled_dropout")
    embed(model, bags, genes, NAMES, settings, seed=0, device="cpu")
    assert torch.equal(torch.random.get_rng_state(), before)
    assert not model.training


def test_impossible_settings_are_named():
    with pytest.raises(ConfigError, match="draws is 0"):
        EmbedSettings(draws=0)
    with pytest.raises(ConfigError, match="mode is 'warm'; allowed: frozen"):
        EmbedSettings(mode="warm")


@pytest.mark.parametrize("mode", ["frozen", "resampled_dropout"])
def test_embeddings_are_read_as_written(tmp_path, mode):
    path, settings = tmp_path / "fold0.safetensors", {"mode": mode}
    embeddings = embedded(EmbedSettings(tokens=6, draws=2, mode=mode))
    write_embeddings(path, embeddings, settings)
    read = read_embeddings(path)
    assert read.units == tuple(NAMES)
    for name in ("slide", "rna", "slide_eval", "rna_eval"):
        assert np.array_equal(getattr(read, name), getattr(embeddings, name))
    assert embeddings_are_finished(path, settings)
    assert not embeddings_are_finished(path, {"mode": "other"})
    write_embeddings(path, embeddings, settings | {"scale": 1})
    assert embeddings_are_finished(path, settings | {"scale": 1.0})
    assert len(stored_digest(path)) == 16


def test_damaged_embeddings_are_named_and_made_again(tmp_path):
    path = tmp_path / "fold0.safetensors"
    path.write_bytes(b"half a file")
    assert not embeddings_are_finished(path, {})
    with pytest.raises(InputError, match=r"fold0\.safetensors: not readable as embeddings"):
        read_embeddings(path)


def test_a_model_is_loaded_as_saved(tmp_path):
    model = build_mirror(SHAPE, 3)
    model.scale_patches(torch.full((4,), 0.5), torch.full((4,), 2.0))
    scaler = {"mean": np.arange(6.0, dtype=np.float32)}
    (tmp_path / "checkpoint.pt").write_bytes(b"")
    save_model(tmp_path, model, made_with(), rna_scaler=scaler, history=[{"epoch": 1.0, "total": 2.5}])
    assert sorted(path.name for path in tmp_path.iterdir()) == ["config.json", "history.csv", "model.safetensors"]
    stored = load_model(tmp_path)
    assert stored.network.settings == SHAPE
    assert not stored.network.training
    weights = stored.network.state_dict()
    assert all(torch.equal(weights[name], value) for name, value in model.state_dict().items())
    assert stored.rna_scaler["mean"].tolist() == [0, 1, 2, 3, 4, 5]
    config = json.loads((tmp_path / "config.json").read_text())
    assert config["digest"] == model_digest(tmp_path)
    assert config["training"] == {"epochs": 3, "learning_rate": 0.1}
    assert (tmp_path / "history.csv").read_text().splitlines() == ["epoch,total", "1.0,2.5"]


def test_only_a_whole_model_of_the_same_settings_counts_as_finished(tmp_path):
    assert not model_is_finished(tmp_path, made_with())
    save_model(tmp_path, build_mirror(SHAPE, 0), made_with(), rna_scaler={}, history=[{"epoch": 1.0}])
    assert model_is_finished(tmp_path, made_with())
    assert model_is_finished(tmp_path, made_with(epochs=3.0))
    assert not model_is_finished(tmp_path, made_with(epochs=4))
    path = tmp_path / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-100])
    assert not model_is_finished(tmp_path, made_with())
    with pytest.raises(InputError, match="no finished model"):
        load_model(tmp_path)


def test_a_checkpoint_comes_back_and_another_configs_is_refused(tmp_path):
    assert load_checkpoint(tmp_path, made_with()) is None
    state = TrainingState(2, {"w": torch.ones(2)}, {"state": {0: {"step": torch.tensor(3.0)}}}, [{"total": 1.5}])
    save_checkpoint(tmp_path, state, made_with())
    read = load_checkpoint(tmp_path, made_with())
    assert read.epoch == 2
    assert read.history == [{"total": 1.5}]
    assert read.model["w"].tolist() == [1.0, 1.0]
    with pytest.raises(SettingsMismatchError, match=r"training.learning_rate: made with 0.1, this run wants 0.2"):
        load_checkpoint(tmp_path, made_with(learning_rate=0.2))


def test_a_damaged_checkpoint_is_passed_over(tmp_path, caplog):
    (tmp_path / "checkpoint.pt").write_bytes(b"not a checkpoint")
    assert load_checkpoint(tmp_path, made_with()) is None
    assert "training starts anew" in caplog.text
