"""Several choices at once."""

import math
from dataclasses import dataclass, field

import numpy as np

from sac_lightning.core.errors import require
from sac_lightning.spaces.base import ActionSpec, Array

ENUMERABLE = 256  # a critic of more values than a hidden layer has numbers would do more work, not less


@dataclass(frozen=True)
class MultiDiscreteAction(ActionSpec):
    """A MultiDiscrete(sizes): D choices, choice d among sizes[d], counted from starts[d] at the env.

    Inside, an action is the index of the joint choice, the last one running fastest, where there are at
    most ENUMERABLE of them; where there are more it is the choices' one-hot vectors, one after the other.
    At the env it is of `dtype`.
    """

    sizes: tuple[int, ...]
    starts: tuple[int, ...]
    shape: tuple[int, ...]
    dtype: str = field(default="int64", compare=False)

    def __post_init__(self) -> None:
        choices = math.prod(self.shape)
        fits = len(self.sizes) == len(self.starts) == choices and choices >= 1
        require(fits, "sizes", self.sizes, f"must give a number for each of {choices} choices")
        require(min(self.sizes) >= 1, "sizes", self.sizes, "every choice needs at least one action")
        require(self.joint >= 2, "sizes", self.sizes, "a choice needs at least two actions")

    def __str__(self) -> str:
        return f"MultiDiscrete({list(self.sizes)})"

    @property
    def joint(self) -> int:
        """K = ∏ sizes, the number of joint choices."""
        return math.prod(self.sizes)

    @property
    def enumerable(self) -> bool:
        """Whether joint choices are few enough to be taken all at once."""
        return self.joint <= ENUMERABLE

    @property
    def row(self) -> tuple[tuple[int, ...], str]:
        return ((), "int64") if self.enumerable else ((sum(self.sizes),), "float32")

    @property
    def random_log_prob(self) -> float:
        return -math.fsum(math.log(size) for size in self.sizes)

    def to_env(self, action: Array) -> Array:
        """[B] joint indices, or [B, Σ sizes] one-hot vectors -> [B, *shape] env actions."""
        if self.enumerable:
            choices = np.stack(np.unravel_index(action, self.sizes), axis=-1)
        else:
            parts = np.split(action, np.cumsum(self.sizes)[:-1], axis=-1)
            choices = np.stack([part.argmax(axis=-1) for part in parts], axis=-1)
        env_action: Array = (choices + np.asarray(self.starts)).astype(self.dtype)
        return env_action.reshape(-1, *self.shape)

    def random(self, rng: np.random.Generator, batch: int) -> Array:
        """Uniform joint choices: [B] indices, or [B, Σ sizes] one-hot vectors."""
        if self.enumerable:
            return rng.integers(0, self.joint, size=batch)
        drawn = rng.integers(0, self.sizes, size=(batch, len(self.sizes)))
        return np.concatenate([one_hot(drawn[:, d], size) for d, size in enumerate(self.sizes)], axis=-1)


def one_hot(index: Array, size: int) -> Array:
    """[B] indices -> [B, size], float32."""
    vectors: Array = (index[:, None] == np.arange(size)).astype(np.float32)
    return vectors
