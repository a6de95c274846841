"""Encoders: how an observation becomes a flat row of features."""

from abc import abstractmethod
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Annotated, Any, ClassVar

import torch
from jaxtyping import Float, Shaped
from torch import Tensor, nn

from sac_lightning.core.errors import require
from sac_lightning.core.fields import ListOf, Whole
from sac_lightning.core.spec import Described
from sac_lightning.spaces import ObsPart, ObsSpec

WholeNumbers = Annotated[Sequence[int], ListOf(Whole("(0, inf)"))]


@dataclass(frozen=True)
class Encoder(Described):
    """Turns obs [B, *obs] into features [B, O]. Actor and critics each have an encoder of their own.

    To add one, subclass this as a frozen dataclass whose fields are the options of its YAML file.

    Args:
        shared: whether the critics alone learn the encoder: the actor's is then a copy that follows theirs.
    """

    config_key: ClassVar[str] = "encoder"
    shared: bool = field(default=False, kw_only=True)

    @abstractmethod
    def build(self, obs: ObsSpec, generator: torch.Generator) -> nn.Module:
        """Returns the module for `obs`; it has an attribute `size_out`, O.

        Args:
            obs: shape and dtype of one observation.
            generator: source of the initial weights.
        """

    def without(self, names: Collection[str]) -> "Encoder":
        """Returns this encoder for observations without these parts, which the actor does not see."""
        return self


@dataclass(frozen=True)
class BySpace(Encoder):
    """Chooses the encoder by the observation space.

    `Multi` for a Dict, a Tuple or choices; convolutions for an image, that is a Box of bytes or bools with
    two or three axes of at least 7 × 7 pixels: `Cnn` above 64 pixels, else `SMALL_CNN`; `Flat` for the rest.
    """

    def build(self, obs: ObsSpec, generator: torch.Generator) -> nn.Module:
        return self.encoder_for(obs).build(obs, generator)

    def encoder_for(self, obs: ObsSpec) -> Encoder:
        """Returns the encoder for `obs`."""
        if obs.parts:
            return Multi()
        return Flat() if not is_image(obs) else SMALL_CNN if max(obs.shape) <= 64 else Cnn()


@dataclass(frozen=True)
class Flat(Encoder):
    """Flattens the obs; bytes are scaled to [0, 1], choices are one-hot vectors. It has no weights."""

    def build(self, obs: ObsSpec, generator: torch.Generator) -> nn.Module:
        return Parts(obs.parts, self, {}, generator) if obs.parts else FlatObs(obs)


@dataclass(frozen=True)
class Multi(Encoder):
    """Encodes each key of a Dict, or entry of a Tuple, by itself; the features follow each other.

    Args:
        encoders: by key (`outer/inner` in nested Dicts, the number in a Tuple); the other ones follow their
            space as in `BySpace`. Choices are always one-hot vectors.
    """

    encoders: Mapping[str, Encoder] = field(default_factory=dict)

    def __post_init__(self) -> None:
        super().__post_init__()
        key = "encoder.encoders"
        require(isinstance(self.encoders, Mapping), key, self.encoders, "must be a mapping")
        for name, each in self.encoders.items():
            Encoder.check(f"{key}.{name}", each)

    def build(self, obs: ObsSpec, generator: torch.Generator) -> nn.Module:
        allowed = "is for a Dict or Tuple of observations: use encoder=auto"
        require(bool(obs.parts), "encoder", "multi", allowed)
        names = [part.name for part in obs.parts if part.is_number]
        for name in self.encoders:
            require(name in names, "encoder.encoders", name, f"must be one of {', '.join(names)}")
        return Parts(obs.parts, BySpace(), self.encoders, generator)

    def without(self, names: Collection[str]) -> "Multi":
        return replace(self, encoders={key: each for key, each in self.encoders.items() if key not in names})


@dataclass(frozen=True)
class Cnn(Encoder):
    """Convolutions over images, then one linear layer with ReLU: the network of DQN (Mnih et al., 2015).

    Images may be [H, W], [H, W, C] or [C, H, W]: the channel axis is the last one where it is the shortest.

    Args:
        channels: output channels of each convolution.
        kernels: kernel size of each convolution, in pixels.
        strides: stride of each convolution, in pixels.
        padding: zeros at each edge of a convolution's input, in pixels.
        features: O, outputs of the linear layer.
    """

    channels: WholeNumbers = (32, 64, 64)
    kernels: WholeNumbers = (8, 4, 3)
    strides: WholeNumbers = (4, 2, 1)
    padding: Annotated[int, Whole("[0, inf)")] = 0
    features: Annotated[int, Whole("(0, inf)")] = 512

    def __post_init__(self) -> None:
        super().__post_init__()
        same = len(self.channels) == len(self.kernels) == len(self.strides)
        require(same, "encoder.kernels", self.kernels, "must have as many entries as channels and strides")

    def build(self, obs: ObsSpec, generator: torch.Generator) -> nn.Module:
        return Parts(obs.parts, self, {}, generator) if obs.parts else Convolutions(self, obs, generator)


# Halves height and width three times; fits images of any size.
SMALL_CNN = Cnn(channels=(32, 64, 64), kernels=(3, 3, 3), strides=(2, 2, 2), padding=1, features=256)


def is_image(obs: ObsSpec | ObsPart) -> bool:
    """Returns whether `obs` has bytes or bools in two or three axes, and at least 7 × 7 pixels."""
    is_picture = obs.dtype in ("uint8", "bool") and len(obs.shape) in (2, 3)
    return is_picture and sorted(obs.shape)[-2] >= 7


def channels_last(shape: Sequence[int]) -> bool:
    """Returns whether an image of three axes is [H, W, C]: its shortest axis is the last."""
    return shape[2] <= min(shape[:2])


class FlatObs(nn.Module):
    """Flattens [*batch, *obs] to float32 [*batch, O]."""

    def __init__(self, obs: ObsSpec) -> None:
        super().__init__()
        self._dims, self.size_out, self._bytes = len(obs.shape), obs.size, obs.dtype == "uint8"

    def forward(self, obs: Shaped[Tensor, "*batch_and_obs"]) -> Float[Tensor, "*batch O"]:
        """Returns the numbers of each obs in one row."""
        # A call that would change nothing is left out: for one obs it costs as much as any other.
        flat = obs if self._dims == 1 else obs.reshape(*obs.shape[: obs.ndim - self._dims], self.size_out)
        if self._bytes:
            return flat / 255.0
        return flat if flat.dtype == torch.float32 else flat.to(torch.float32)


class Convolutions(nn.Module):
    """The module of `Cnn`."""

    def __init__(self, config: Cnn, obs: ObsSpec, generator: torch.Generator) -> None:
        super().__init__()
        allowed = f"needs images of two or three axes, the obs has shape {obs.shape}: use encoder=auto"
        require(len(obs.shape) in (2, 3), "encoder", "cnn", allowed)
        shape = (*obs.shape, 1) if len(obs.shape) == 2 else obs.shape
        self._shape, self._channels_last = shape, channels_last(shape)
        height_width = shape[:2] if self._channels_last else shape[1:]
        size_in = shape[2] if self._channels_last else shape[0]
        layers: list[nn.Module] = []
        for channels, kernel, stride in zip(config.channels, config.kernels, config.strides, strict=True):
            layers += [nn.Conv2d(size_in, channels, kernel, stride, config.padding), nn.ReLU()]
            size_in = channels
            height, width = ((pixels + 2 * config.padding - kernel) // stride + 1 for pixels in height_width)
            height_width = height, width
            allowed = f"too large for {obs.shape} images: use encoder=cnn_small"
            require(min(height_width) >= 1, "encoder.kernels", list(config.kernels), allowed)
        flat = size_in * height_width[0] * height_width[1]
        self.size_out = config.features
        self.layers = nn.Sequential(*layers, nn.Flatten(), nn.Linear(flat, config.features), nn.ReLU())
        self._scale = 1.0 / 255.0 if obs.dtype == "uint8" else 1.0
        with torch.no_grad():
            for each in self.layers.parameters():
                bound = each[0].numel() ** -0.5 if each.ndim > 1 else 0.0  # biases start at 0
                each.copy_((torch.rand(each.shape, generator=generator) * 2.0 - 1.0) * bound)

    def forward(self, obs: Shaped[Tensor, "B *obs"]) -> Float[Tensor, "B O"]:
        """Returns the features of each image."""
        image = obs.view(-1, *self._shape).float() * self._scale
        if self._channels_last:
            image = image.permute(0, 3, 1, 2)
        features: Tensor = self.layers(image)
        return features.float()


class Parts(nn.Module):
    """Turns rows [*batch, O] of several parts into the features of each part, side by side."""

    def __init__(
        self,
        parts: Sequence[ObsPart],
        encoder: Encoder,
        by_name: Mapping[str, Encoder],
        generator: torch.Generator,
    ) -> None:
        super().__init__()
        self._parts = parts
        built: list[Any] = []
        for part in parts:
            spec, chosen = ObsSpec(part.shape, part.dtype), by_name.get(part.name, encoder)
            if part.is_number:
                built.append(chosen.build(spec, generator))
            else:  # a mask is for the action head
                built.append(OneHot(part.choices) if part.choices else NoFeatures())
        self.encoders, self.size_out = nn.ModuleList(built), sum(each.size_out for each in built)

    def forward(self, obs: Shaped[Tensor, "*batch O"]) -> Float[Tensor, "*batch F"]:
        """Returns the features of all parts."""
        rows = torch.split(obs, [part.size for part in self._parts], dim=-1)
        features = [
            encoder(row.reshape(*row.shape[:-1], *part.shape))
            for part, row, encoder in zip(self._parts, rows, self.encoders, strict=True)
        ]
        return torch.cat(features, dim=-1)


class NoFeatures(nn.Module):
    """Turns a part into no feature at all."""

    size_out = 0

    def forward(self, obs: Shaped[Tensor, "*batch D"]) -> Float[Tensor, "*batch 0"]:
        """Returns no numbers."""
        return obs[..., :0].float()


class OneHot(nn.Module):
    """Turns D choices [*batch, D] into their one-hot vectors, one after the other."""

    def __init__(self, choices: Sequence[int]) -> None:
        super().__init__()
        self._choices, self.size_out = choices, sum(choices)

    def forward(self, obs: Shaped[Tensor, "*batch D"]) -> Float[Tensor, "*batch F"]:
        """Returns the vectors."""
        ones = [
            obs[..., d : d + 1] == torch.arange(n, device=obs.device) for d, n in enumerate(self._choices)
        ]
        return torch.cat(ones, dim=-1).float()
