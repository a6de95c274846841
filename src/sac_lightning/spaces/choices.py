"""Actions that are choices, and choices with numbers."""

import math
from dataclasses import dataclass, field

import numpy as np

from sac_lightning.core.errors import require
from sac_lightning.spaces.actions import ActionSpec, Array, BoxAction

ENUMERABLE = 256  # a critic of more values than a hidden layer has numbers would do more work, not less


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
    def choices(self) -> tuple[int, ...]:
        return (self.n,)

    @property
    def random_log_prob(self) -> float:
        return -math.log(self.n)

    def to_env(self, action: Array) -> Array:
        """[B] indices -> [B] env actions."""
        env_action: Array = (action.astype(np.int64) + self.start).astype(self.dtype, copy=False)
        return env_action

    def from_env(self, action: Array) -> Array:
        """[B] env actions -> [B] indices."""
        return _choices(action, (self.n,), (self.start,))[:, 0]

    def random(self, rng: np.random.Generator, batch: int, allowed: Array | None = None) -> Array:
        return rng.integers(0, self.n, size=batch) if allowed is None else random_allowed(rng, allowed)


@dataclass(frozen=True)
class MultiDiscreteAction(ActionSpec):
    """A MultiDiscrete(sizes): D choices, choice d among sizes[d], counted from starts[d] at the env.

    A MultiBinary(D) is one too: each bit is a choice of two.
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
    def choices(self) -> tuple[int, ...]:
        return self.sizes

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
    def env_shape(self) -> tuple[int, ...]:
        return self.shape

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

    def from_env(self, action: Array) -> Array:
        """[B, *shape] env actions -> [B] joint indices, or [B, Σ sizes] one-hot vectors."""
        return self._inside(_choices(action, self.sizes, self.starts))

    def _inside(self, choices: Array) -> Array:
        """[B, D] choices from 0 on -> the actor's form."""
        if self.enumerable:
            return np.asarray(np.ravel_multi_index(tuple(choices.T), self.sizes))
        return np.concatenate([one_hot(choices[:, d], size) for d, size in enumerate(self.sizes)], axis=-1)

    def random(self, rng: np.random.Generator, batch: int, allowed: Array | None = None) -> Array:
        """Uniform joint choices: [B] indices, or [B, Σ sizes] one-hot vectors."""
        if allowed is not None:
            parts = np.split(allowed, np.cumsum(self.sizes)[:-1], axis=-1)
            return self._inside(np.stack([random_allowed(rng, part) for part in parts], axis=-1))
        if self.enumerable:
            return rng.integers(0, self.joint, size=batch)
        return self._inside(rng.integers(0, self.sizes, size=(batch, len(self.sizes))))


def random_allowed(rng: np.random.Generator, allowed: Array) -> Array:
    """[B, n] bits -> [B] indices, uniform among the allowed ones."""
    drawn: Array = (rng.random(allowed.shape) * allowed).argmax(axis=-1)
    return drawn


def _choices(action: Array, sizes: tuple[int, ...], starts: tuple[int, ...]) -> Array:
    """[B, ...] env actions -> [B, D] choices from 0 on. Raises ValueError for one that there is not."""
    given = action.reshape(len(action), -1) - np.asarray(starts)
    choices: Array = given.astype(np.int64)
    if not ((choices == given) & (choices >= 0) & (choices < sizes)).all():
        raise ValueError(f"action has values other than {list(sizes)} choices, counted from {list(starts)}")
    return choices


def one_hot(index: Array, size: int) -> Array:
    """[B] indices -> [B, size], float32."""
    vectors: Array = (index[:, None] == np.arange(size)).astype(np.float32)
    return vectors


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
    def env_shape(self) -> tuple[int, ...]:
        return (1 + self.numbers.size,)

    @property
    def choices(self) -> tuple[int, ...]:
        return (self.n,)

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

    def from_env(self, action: Array) -> Array:
        """[B, 1 + A] -> [B, n + A]."""
        choice = _choices(action[:, :1], (self.n,), (0,))[:, 0]
        return np.concatenate((one_hot(choice, self.n), self.numbers.from_env(action[:, 1:])), axis=-1)

    def random(self, rng: np.random.Generator, batch: int, allowed: Array | None = None) -> Array:
        """[B, n + A]: both parts uniform."""
        index = rng.integers(0, self.n, size=batch) if allowed is None else random_allowed(rng, allowed)
        return np.concatenate((one_hot(index, self.n), self.numbers.random(rng, batch)), axis=-1)
