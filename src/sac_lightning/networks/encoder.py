"""Encoders: how an observation becomes a flat row of features."""

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, ClassVar

import torch
from jaxtyping import Float, Shaped
from torch import Tensor, nn

from sac_lightning.core.errors import ConfigError, require
from sac_lightning.core.fields import ListOf, Whole
from sac_lightning.core.spec import Described
from sac_lightning.spaces import ObsSpec

WholeNumbers = Annotated[Sequence[int], ListOf(Whole("(0, inf)"))]


class Encoder(Described):
    """Turns obs [B, *obs] into features [B, O]. Actor and critics each have an encoder of their own.

    To add one, subclass this as a frozen dataclass whose fields are the options of its YAML file.
    """

    config_key: ClassVar[str] = "encoder"

    @abstractmethod
    def build(self, obs: ObsSpec, generator: torch.Generator) -> nn.Module:
        """Returns the module for `obs`; it has an attribute `size_out`, O.

        Args:
            obs: shape and dtype of one observation.
            generator: source of the initial weights.
        """


@dataclass(frozen=True)
class Flat(Encoder):
    """Flattens the obs; bytes are scaled to [0, 1]. It has no weights."""

    def build(self, obs: ObsSpec, generator: torch.Generator) -> nn.Module:
        return FlatObs(obs)


@dataclass(frozen=True)
class Cnn(Encoder):
    """Convolutions over images, then one linear layer with ReLU: the network of DQN (Mnih et al., 2015).

    Images may be [H, W, C] or [C, H, W]: the channel axis is the last one where it is the shortest.

    Args:
        channels: output channels of each convolution.
        kernels: kernel size of each convolution, in pixels.
        strides: stride of each convolution, in pixels.
        features: O, outputs of the linear layer.
    """

    channels: WholeNumbers = (32, 64, 64)
    kernels: WholeNumbers = (8, 4, 3)
    strides: WholeNumbers = (4, 2, 1)
    features: Annotated[int, Whole("(0, inf)")] = 512

    def __post_init__(self) -> None:
        super().__post_init__()
        same = len(self.channels) == len(self.kernels) == len(self.strides)
        require(same, "encoder.kernels", self.kernels, "must have as many entries as channels and strides")

    def build(self, obs: ObsSpec, generator: torch.Generator) -> nn.Module:
        return Convolutions(self, obs, generator)


class FlatObs(nn.Module):
    """Flattens [*batch, *obs] to float32 [*batch, O]."""

    def __init__(self, obs: ObsSpec) -> None:
        super().__init__()
        self._dims, self.size_out = len(obs.shape), obs.size

    def forward(self, obs: Shaped[Tensor, "*batch_and_obs"]) -> Float[Tensor, "*batch O"]:
        """Returns the numbers of each obs in one row."""
        # A call that would change nothing is left out: for one obs it costs as much as any other.
        flat = obs if self._dims == 1 else obs.reshape(*obs.shape[: obs.ndim - self._dims], self.size_out)
        if flat.dtype == torch.uint8:
            return flat / 255.0
        return flat if flat.dtype == torch.float32 else flat.to(torch.float32)


class Convolutions(nn.Module):
    """The module of `Cnn`."""

    def __init__(self, config: Cnn, obs: ObsSpec, generator: torch.Generator) -> None:
        super().__init__()
        if len(obs.shape) != 3:
            raise ConfigError("encoder", "cnn", f"needs images of three axes; the obs has shape {obs.shape}")
        self._channels_last = obs.shape[2] <= min(obs.shape[:2])
        height_width = obs.shape[:2] if self._channels_last else obs.shape[1:]
        size_in = obs.shape[2] if self._channels_last else obs.shape[0]
        layers: list[nn.Module] = []
        for channels, kernel, stride in zip(config.channels, config.kernels, config.strides, strict=True):
            layers += [nn.Conv2d(size_in, channels, kernel, stride), nn.ReLU()]
            size_in = channels
            height, width = ((pixels - kernel) // stride + 1 for pixels in height_width)
            height_width = height, width
            if min(height_width) < 1:
                raise ConfigError(
                    "encoder.kernels", list(config.kernels), f"too large for {obs.shape} images"
                )
        flat = size_in * height_width[0] * height_width[1]
        self.size_out = config.features
        self.layers = nn.Sequential(*layers, nn.Flatten(), nn.Linear(flat, config.features), nn.ReLU())
        self._scale = 1.0 / 255.0 if obs.dtype == "uint8" else 1.0
        with torch.no_grad():
            for each in self.layers.parameters():
                fan_in = each[0].numel() if each.ndim > 1 else 1  # biases start at 0
                bound = fan_in**-0.5 if each.ndim > 1 else 0.0
                each.copy_((torch.rand(each.shape, generator=generator) * 2.0 - 1.0) * bound)

    def forward(self, obs: Shaped[Tensor, "B *obs"]) -> Float[Tensor, "B O"]:
        """Returns the features of each image."""
        image = obs.float() * self._scale
        if self._channels_last:
            image = image.permute(0, 3, 1, 2)
        features: Tensor = self.layers(image)
        return features.float()
