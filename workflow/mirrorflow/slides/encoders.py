"""Networks that turn patches into feature vectors. Tensors in, arrays out: weights are handed in."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from mirrorflow.config.encoder_table import named_encoder
from mirrorflow.errors import ConfigError
from mirrorflow.runtime.tf32 import set_tf32
from mirrorflow.slides.conch import conch_state
from mirrorflow.slides.dinov2_state import dinov2_state
from mirrorflow.slides.encoder_settings import TIMM, EncoderSettings
from mirrorflow.slides.named_network import named_network, pooled
from mirrorflow.slides.phikon import phikon_network, phikon_state
from mirrorflow.slides.timm_network import IMAGENET_MEAN, IMAGENET_STD, Architecture, timm_network
from mirrorflow.slides.weights_fit import load_weights


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
    precision: str
    device: torch.device
    weights_digest: str

    @property
    def dtype(self) -> torch.dtype:
        """Of weights and activations."""
        return dtype_of(self.precision)

    @cached_property
    def _shift(self) -> tuple[Tensor, Tensor]:
        """Mean and deviation of pixels from 0 to 255, on the device [1, 3, 1, 1]."""
        shape = (1, 3, 1, 1)
        mean, std = (torch.tensor(part, device=self.device).view(shape) * 255 for part in (self.mean, self.std))
        return mean, std

    def __call__(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Features [batch, dim] of RGB ``images`` [batch, size, size, 3]."""
        set_tf32(on=self.precision == "tf32")
        with torch.inference_mode():
            return self.network(self.normalise(images)).float().cpu().numpy()

    def normalise(self, images: NDArray[np.uint8]) -> Tensor:
        """To [batch, 3, size, size] (channels last in memory), minus ``mean``, over ``std``."""
        pixels = torch.from_numpy(images)
        if self.device.type == "cuda":
            pixels = pixels.pin_memory().to(self.device, non_blocking=True)
        pixels = pixels.permute(0, 3, 1, 2).to(torch.float32)
        mean, std = self._shift
        return pixels.sub_(mean).div_(std).to(self.dtype)


def build_encoder(settings: EncoderSettings, state: Mapping[str, Tensor] | None, device: str) -> Encoder:
    """The network of ``settings`` with the weights ``state``; None: random ones from its seed.

    Raises InputError naming weights that are missing, do not fit or have no place, ConfigError for a model, an option
    or an image size that does not exist.
    """
    with torch.random.fork_rng(devices=[]):  # weights are drawn on the CPU
        torch.manual_seed(settings.seed)
        built = _architecture(settings)
    if state is not None:
        _load(built, state, settings)
    weights = weights_digest(built.network)
    network = fold_batch_norms(built.network.eval())
    dtype = dtype_of(settings.precision)
    network = network.to(device, dtype).to(memory_format=torch.channels_last)
    dim = _output_width(network, built.size, dtype, device)
    return Encoder(network, dim, built.size, built.mean, built.std, settings.precision, torch.device(device), weights)


def dtype_of(precision: str) -> torch.dtype:
    """Of weights and activations; TF32 is a matter of products alone."""
    return torch.float32 if precision == "tf32" else getattr(torch, precision)


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


def _architecture(settings: EncoderSettings) -> Architecture:
    if settings.model.startswith(TIMM):
        built = timm_network(settings)
        return built._replace(network=pooled(built.network, settings.pooling or ""))
    if (entry := named_encoder(settings.model)) is not None:
        return named_network(entry)
    size = settings.image_size or 224
    mean, std = settings.mean or IMAGENET_MEAN, settings.std or IMAGENET_STD
    if settings.model == "phikon":
        if size != 224:
            message = f"encoder {settings.name}: phikon sees 224 px, image_size is {size}"
            raise ConfigError(message)
        return Architecture(phikon_network(), size, mean, std)
    return Architecture(ResNetStage3(), size, mean, std)


def _load(built: Architecture, state: Mapping[str, Tensor], settings: EncoderSettings) -> None:
    entry = named_encoder(settings.model)
    kind = "timm" if settings.model.startswith(TIMM) or entry is not None else settings.model
    mapped = phikon_state(state) if kind == "phikon" else state
    if entry is not None and entry.layout == "dinov2":
        kind = "dinov2"
        mapped = dinov2_state(state, built.network.state_dict()["pos_embed"].shape)
    elif entry is not None and entry.layout == "conch":
        kind = "conch"
        mapped = conch_state(state, built.network.state_dict()["trunk.pos_embed"].shape)
    load_weights(built.network, mapped, settings.name, kind, built.heads)


def _output_width(network: nn.Module, size: int, dtype: torch.dtype, device: str) -> int:
    with torch.inference_mode():
        features = network(torch.zeros(1, 3, size, size, dtype=dtype, device=device))
    if features.ndim != 2:
        message = f"the network gives {tuple(features.shape)} for one image, not one vector"
        raise ConfigError(message)
    return int(features.shape[1])
