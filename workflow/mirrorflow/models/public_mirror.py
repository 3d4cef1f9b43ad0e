"""State dicts of MIRROR's public code in this project's names, and the settings that their shapes tell.

Names and shapes are facts of its public repository; it has had two spellings of the retention and alignment parts.
"""

from collections.abc import Mapping

import torch
from torch import Tensor

from mirrorflow.errors import InputError
from mirrorflow.models.mirror import Mirror
from mirrorflow.models.settings import MirrorSettings

EARLIER_SPELLING = (
    ("contrastive_head.", "alignment_head."),
    ("generative_pos_embed", "retention_gene_embed"),
    ("generative_", "retention_"),
    ("rna_encoder.pos_embed", "rna_encoder.gene_embed"),
)
NYSTROM = {"to_qkv": "to_qkv", "to_out.0": "to_out", "res_conv": "residual"}
HEADS = {"qkv": "to_qkv", "proj": "to_out"}
RNA_HEADS = 12
"""Fixed in the public code; no shape tells it."""
PUBLISHED_RATIO = MirrorSettings.mlp_ratio


def _slide_block(public: str, ours: str) -> dict[str, str]:
    inner = {f"{public}.attn.{one}": f"{ours}.attention.{other}" for one, other in NYSTROM.items()}
    return {f"{public}.norm": f"{ours}.norm", **inner}


def _rna_block(public: str, ours: str) -> dict[str, str]:
    return {
        f"{public}.norm1": f"{ours}.attention_norm",
        **{f"{public}.attn.{one}": f"{ours}.attention.{other}" for one, other in HEADS.items()},
        f"{public}.norm2": f"{ours}.mlp_norm",
        f"{public}.mlp.fc1": f"{ours}.mlp.0",
        f"{public}.mlp.fc2": f"{ours}.mlp.3",
    }


def _of_side(side: str, ours: str) -> dict[str, str]:
    """Alignment and retention parts, which both sides have."""
    retention = f"{ours}_retention"
    return {
        f"{side}.alignment_head": f"alignment.{ours}",
        f"{side}.retention_embed": f"{retention}.embed",
        f"{side}.mask_token": f"{retention}.mask_token",
        f"{side}.retention_gene_embed": f"{retention}.positions",
        f"{side}.retention_norm": f"{retention}.norm",
        f"{side}.retention_head": f"{retention}.head",
    }


NAMES: dict[str, str] = {
    "logit_scale": "alignment.log_tau",
    "wsi_encoder._fc1.0": "slide_encoder.embed.0",
    "wsi_encoder.cls_token": "slide_encoder.cls",
    **{f"wsi_encoder.pos_layer.proj{i or ''}": f"slide_encoder.positions.convolutions.{i}" for i in range(3)},
    **_slide_block("wsi_encoder.layer1", "slide_encoder.first"),
    **_slide_block("wsi_encoder.layer2", "slide_encoder.second"),
    "wsi_encoder.norm": "slide_encoder.norm",
    **_of_side("wsi_encoder", "slide"),
    **_slide_block("wsi_encoder.retention_blocks.0", "slide_retention.block"),
    "rna_encoder.embedding.fc1": "rna_encoder.embed.0",
    "rna_encoder.embedding.norm": "rna_encoder.embed.2",
    "rna_encoder.embedding.fc2": "rna_encoder.embed.3",
    "rna_encoder.gene_embed": "rna_encoder.gene_token",
    **_rna_block("rna_encoder.blocks.0", "rna_encoder.blocks.0"),
    **_rna_block("rna_encoder.blocks.1", "rna_encoder.blocks.1"),
    "rna_encoder.norm": "rna_encoder.norm",
    **_of_side("rna_encoder", "rna"),
    **_rna_block("rna_encoder.retention_blocks.0", "rna_retention.block"),
    "style_encoder_mlp.fc1": "style.mlp.0",
    "style_encoder_mlp.fc2": "style.mlp.2",
    "style_mu": "style.mean",
    "style_logstd": "style.log_variance",
    "style_decoder": "style.expand",
    "prototypes": "prototypes.centres",
}
"""Public part -> ours; behind most stands ``.weight`` or ``.bias``, on both sides."""
WHOLE = {"logit_scale", "prototypes", *(name for name in NAMES if name.endswith(("_token", "gene_embed")))}
"""Parts that are one tensor here."""


def network_of(state: Mapping[str, Tensor]) -> Mirror:
    """The network of a whole public state dict, in evaluation mode, float32.

    Raises InputError that lists keys which are left over or missing, or a shape that does not fit.
    """
    public = {_respelled(name): tensor.detach().float().cpu() for name, tensor in state.items()}
    ours = {_ours(name): name for name in public}
    expected = {_public(name): name for name in _expected()}
    if problems := _problems(set(public), set(expected)):
        raise InputError(problems)
    network = Mirror(settings_of(public))
    wanted = network.state_dict()
    arrays = {name: wanted[name] for name in ("patch_mean", "patch_sd")}
    for name, source in ours.items():
        tensor = public[source]
        if name.endswith("attention.to_out.weight") and name.startswith("rna_"):
            tensor = heads_side_by_side(tensor)
        arrays[name] = _of_shape(source, tensor, wanted[name])
    network.load_state_dict(arrays)
    return network.eval()


def settings_of(public: Mapping[str, Tensor]) -> MirrorSettings:
    """What the shapes tell: widths, counts, heads of the slide side; landmarks are half the width, as published."""
    width, patch_dim = public["wsi_encoder._fc1.0.weight"].shape
    wide, latent = public["style_encoder_mlp.fc1.weight"].shape[0], public["style_mu.weight"].shape[0]
    return MirrorSettings(
        patch_dim=patch_dim,
        gene_count=public["rna_encoder.embedding.fc1.weight"].shape[1],
        width=width,
        tokens=public["wsi_encoder.retention_gene_embed"].shape[1] - 1,
        slide_heads=public["wsi_encoder.layer1.attn.res_conv.weight"].shape[0],
        rna_heads=RNA_HEADS,
        landmarks=width // 2,
        mlp_ratio=_ratio(public["rna_encoder.blocks.0.mlp.fc1.weight"].shape[0], width),
        prototypes=public["prototypes.weight"].shape[0],
        style_widths=(wide, public["style_encoder_mlp.fc2.weight"].shape[0], latent),
    )


def heads_side_by_side(weight: Tensor, heads: int = RNA_HEADS) -> Tensor:
    """An output projection [width, width] whose inputs interleave the heads, for heads one after the other.

    The public code transposes the mixed heads [head, entry] before it flattens them: its column ``entry * heads +
    head`` is column ``head * entries + entry`` here.
    """
    return weight.unflatten(1, (-1, heads)).transpose(1, 2).flatten(1)


def _respelled(name: str) -> str:
    for old, new in EARLIER_SPELLING:
        name = name.replace(old, new)
    return name


def _split(name: str, parts: Mapping[str, str]) -> tuple[str, str]:
    """A name as its part and what stands behind it."""
    if name in parts:
        return name, ""
    part, _, end = name.rpartition(".")
    return part, f".{end}"


def _ours(name: str) -> str:
    """Our name of a public one; the name itself where we have none."""
    part, end = _split(name, NAMES)
    if part not in NAMES:
        return name
    return NAMES[part] + ("" if part in WHOLE else end)


def _public(name: str) -> str:
    """The public name of ours."""
    back = {ours: public for public, ours in NAMES.items()}
    part, end = _split(name, back)
    if back[part] == "prototypes":
        return "prototypes.weight"
    return back[part] + end


def _expected() -> list[str]:
    """Our names of everything that a public checkpoint holds."""
    with torch.device("meta"):
        small = Mirror(MirrorSettings(patch_dim=1, gene_count=1, width=24, tokens=1, prototypes=1))
    return [name for name, _ in small.named_parameters()]


def _problems(given: set[str], expected: set[str]) -> str:
    found = [
        f"{what}: {', '.join(sorted(names)[:5])}{' ...' if len(names) > 5 else ''}"
        for what, names in (("left over", given - expected), ("missing", expected - given))
        if names
    ]
    if not found:
        return ""
    return (
        f"no checkpoint of MIRROR's pretraining, keys {'; '.join(found)}. What is imported is the whole pretraining "
        "network, not the parts that its tools split off, nor a classifier"
    )


def _of_shape(name: str, tensor: Tensor, like: Tensor) -> Tensor:
    if tensor.numel() != like.numel() or (tensor.ndim == like.ndim and tensor.shape != like.shape):
        message = f"{name} is {list(tensor.shape)}, {list(like.shape)} would fit the other shapes"
        raise InputError(message)
    return tensor.reshape(like.shape)


def _ratio(hidden: int, width: int) -> float:
    """The ratio whose ``int(ratio * width)`` is the hidden width, the published one where it is."""
    return PUBLISHED_RATIO if int(PUBLISHED_RATIO * width) == hidden else (hidden + 0.5) / width
