"""Random shifts of images, the augmentation of DrQ: an update sees an image moved by a few pixels."""

import torch
from jaxtyping import Shaped
from torch import Tensor, nn

from sac_lightning.core.errors import require
from sac_lightning.networks.counter_random import CounterRandom
from sac_lightning.networks.encoder import channels_last, is_image
from sac_lightning.spaces import ObsPart, ObsSpec


class RandomShift(nn.Module):
    """Moves each image by a whole number of pixels in [−p, p], in height and width     (DrQ, 2004.13649)

    The edge is repeated where nothing is left. Whatever is no image stays as it is. Raises ConfigError for
    observations without images.

    Args:
        obs: the observation.
        pixels: p, at least 1.
        generator: source of the key of the random numbers.
    """

    def __init__(self, obs: ObsSpec, pixels: int, generator: torch.Generator) -> None:
        super().__init__()
        self._pixels = pixels
        self._parts = obs.parts or (ObsPart("", obs.shape, obs.dtype),)
        self._is_row = len(obs.parts) > 0
        found = any(is_image(part) for part in self._parts)
        require(found, "random_shift", pixels, f"needs images; the obs has shape {obs.shape}: must be 0")
        self.random = CounterRandom(generator)

    def forward(self, obs: Shaped[Tensor, "B *obs"]) -> Shaped[Tensor, "B *obs"]:
        """Returns the observations with their images moved."""
        if not self._is_row:
            return self._moved(obs, self._parts[0])
        rows = torch.split(obs, [part.size for part in self._parts], dim=-1)
        moved = [
            self._moved(row.reshape(-1, *part.shape), part).flatten(1) if is_image(part) else row
            for part, row in zip(self._parts, rows, strict=True)
        ]
        return torch.cat(moved, dim=-1)

    def _moved(self, image: Tensor, part: ObsPart) -> Tensor:
        drawn = self.random.uniform(2, len(image))
        shifts = (drawn * (2 * self._pixels + 1)).long() - self._pixels  # [2, B]
        height_axis = 1 if len(part.shape) == 2 or channels_last(part.shape) else 2
        for axis, shift in zip((height_axis, height_axis + 1), shifts, strict=True):
            size = image.shape[axis]
            moved = torch.arange(size, device=image.device) + shift[:, None]  # [B, size]
            source = moved.clamp(0, size - 1)
            index = source.view(-1, *(size if each == axis else 1 for each in range(1, image.ndim)))
            image = image.gather(axis, index.expand_as(image))
        return image
