"""slide2vec's presets against config/encoders.yaml: `python benchmarks/presets.py presets.json` (see readers.sh).

Compares repository, width of the vector, size of the image, side of a patch, um/px and, where slide2vec's class has
them without its weights, mean and deviation. Prints a line for each encoder of ours: what agrees, each difference, or
that slide2vec has no such preset.
"""

import json
import sys
from pathlib import Path
from typing import Any

THEIR_NAMES = {"phikon-v2": "phikonv2", "uni2-h": "uni2", "prov-gigapath": "gigapath", "midnight-12k": "midnight"}


def main() -> None:
    from mirrorflow.config.encoder_table import encoder_table

    presets = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    different = 0
    for name, entry in encoder_table().items():
        preset = presets.get(THEIR_NAMES.get(name, name))
        if preset is None:
            print(f"{name}: no preset of slide2vec")
            continue
        ours, theirs = of_ours(entry), of_theirs(preset)
        shared = [key for key in ours if theirs.get(key) is not None]
        odd = [f"{key} {ours[key]} here, {theirs[key]} there" for key in shared if ours[key] != theirs[key]]
        different += bool(odd)
        print(f"{name}: {'; '.join(odd) or 'alike'} ({', '.join(shared)})")
    print(f"presets_different={different}")


def of_ours(entry: Any) -> dict[str, Any]:
    """What both lists say, by our entry; the side of a patch is the network's."""
    return {
        "hub": entry.hub,
        "width": entry.width,
        "image_size": entry.image_size,
        "patch": patch_of(entry),
        "mpp": list(entry.mpp),
        "normalisation": [list(entry.mean), list(entry.std)],
    }


def patch_of(entry: Any) -> int:
    import torch

    from mirrorflow.slides.named_network import named_network
    from mirrorflow.slides.phikon import phikon_network

    with torch.device("meta"):
        network: Any = phikon_network() if entry.name == "phikon" else named_network(entry, depth=1).network
    transformer = getattr(network, "transformer", getattr(network, "trunk", network))
    return int(transformer.patch_embed.patch_size[0])


def of_theirs(preset: dict[str, Any]) -> dict[str, Any]:
    """The same by slide2vec's preset; what it leaves to the weights' repository is None."""
    variant = preset.get("output_variants", {}).get(preset.get("default_output_variant"), {})
    spacing = preset.get("supported_spacing_um")
    return {
        "hub": preset.get("source"),
        "width": variant.get("encode_dim", preset.get("encode_dim")),
        "image_size": preset.get("input_size"),
        "patch": preset.get("patch_size"),
        "mpp": spacing if isinstance(spacing, list) or spacing is None else [spacing],
        "normalisation": preset.get("normalisation"),
    }


if __name__ == "__main__":
    main()
