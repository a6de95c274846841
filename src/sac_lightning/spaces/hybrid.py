"""A choice together with numbers."""

import math
from dataclasses import dataclass

import numpy as np

from sac_lightning.core.errors import require
from sac_lightning.spaces.base import ActionSpec, Array
from sac_lightning.spaces.box import BoxAction
from sac_lightning.spaces.multi_discrete import one_hot


@dataclass(frozen=True)
class HybridAction(ActionSpec):
    """One choice of `n` and the numbers of a bounded box, as a Tuple or Dict of Discrete and Box has them.

    Inside, an action is `[n + A]`: the choice's one-hot vector, then the numbers in the unit action box. At
    the env it is `[1 + A]`: the choice from 0 on, then the numbers within their bounds.
    """

    n: int
    numbers: BoxAction

    def __post_init__(self) -> None:
        require(self.n >= 2, "n", self.n, "a choice needs at least two actions")
        require(self.numbers.bounded, "numbers", str(self.numbers), "every number needs two finite bounds")

    def __str__(self) -> str:
        return f"a choice of {self.n} with {self.numbers}"

    @property
    def row(self) -> tuple[tuple[int, ...], str]:
        return (self.n + self.numbers.size,), "float32"

    @property
    def log_scale(self) -> float:
        return self.numbers.log_scale

    @property
    def random_log_prob(self) -> float:
        return self.numbers.random_log_prob - math.log(self.n)

    def to_env(self, action: Array) -> Array:
        """[B, n + A] -> [B, 1 + A], of the numbers' dtype."""
        choice = action[:, : self.n].argmax(axis=-1).astype(self.numbers.dtype)
        numbers = self.numbers.to_env(action[:, self.n :]).reshape(len(action), -1)
        return np.concatenate((choice[:, None], numbers), axis=-1)

    def random(self, rng: np.random.Generator, batch: int) -> Array:
        """[B, n + A]: both parts uniform."""
        choice = one_hot(rng.integers(0, self.n, size=batch), self.n)
        return np.concatenate((choice, self.numbers.random(rng, batch)), axis=-1)
