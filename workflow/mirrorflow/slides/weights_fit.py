"""Weights against the network they are for: every one has its place, or is named and refused."""

import re
from collections.abc import Mapping, Sequence

from torch import Tensor, nn

from mirrorflow.errors import InputError

NOT_LEARNED = r"num_batches_tracked$|relative_position_index$|relative_coords_table$|attn_mask$"
"""Counters and tables that a network makes itself; other versions of a library store them, or do not."""
SPARE = {
    "resnet50": r"layer4\.|fc\.",  # cut off after the third stage
    "phikon": r"pooler\.|classifier\.|decoder\.|lm_head\.|head\.|embeddings\.mask_token$|mask_token$",
    "timm": r"head\.(weight|bias)$|head\.(fc|l)\.|head_dist\.|fc\.|classifier\.|last_linear\.|mask_token$",
    "conch": r"text\.|text_decoder\.|logit_scale$|attn_pool_caption\.|ln_caption\.|proj_contrast$",
    "dinov2": r"embeddings\.mask_token$|head\.|classifier\.",
}
"""What weights may hold beyond a kind's network: classification heads, poolers, what a pretext task predicted with."""
FIXES = (
    (r"\.ls[12]\.|layer_scale", "they have LayerScale: `options: {init_values: 1.0e-5}`"),
    (r"reg_token|register_tokens", "they have register tokens: `options: {reg_tokens: <how many>}`"),
    (r"[qk]_norm\.", "they norm queries and keys: `options: {qk_norm: true}`"),
    (r"qkv\.bias", "queries, keys and values differ in their bias: `options: {qkv_bias: true or false}`"),
    (r"^(fc_)?norm\.", "they norm before or after pooling: `pooling`, or `options: {fc_norm: true or false}`"),
    (r"^norm_pre\.", "they norm before the first block: `options: {pre_norm: true}`"),
    (r"pos_embed", "they are of another image size: `options: {img_size: <pixels>}` and `image_size`"),
    (r"mlp\.", "their MLPs are others: `options: {mlp_ratio: <ratio>}`, `mlp_layer`, `act_layer`"),
)
"""What a key that does not fit says about the network its weights are of."""


def load_weights(
    network: nn.Module, state: Mapping[str, Tensor], name: str, kind: str, heads: Sequence[str] = ()
) -> None:
    """Load ``state`` into ``network``, every weight of both but those that :data:`SPARE` names for ``kind``.

    heads: further modules that may be spare, such as the classifier a model's own config names. Raises InputError
    naming what is missing, of another shape or type, or has no place, and what to set.
    """
    own = network.state_dict()
    spare = re.compile("|".join([SPARE[kind], *(rf"{re.escape(head)}\." for head in heads)]))
    learned = re.compile(NOT_LEARNED)
    missing = [key for key in own if key not in state and not learned.search(key)]
    odd = [key for key in own if key in state and not _alike(own[key], state[key])]
    strange = [key for key in state if key not in own and not learned.search(key) and not spare.match(key)]
    if missing or odd or strange:
        fix = _mend([*strange, *missing, *odd], name, kind)
        message = (
            f"encoder {name}: these weights are of another model: {_some(missing)} are missing, {_some(odd)} are of "
            f"another shape or type, {_some(strange)} have no place in it; {fix}"
        )
        raise InputError(message)
    network.load_state_dict({key: state.get(key, value) for key, value in own.items()})


def _alike(own: Tensor, given: object) -> bool:
    if not isinstance(given, Tensor) or own.shape != given.shape:
        return False
    return own.is_floating_point() == given.is_floating_point()


def _some(keys: Sequence[str]) -> str:
    return f"{len(keys)}" + (f" ({', '.join(keys[:3])}{', ...' if len(keys) > 3 else ''})" if keys else "")


def _mend(keys: Sequence[str], name: str, kind: str) -> str:
    where = f"features.encoders.{name}"
    if kind not in ("timm", "dinov2"):  # what options would build
        return f"{where}.model says {kind}: name the file of its weights, or the model these are of"
    said = [text for pattern, text in FIXES if any(re.search(pattern, key) for key in keys)]
    build = "; ".join(said) if len(keys) < 200 and said else "`model`, or `options` as their authors build it"
    return f"set in {where}: {build} (and `mean`, `std` as their authors normalise)"
