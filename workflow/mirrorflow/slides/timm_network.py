"""Networks of timm: built as the config says, with the normalisation their weights were trained with."""

import logging
from collections.abc import Mapping
from typing import Any, NamedTuple

from torch import nn

from mirrorflow.config.encoder_table import TOKEN_PATCH_MEAN
from mirrorflow.errors import ConfigError
from mirrorflow.slides.encoder_settings import TIMM, EncoderSettings

logger = logging.getLogger(__name__)

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)


class Architecture(NamedTuple):
    """A network with the side of the images it sees (pixels), and the mean and deviation of its input.

    heads: modules that its weights may hold beyond it.
    """

    network: nn.Module
    size: int
    mean: tuple[float, ...]
    std: tuple[float, ...]
    heads: tuple[str, ...] = ()


def timm_model(settings: EncoderSettings, **arguments: Any) -> Any:
    """``timm.create_model`` with the encoder's options and pooling. Raises ConfigError for what timm does not know."""
    import timm

    name = settings.model.removeprefix(TIMM)
    options = {key: layer_option(settings.name, key, value) for key, value in settings.options.items()}
    if settings.pooling is not None:
        options["global_pool"] = "token" if settings.pooling == TOKEN_PATCH_MEAN else settings.pooling
    try:
        return timm.create_model(name, **(arguments | options))
    except TypeError as error:
        message = f"encoder {settings.name}: {name} cannot be built with options {dict(settings.options)} ({error})"
        raise ConfigError(message) from error


def timm_network(settings: EncoderSettings) -> Architecture:
    """A timm model without its head, pooled as ``pooling`` or its own config says.

    Mean and deviation are the encoder's, or those that timm notes for its own weights. Raises ConfigError for a model,
    an option or an image size that does not exist, and where weights from a file that need options of their own
    (which timm's config knows nothing of) come without ``mean`` and ``std``.
    """
    import timm

    try:
        network = timm_model(settings, pretrained=False, num_classes=0)
    except (RuntimeError, AssertionError) as error:
        name = settings.model.removeprefix(TIMM)
        message = f"encoder {settings.name}: timm knows no model {name!r}, or not with these options ({error})"
        raise ConfigError(message) from error
    config = timm.data.resolve_model_data_config(network)
    size = _image_size(settings, network, config)
    mean, std = _normalisation(settings, config)
    classifier = network.pretrained_cfg.get("classifier") or ()
    return Architecture(network, size, mean, std, (classifier,) if isinstance(classifier, str) else tuple(classifier))


def layer_option(encoder: str, key: str, value: Any) -> Any:
    """An option; a layer's name (``mlp_layer: SwiGLUPacked``) stands for the class that timm or torch has."""
    import timm.layers

    if not (key.endswith("_layer") and isinstance(value, str)):
        return value
    for module in (timm.layers, nn):
        if callable(found := getattr(module, value, None)):
            return found
    message = f"encoder {encoder}: options.{key}: neither timm.layers nor torch.nn has a layer {value!r}"
    raise ConfigError(message)


def _image_size(settings: EncoderSettings, network: Any, config: Mapping[str, Any]) -> int:
    own = settings.options.get("img_size", config["input_size"][-1])
    own_size = int(own[-1] if isinstance(own, list | tuple) else own)
    size = settings.image_size or own_size
    fixed = hasattr(network, "pos_embed") or network.default_cfg.get("fixed_input_size", False)
    if fixed and size != own_size and not settings.options.get("dynamic_img_size"):
        message = (
            f"encoder {settings.name}: {settings.model.removeprefix(TIMM)} sees {own_size} px, image_size is {size}; "
            f"set {own_size}, or `options: {{img_size: {size}}}` for weights of that size"
        )
        raise ConfigError(message)
    return size


def _normalisation(settings: EncoderSettings, config: Mapping[str, Any]) -> tuple[tuple[float, ...], tuple[float, ...]]:
    if settings.mean is not None and settings.std is not None:
        return tuple(settings.mean), tuple(settings.std)
    mean, std = tuple(config["mean"]), tuple(config["std"])
    if settings.local is None or mean == IMAGENET_MEAN:
        return mean, std
    if settings.options:
        message = (
            f"encoder {settings.name}: weights of {settings.local} with options of their own are not timm's: set "
            f"`mean` and `std` as their authors do (ImageNet's are {list(IMAGENET_MEAN)} and {list(IMAGENET_STD)}, "
            f"timm's own weights of this model have {list(mean)} and {list(std)})"
        )
        raise ConfigError(message)
    logger.warning(
        "encoder %s: images are normalised with mean %s and std %s, as timm's own weights of this model are; where the "
        "authors of %s used others, set `mean` and `std`",
        settings.name,
        list(mean),
        list(std),
        settings.local,
    )
    return mean, std
