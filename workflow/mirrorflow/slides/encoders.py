"""Networks that turn patches into feature vectors. Tensors in, arrays out: weights are handed in."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from mirrorflow.errors import ConfigError, InputError
from mirrorflow.slides.encoder_settings import TIMM, EncoderSettings
from mirrorflow.slides.phikon import phikon_network, phikon_state

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)


@dataclass(frozen=True)
class Encoder:
    """A network ready to encode: in its precision, on its device.

    ``network`` maps normalised RGB [batch, 3, size, size] to [batch, dim].
    """

    network: nn.Module
    dim: int
    image_size: int
    mean: tuple[float, ...]
    std: tuple[float, ...]
    dtype: torch.dtype
    device: torch.device
    weights_digest: str

    def __call__(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Features [batch, dim] of RGB ``images`` [batch, size, size, 3]."""
        with torch.inference_mode():
            return self.network(self.normalise(images)).float().cpu().numpy()

    def normalise(self, images: NDArray[np.uint8]) -> Tensor:
        """To [batch, 3, size, size] (channels last in memory), minus ``mean``, over ``std``."""
        pixels = torch.from_numpy(images)
        if self.device.type == "cuda":
            pixels = pixels.pin_memory().to(self.device, non_blocking=True)
        pixels = pixels.permute(0, 3, 1, 2).to(torch.float32)
        shape = (1, 3, 1, 1)
        mean = torch.tensor(self.mean, device=self.device).view(shape) * 255
        std = torch.tensor(self.std, device=self.device).view(shape) * 255
        return pixels.sub_(mean).div_(std).to(self.dtype)


def build_encoder(settings: EncoderSettings, state: Mapping[str, Tensor] | None, device: str) -> Encoder:
    """The network of ``settings`` with the weights ``state``; None: random ones from its seed.

    Raises InputError naming weights that are missing or do not fit, ConfigError for a model or an image size
    that does not exist.
    """
    with torch.random.fork_rng():
        torch.manual_seed(settings.seed)
        network, size, mean, std = _architecture(settings)
    if state is not None:
        load_weights(network, _mapped(settings.model, state), settings.name)
    weights = weights_digest(network)
    network = fold_batch_norms(network.eval())
    dtype = getattr(torch, settings.precision)
    network = network.to(device, dtype).to(memory_format=torch.channels_last)
    dim = _output_width(network, size, dtype, device)
    return Encoder(network, dim, size, mean, std, dtype, torch.device(device), weights)


class ResNetStage3(nn.Module):
    """ResNet-50 cut after its third stage, mean over positions: 1,024 values, as CLAM introduced it."""

    def __init__(self) -> None:
        super().__init__()
        from torchvision.models import resnet50

        whole = resnet50(weights=None)
        for name in ("conv1", "bn1", "relu", "maxpool", "layer1", "layer2", "layer3"):
            self.add_module(name, getattr(whole, name))

    def forward(self, images: Tensor) -> Tensor:
        """[batch, 3, size, size] -> [batch, 1024]."""
        for layer in self.children():
            images = layer(images)
        return images.mean(dim=(2, 3))


def load_weights(network: nn.Module, state: Mapping[str, Tensor], name: str) -> None:
    """Load ``state`` into ``network``, every weight of it. Raises InputError naming what does not fit."""
    own = network.state_dict()
    missing = [key for key in own if key not in state and not key.endswith("num_batches_tracked")]
    odd = [key for key in own if key in state and own[key].shape != state[key].shape]
    if missing or odd:
        message = (
            f"encoder {name}: these weights are of another model: {len(missing)} are missing"
            f" ({', '.join(missing[:3])}...), {len(odd)} of another shape ({', '.join(odd[:3])}...)"
        )
        raise InputError(message)
    network.load_state_dict({key: state[key] for key in own if key in state}, strict=False)


def weights_digest(network: nn.Module) -> str:
    """Sixteen hexadecimal digits that stand for all weights of ``network``."""
    digest = hashlib.sha256()
    for key, value in sorted(network.state_dict().items()):
        digest.update(key.encode())
        digest.update(value.detach().cpu().float().numpy().tobytes())
    return digest.hexdigest()[:16]


def fold_batch_norms(network: nn.Module) -> nn.Module:
    """Fold the batch norms of a ResNetStage3 into the convolutions before them: the same function, faster.

    Other networks are returned as they are.
    """
    if not isinstance(network, ResNetStage3):
        return network
    for block in [network, *(block for name in "123" for block in getattr(network, f"layer{name}"))]:
        for conv, norm in (("conv1", "bn1"), ("conv2", "bn2"), ("conv3", "bn3")):
            if hasattr(block, conv):
                _fold(block, conv, norm)
        if getattr(block, "downsample", None) is not None:
            _fold(block.downsample, "0", "1")
    return network


def _fold(module: nn.Module, conv: str, norm: str) -> None:
    before: Any = module.get_submodule(conv)
    after: Any = module.get_submodule(norm)
    fused = nn.utils.fusion.fuse_conv_bn_eval(before, after)
    setattr(module, conv, fused)
    setattr(module, norm, nn.Identity())


def _architecture(settings: EncoderSettings) -> tuple[nn.Module, int, tuple[float, ...], tuple[float, ...]]:
    """Network, image size, mean and standard deviation of its input."""
    if settings.model.startswith(TIMM):
        return _timm_network(settings)
    size = settings.image_size or 224
    if settings.model == "phikon":
        if size != 224:
            message = f"encoder {settings.name}: phikon sees 224 px, image_size is {size}"
            raise ConfigError(message)
        return phikon_network(), size, IMAGENET_MEAN, IMAGENET_STD
    return ResNetStage3(), size, IMAGENET_MEAN, IMAGENET_STD


def _timm_network(settings: EncoderSettings) -> tuple[nn.Module, int, tuple[float, ...], tuple[float, ...]]:
    """A timm model, pooled as its own config says (``num_classes=0``)."""
    import timm

    name = settings.model.removeprefix(TIMM)
    try:
        network: Any = timm.create_model(name, pretrained=False, num_classes=0)
    except RuntimeError as error:
        message = f"encoder {settings.name}: timm knows no model {name!r} ({error})"
        raise ConfigError(message) from error
    config = timm.data.resolve_model_data_config(network)
    own_size = int(config["input_size"][-1])
    size = settings.image_size or own_size
    fixed = hasattr(network, "pos_embed") or network.default_cfg.get("fixed_input_size", False)
    if fixed and size != own_size:
        message = f"encoder {settings.name}: {name} sees {own_size} px, image_size is {size}; set {own_size}"
        raise ConfigError(message)
    return network, size, tuple(config["mean"]), tuple(config["std"])


def _mapped(model: str, state: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
    return phikon_state(state) if model == "phikon" else state


def _output_width(network: nn.Module, size: int, dtype: torch.dtype, device: str) -> int:
    with torch.inference_mode():
        features = network(torch.zeros(1, 3, size, size, dtype=dtype, device=device))
    if features.ndim != 2:
        message = f"the network gives {tuple(features.shape)} for one image, not one vector"
        raise ConfigError(message)
    return int(features.shape[1])
