"""Public checkpoints of MIRROR: names and shapes as its repository has them, values made up."""

import argparse
import os
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import save_file
from torch import Tensor

from mirrorflow.cli import main
from mirrorflow.errors import InputError
from mirrorflow.models.public_mirror import heads_side_by_side, network_of
from mirrorflow.store.models import load_model

D, PATCH, GENES, TOKENS, HIDDEN, PROTOTYPES = 48, 10, 14, 9, 123, 20  # HIDDEN: int(2.572 * 48)


def layer(name: str, out: int, into: int, *, bias: bool = True) -> dict[str, tuple[int, ...]]:
    return {f"{name}.weight": (out, into), **({f"{name}.bias": (out,)} if bias else {})}


def norm(name: str, width: int) -> dict[str, tuple[int, ...]]:
    return {f"{name}.weight": (width,), f"{name}.bias": (width,)}


def nystrom(name: str) -> dict[str, tuple[int, ...]]:
    return {
        **norm(f"{name}.norm", D),
        **layer(f"{name}.attn.to_qkv", 3 * D, D, bias=False),
        **layer(f"{name}.attn.to_out.0", D, D),
        f"{name}.attn.res_conv.weight": (8, 1, 33, 1),
    }


def block(name: str) -> dict[str, tuple[int, ...]]:
    return {
        **norm(f"{name}.norm1", D),
        **layer(f"{name}.attn.qkv", 3 * D, D),
        **layer(f"{name}.attn.proj", D, D),
        **norm(f"{name}.norm2", D),
        **layer(f"{name}.mlp.fc1", HIDDEN, D),
        **layer(f"{name}.mlp.fc2", D, HIDDEN),
    }


def decoders(side: str, mask: tuple[int, ...], places: tuple[int, ...]) -> dict[str, tuple[int, ...]]:
    return {
        f"{side}.mask_token": mask,
        f"{side}.generative_pos_embed": places,
        **layer(f"{side}.contrastive_head", D, D),
        **layer(f"{side}.generative_embed", D, D),
        **norm(f"{side}.generative_norm", D),
        **layer(f"{side}.generative_head", D, D),
    }


def shapes() -> dict[str, tuple[int, ...]]:
    convolutions = {}
    for name, size in (("proj", 7), ("proj1", 5), ("proj2", 3)):
        convolutions[f"wsi_encoder.pos_layer.{name}.weight"] = (D, 1, size, size)
        convolutions[f"wsi_encoder.pos_layer.{name}.bias"] = (D,)
    return {
        "logit_scale": (),
        "wsi_encoder.cls_token": (1, 1, D),
        **convolutions,
        **layer("wsi_encoder._fc1.0", D, PATCH),
        **nystrom("wsi_encoder.layer1"),
        **nystrom("wsi_encoder.layer2"),
        **norm("wsi_encoder.norm", D),
        **decoders("wsi_encoder", (1, 1, D), (1, TOKENS + 1, D)),
        **nystrom("wsi_encoder.generative_blocks.0"),
        "rna_encoder.pos_embed": (1, D),
        **layer("rna_encoder.embedding.fc1", 2 * D, GENES),
        **norm("rna_encoder.embedding.norm", 2 * D),
        **layer("rna_encoder.embedding.fc2", D, 2 * D),
        **block("rna_encoder.blocks.0"),
        **block("rna_encoder.blocks.1"),
        **norm("rna_encoder.norm", D),
        **decoders("rna_encoder", (1, 1), (1, D)),
        **block("rna_encoder.generative_blocks.0"),
        **layer("style_encoder_mlp.fc1", 16, D),
        **layer("style_encoder_mlp.fc2", 12, 16),
        **layer("style_mu", 8, 12),
        **layer("style_logstd", 8, 12),
        **layer("style_decoder", D, 8),
        **layer("prototypes", PROTOTYPES, D, bias=False),
    }


def public_state() -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(0)
    return {name: 0.3 * torch.randn(shape, generator=generator) for name, shape in shapes().items()}


def later_spelling(state: dict[str, Tensor]) -> dict[str, Tensor]:
    renamed = {}
    for name, tensor in state.items():
        new = name.replace("contrastive_head", "alignment_head").replace(
            "rna_encoder.pos_embed", "rna_encoder.gene_embed"
        )
        new = new.replace("generative_pos_embed", "retention_gene_embed").replace("generative_", "retention_")
        renamed[new] = tensor
    return renamed


def test_every_tensor_finds_its_place_and_the_shapes_tell_the_settings():
    state = public_state()
    network = network_of(state)
    assert len(state) == 106 == len(list(network.parameters()))
    assert sum(one.numel() for one in network.parameters()) == sum(one.numel() for one in state.values())
    settings = network.settings
    assert (settings.patch_dim, settings.gene_count, settings.width, settings.tokens) == (PATCH, GENES, D, TOKENS)
    assert (settings.slide_heads, settings.rna_heads, settings.landmarks) == (8, 12, D // 2)
    assert (settings.mlp_ratio, settings.prototypes, settings.style_widths) == (2.572, PROTOTYPES, (16, 12, 8))
    found, left = dict(network.named_parameters()), dict(state)
    for ours, public in (
        ("slide_encoder.positions.convolutions.2.weight", "wsi_encoder.pos_layer.proj2.weight"),
        ("alignment.slide.bias", "wsi_encoder.contrastive_head.bias"),
        ("alignment.rna.bias", "rna_encoder.contrastive_head.bias"),
        ("alignment.log_tau", "logit_scale"),
        ("slide_retention.block.attention.residual.weight", "wsi_encoder.generative_blocks.0.attn.res_conv.weight"),
        ("rna_retention.block.mlp.3.weight", "rna_encoder.generative_blocks.0.mlp.fc2.weight"),
        ("rna_encoder.embed.2.weight", "rna_encoder.embedding.norm.weight"),
        ("style.log_variance.weight", "style_logstd.weight"),
        ("prototypes.centres", "prototypes.weight"),
    ):
        assert torch.equal(found[ours], left[public]), ours


def test_the_rna_attention_computes_what_the_public_layout_means():
    state = public_state()
    attention = network_of(state).rna_encoder.blocks[0].attention
    x = torch.randn(3, D, generator=torch.Generator().manual_seed(1))
    own = {name.rsplit("attn.", 1)[1]: one for name, one in state.items() if "rna_encoder.blocks.0.attn" in name}
    q, k, v = F.linear(x, own["qkv.weight"], own["qkv.bias"]).reshape(3, 3, 12, D // 12).permute(1, 0, 2, 3)
    mixed = (q @ k.mT / (D // 12) ** 0.5).softmax(dim=-1) @ v  # [batch, head, entry]
    interleaved = torch.stack([mixed[:, head, entry] for entry in range(D // 12) for head in range(12)], dim=1)
    expected = F.linear(interleaved, own["proj.weight"], own["proj.bias"])
    torch.testing.assert_close(attention(x), expected)


def test_columns_of_interleaved_heads_come_side_by_side():
    weight = torch.arange(6.0)[None].repeat(6, 1)  # column: entry * 2 + head, of 2 heads of 3
    assert heads_side_by_side(weight, 2)[0].tolist() == [0, 2, 4, 1, 3, 5]


def test_both_spellings_of_the_repository_are_read():
    state = public_state()
    first, second = network_of(state).state_dict(), network_of(later_spelling(state)).state_dict()
    assert all(torch.equal(first[name], second[name]) for name in first)


@pytest.mark.parametrize("kind", ["torch", "timm", "safetensors"])
def test_a_checkpoint_becomes_a_model_that_embeds(tmp_path, kind, capsys):
    state, path = public_state(), tmp_path / f"last.{'safetensors' if kind == 'safetensors' else 'pth.tar'}"
    if kind == "safetensors":
        save_file(state, path)
    elif kind == "torch":
        torch.save(state, path)
    else:
        options = argparse.Namespace(lr=2e-5, model_kwargs={"embed_dim": D})
        torch.save({"epoch": 99, "arch": "mirror", "state_dict": state, "args": options, "metric": 1.5}, path)
    assert main(["import-checkpoint", str(path), str(tmp_path / "model")]) == 0
    assert f"features of {PATCH}, {GENES} genes" in capsys.readouterr().out
    stored = load_model(tmp_path / "model")
    expected = network_of(state)
    patches, genes = torch.randn(2, 5, PATCH), torch.randn(2, GENES)
    with torch.inference_mode():
        for found, wanted in zip(stored.network.encode(patches, genes), expected.encode(patches, genes), strict=True):
            assert torch.equal(found, wanted)
    assert main(["import-checkpoint", str(path), str(tmp_path / "model")]) == 1
    assert "there is a model already" in capsys.readouterr().err


def test_keys_that_are_left_over_or_missing_are_named():
    state = public_state()
    with pytest.raises(InputError, match=r"left over: head\.bias, head\.weight"):
        network_of(state | {"head.weight": torch.zeros(2, 2 * D), "head.bias": torch.zeros(2)})
    del state["style_mu.bias"], state["wsi_encoder.mask_token"]
    with pytest.raises(InputError, match=r"missing: style_mu\.bias, wsi_encoder\.mask_token"):
        network_of(state)
    split = {name.removeprefix("wsi_encoder."): one for name, one in state.items() if name.startswith("wsi_encoder.")}
    with pytest.raises(InputError, match=r"left over: .*missing: .* \.\.\.\. What is imported is the whole"):
        network_of(split)


def test_a_shape_that_does_not_fit_is_named():
    state = public_state()
    state["rna_encoder.generative_blocks.0.mlp.fc1.bias"] = torch.zeros(5)
    with pytest.raises(InputError, match=r"retention_blocks\.0\.mlp\.fc1\.bias is \[5\], \[123\] would fit"):
        network_of(state)


class Evil:
    def __reduce__(self):
        return os.system, ("touch executed",)


def test_nothing_in_a_file_is_executed(tmp_path: Path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    torch.save({"state_dict": public_state(), "args": Evil()}, "evil.pth.tar")
    assert main(["import-checkpoint", "evil.pth.tar", "model"]) == 1
    assert "neither a safetensors file nor a torch state dict" in capsys.readouterr().err
    assert not (tmp_path / "executed").exists()
