"""What every spec of an observation or an action answers."""

import math
from abc import abstractmethod
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from sac_lightning.core.spec import Described

Array = npt.NDArray[Any]


@dataclass(frozen=True)
class ObsSpec(Described):
    """Shape and dtype of one observation, e.g. `ObsSpec((3,), "float32")`."""

    shape: tuple[int, ...]
    dtype: str

    @property
    def size(self) -> int:
        """Numbers in one observation."""
        return math.prod(self.shape)


class ActionSpec(Described):
    """What an env's action is made of, and how it travels between env and networks."""

    @property
    def row(self) -> tuple[tuple[int, ...], str]:
        """Shape and dtype in which the networks and the replay buffer have one action: an index."""
        return (), "int64"

    @property
    def log_scale(self) -> float:
        """What an entropy gains from the unit action box to the env's units, in nats."""
        return 0.0

    @property
    def random_log_prob(self) -> float:
        """The log-density of each action of `random`; NaN where it is not known."""
        return math.nan

    @abstractmethod
    def to_env(self, action: Array) -> Array:
        """Actions `[B, ...]` as the actor gives them -> what `env.step` takes."""

    @abstractmethod
    def random(self, rng: np.random.Generator, batch: int) -> Array:
        """`batch` uniformly random actions in the actor's own form: the warm-up policy."""
