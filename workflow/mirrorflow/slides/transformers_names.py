"""Weights of a ViT of Hugging Face's transformers under timm's names: what Phikon's and DINOv2's mappings share."""

import re
from collections.abc import Iterable, Mapping

import torch
from torch import Tensor

JOINED = re.compile(r"encoder\.layer\.(\d+)\.attention\.attention\.(query|key|value)\.(weight|bias)\Z")


def timm_names(bare: Mapping[str, Tensor], renamed: Iterable[tuple[str, str]]) -> dict[str, Tensor]:
    """``bare`` (without its model's prefix) by pairs of pattern and timm's name; query, key and value become one.

    What has no name in timm keeps its own, so that it is refused as a weight without a place, not lost unseen.
    """
    pairs, mapped = list(renamed), dict[str, Tensor]()
    for key, value in bare.items():
        if match := JOINED.match(key):
            layer, part, kind = match.groups()
            parts = [key.replace(f".{part}.", f".{other}.") for other in ("query", "key", "value")]
            if all(name in bare for name in parts):
                mapped[f"blocks.{layer}.attn.qkv.{kind}"] = torch.cat([bare[name] for name in parts])
                continue
        names = (re.sub(rf"\A{pattern}", name, key) for pattern, name in pairs)
        mapped[next((new for new in names if new != key), key)] = value
    return mapped
