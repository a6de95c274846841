"""One choice of n."""

import math
from dataclasses import dataclass, field

import numpy as np

from sac_lightning.core.errors import require
from sac_lightning.spaces.base import ActionSpec, Array


@dataclass(frozen=True)
class DiscreteAction(ActionSpec):
    """A Discrete(n): actions are 0 … n-1 inside, `start` … `start + n - 1` of `dtype` at the env."""

    n: int
    start: int = 0
    dtype: str = field(default="int64", compare=False)

    def __post_init__(self) -> None:
        require(self.n >= 2, "n", self.n, "a choice needs at least two actions")

    def __str__(self) -> str:
        return f"Discrete({self.n})"

    @property
    def random_log_prob(self) -> float:
        return -math.log(self.n)

    def to_env(self, action: Array) -> Array:
        """[B] indices -> [B] env actions."""
        env_action: Array = (action.astype(np.int64) + self.start).astype(self.dtype, copy=False)
        return env_action

    def random(self, rng: np.random.Generator, batch: int) -> Array:
        """[B] indices, uniform."""
        return rng.integers(0, self.n, size=batch)
