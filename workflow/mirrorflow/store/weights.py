"""Weights of encoders: from a local file, or from where their authors publish them."""

import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mirrorflow.config.encoder_table import named_encoder
from mirrorflow.errors import InputError, MirrorflowError
from mirrorflow.slides.encoder_settings import HUB, RANDOM, TIMM, EncoderSettings
from mirrorflow.store.reach import hub_within_reach, silence_of

PHIKON_REPOSITORY = "owkin/phikon"
WRAPPERS = ("state_dict", "model", "teacher")


def encoder_weights(encoder: EncoderSettings) -> Mapping[str, Any] | None:
    """State dict for ``encoder``; None for random weights.

    Raises InputError saying which file or download is missing; where there is no network, after seconds.
    """
    if encoder.weights == RANDOM:
        return None
    if encoder.local is not None:
        return read_weights(encoder.local)
    if encoder.model != "resnet50":
        with hub_within_reach() as silence:
            return _fetched(encoder, silence)
    if not _is_here(_source(encoder)) and (silence := silence_of(_source(encoder))):
        raise InputError(_unfetched(encoder, silence))
    return _fetched(encoder, "")


def _fetched(encoder: EncoderSettings, silence: str) -> Mapping[str, Any] | None:
    """Weights from their source, or from this machine; ``silence``: why their source does not answer."""
    try:
        return _from_hub(encoder)
    except MirrorflowError:
        raise
    except Exception as error:  # each hub has exceptions of its own
        if "loading state_dict" in str(error):
            message = (
                f"encoder {encoder.name}: the weights of {_source(encoder)} are of another model than its settings "
                f"build ({' '.join(str(error).split())}); set its `options` and `pooling` as their authors do"
            )
            raise InputError(message) from error
        why = "; ".join(filter(None, [silence, f"{type(error).__name__}: {error}"]))
        raise InputError(_unfetched(encoder, why)) from error


def _unfetched(encoder: EncoderSettings, why: str) -> str:
    return (
        f"encoder {encoder.name}: its weights could not be fetched from {_source(encoder)} ({why}); download them "
        "elsewhere and set weights to the file's path"
    )


def _is_here(url: str) -> bool:
    """Whether torch fetched the file of ``url`` before."""
    import torch

    return (Path(torch.hub.get_dir()) / "checkpoints" / Path(url).name).exists()


def read_weights(path: Path) -> dict[str, Any]:
    """State dict of a safetensors or torch file. Raises InputError where it holds none."""
    import torch

    if not path.is_file():
        message = f"{path}: no such weights file"
        raise InputError(message)
    try:
        if path.suffix == ".safetensors":
            from safetensors.torch import load_file

            state = load_file(path)
        else:
            state = torch.load(path, map_location="cpu", weights_only=True)
    except (OSError, RuntimeError, ValueError, EOFError, pickle.UnpicklingError) as error:
        message = f"{path}: neither a safetensors file nor a torch state dict ({error})"
        raise InputError(message) from error
    except Exception as error:  # safetensors' own error has no public base
        message = f"{path}: a damaged weights file ({error})"
        raise InputError(message) from error
    return _unwrapped(path, state)


def _unwrapped(path: Path, state: Any) -> dict[str, Any]:
    for wrapper in WRAPPERS:
        if isinstance(state, Mapping) and isinstance(state.get(wrapper), Mapping):
            state = state[wrapper]
    if not isinstance(state, Mapping) or not state:
        message = f"{path}: holds a {type(state).__name__}, not a state dict"
        raise InputError(message)
    bare = {key.removeprefix("module."): value for key, value in state.items()}
    if len(bare) < len(state):
        message = f"{path}: holds weights twice, with and without `module.` before their names; keep one of each"
        raise InputError(message)
    return bare


def _source(encoder: EncoderSettings) -> str:
    if encoder.model == "resnet50":
        from torchvision.models import ResNet50_Weights

        return str(ResNet50_Weights[encoder.weights_set].url)
    if encoder.model == "phikon":
        return f"https://huggingface.co/{PHIKON_REPOSITORY}"
    if (entry := named_encoder(encoder.model)) is not None:
        return f"https://huggingface.co/{entry.hub}" + (" (it asks for an account and consent)" if entry.gated else "")
    return f"timm's hub ({encoder.model.removeprefix(TIMM)})"


def _from_hub(encoder: EncoderSettings) -> Mapping[str, Any]:
    if encoder.weights != HUB:
        message = f"weights {encoder.weights!r}"
        raise ValueError(message)
    if encoder.model == "resnet50":
        from torchvision.models import ResNet50_Weights

        weights = ResNet50_Weights[encoder.weights_set]
        return weights.get_state_dict(progress=False, check_hash=True, weights_only=True)
    if encoder.model == "phikon":
        return read_weights(_hub_file(PHIKON_REPOSITORY))
    if (entry := named_encoder(encoder.model)) is not None:
        return read_weights(_hub_file(entry.hub))
    from mirrorflow.slides.timm_network import timm_model

    # Whole first: timm loads strictly only where the number of classes is the weights' own.
    network = timm_model(encoder, pretrained=True)
    if "num_classes" not in encoder.options:
        network.reset_classifier(0)
    return network.state_dict()


def _hub_file(repository: str) -> Path:
    """The weights of a repository at Hugging Face, fetched unless they are here."""
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import EntryNotFoundError

    try:
        return Path(hf_hub_download(repository, "model.safetensors"))
    except EntryNotFoundError:
        return Path(hf_hub_download(repository, "pytorch_model.bin"))
