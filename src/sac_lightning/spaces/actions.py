"""What an env's actions are made of, and how they travel between env and networks.

Actions live in the *unit action box* [-1, 1]^A everywhere inside (networks, replay, entropies);
only `to_env` knows the env's own bounds.
"""

import math
from abc import abstractmethod
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from sac_lightning.core.errors import require
from sac_lightning.core.spec import Described

Array = npt.NDArray[Any]
LOW, HIGH = np.float32(-1.0), np.float32(1.0)


class ActionSpec(Described):
    """What an env's action is made of, and how it travels between env and networks."""

    @property
    def row(self) -> tuple[tuple[int, ...], str]:
        """Shape and dtype in which the networks and the replay buffer have one action: an index."""
        return (), "int64"

    @property
    def choices(self) -> tuple[int, ...]:
        """The sizes of an action's choices; () where it makes none."""
        return ()

    @property
    def log_scale(self) -> float:
        """What an entropy gains from the unit action box to the env's units, in nats."""
        return 0.0

    @property
    def random_log_prob(self) -> float:
        """The log-density of each action of `random`; NaN where it is not known."""
        return math.nan

    @property
    def env_shape(self) -> tuple[int, ...]:
        """The shape of one action at the env."""
        return ()

    @abstractmethod
    def to_env(self, action: Array) -> Array:
        """Actions `[B, ...]` as the actor gives them -> what `env.step` takes."""

    @abstractmethod
    def from_env(self, action: Array) -> Array:
        """Actions `[B, *env_shape]` of the env -> the actor's form, numbers clipped to their bounds.

        Raises ValueError for a choice that there is not.
        """

    @abstractmethod
    def random(self, rng: np.random.Generator, batch: int, allowed: Array | None = None) -> Array:
        """`batch` uniformly random actions in the actor's own form: the warm-up policy.

        `allowed`, [batch, Σ choices] bits, is given where the env has action masks.
        """


@dataclass(frozen=True)
class BoxAction(ActionSpec):
    """A Box: `low` and `high` are flat; an infinite bound leaves its dimension unscaled.

    `dtype` is that of the env's space: float16, float32 or float64. Checkpoints of before have none, so it is
    not compared.
    """

    low: tuple[float, ...]
    high: tuple[float, ...]
    shape: tuple[int, ...]
    dtype: str = field(default="float32", compare=False)

    def __post_init__(self) -> None:
        size = math.prod(self.shape)
        require(len(self.low) == len(self.high) == size, "low", self.low, f"must give {size} bounds")

    @property
    def size(self) -> int:
        """A, the numbers in one action."""
        return len(self.low)

    def __str__(self) -> str:
        ends = "bounded" if self.bounded else "unbounded"
        return f"a Box of {self.size} ({ends})"

    @property
    def bounded(self) -> bool:
        """Whether every dimension has two finite ends."""
        return bool(np.isfinite(self.low).all() and np.isfinite(self.high).all())

    @cached_property
    def _halves(self) -> tuple[Array, Array]:
        """Half of each bound, ∓½ of an unbounded dimension: the width of the widest boxes is no number."""
        low, high = np.asarray(self.low), np.asarray(self.high)
        finite = np.isfinite(low) & np.isfinite(high)
        return np.where(finite, low, -1.0) / 2, np.where(finite, high, 1.0) / 2

    @cached_property
    def scale(self) -> Array:
        """[A]: half the width of each bounded dimension, 1 of an unbounded one."""
        low, high = self._halves
        return high - low

    @cached_property
    def centre(self) -> Array:
        """[A]: the middle of each bounded dimension, 0 of an unbounded one."""
        low, high = self._halves
        return high + low

    @cached_property
    def _unit(self) -> bool:
        return set(self.low) == {-1.0} and set(self.high) == {1.0} and self.dtype == "float32"

    @cached_property
    def _ends(self) -> tuple[Array, Array]:
        """The bounds in the env's dtype, in which they are exact."""
        return np.asarray(self.low, self.dtype), np.asarray(self.high, self.dtype)

    @property
    def row(self) -> tuple[tuple[int, ...], str]:
        return (self.size,), "float32"

    @property
    def env_shape(self) -> tuple[int, ...]:
        return self.shape

    @property
    def log_scale(self) -> float:
        """Σ_d log(scale_d): 0 for a dimension that is not scaled, −∞ for one without width."""
        return math.fsum(math.log(scale) if scale > 0.0 else -math.inf for scale in self.scale)

    @property
    def random_log_prob(self) -> float:
        return -self.size * math.log(2.0)

    def to_env(self, action: Array) -> Array:
        """[B, A] in the unit box -> [B, *shape] of `dtype`, within `low` and `high`."""
        if self._unit and action.dtype == np.float32:
            return np.minimum(np.maximum(action, LOW), HIGH).reshape(-1, *self.shape)
        low, high = self._ends
        # Rounded first, then clipped: rounding may step over a bound. PyTorch goes to float16 by float32.
        scaled = action * self.scale + self.centre
        rounded = (scaled.astype(np.float32) if self.dtype == "float16" else scaled).astype(self.dtype)
        env_action: Array = np.minimum(np.maximum(rounded, low), high).reshape(-1, *self.shape)
        return env_action

    def from_env(self, action: Array) -> Array:
        """[B, *shape] -> [B, A] in the unit box."""
        low, high = self._ends
        within = np.minimum(np.maximum(action.reshape(len(action), -1), low), high)
        return np.asarray((within - self.centre) / self.scale, np.float32)

    def random(self, rng: np.random.Generator, batch: int, allowed: Array | None = None) -> Array:
        return rng.uniform(-1.0, 1.0, size=(batch, self.size)).astype(np.float32)
