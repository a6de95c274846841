"""Actions that are a choice together with numbers: one flat row for everyone but the env."""

from collections.abc import Iterator
from typing import Any

import gymnasium as gym
import numpy as np
import numpy.typing as npt
from gymnasium import spaces

from sac_lightning.core.errors import ConfigError

Env = gym.Env[Any, Any]
Array = npt.NDArray[Any]
SUPPORTED = "a Tuple or Dict of actions must hold one Discrete and at least one bounded Box of floats"
WIDEST = 8  # bytes of a number: float64


class ChoiceAndNumbers(spaces.Box):
    """The flat form `[1 + A]` of a Tuple or Dict: the choice of `n` from 0 on, then the boxes' numbers."""

    def __init__(self, space: "spaces.Tuple[Any] | spaces.Dict") -> None:
        leaves = list(_leaves(space))
        choices = [leaf for leaf in leaves if isinstance(leaf, spaces.Discrete)]
        boxes = [leaf for leaf in leaves if isinstance(leaf, spaces.Box)]
        if len(choices) != 1 or not boxes or len(leaves) != 1 + len(boxes) or choices[0].n < 2:
            raise ConfigError("env.id", space, f"these actions are not supported; {SUPPORTED}")
        low, high = (
            np.concatenate([np.ravel(getattr(box, end)) for box in boxes]) for end in ("low", "high")
        )
        floats = all(np.issubdtype(box.dtype, np.floating) and box.dtype.itemsize <= WIDEST for box in boxes)
        if not (floats and np.isfinite((low, high)).all() and (low < high).all()):
            raise ConfigError("env.id", space, f"every number needs finite bounds, low < high; {SUPPORTED}")
        self.n = int(choices[0].n)
        # Wide enough for the bounds of each box: float32 has no 0.1, and its next number lies outside.
        dtype = np.result_type(np.float32, *(box.dtype for box in boxes))
        ends = np.array([[0, *low], [self.n - 1, *high]], dtype)
        super().__init__(ends[0], ends[1], dtype=dtype.type)


class FlatActions(gym.ActionWrapper[Any, Any, Any]):
    """Takes rows of a ChoiceAndNumbers and gives the env the Tuple or Dict that they mean."""

    def __init__(self, env: Env) -> None:
        super().__init__(env)
        space: Any = env.action_space
        self.action_space = ChoiceAndNumbers(space)

    def action(self, action: Array) -> Any:
        """`[1 + A]` -> an action of the env's own space."""
        numbers = iter(np.asarray(action)[1:])
        return _filled(self.env.action_space, round(float(action[0])), numbers)


def flatten_actions(env: Env) -> Env:
    """`env` with a flat action space. Raises ConfigError for a Tuple or Dict that is not supported."""
    compound = isinstance(env.action_space, spaces.Tuple | spaces.Dict)
    return FlatActions(env) if compound else env


def _leaves(space: Any) -> Iterator[Any]:
    if isinstance(space, spaces.Tuple | spaces.Dict):
        for part in space.spaces.values() if isinstance(space, spaces.Dict) else space.spaces:
            yield from _leaves(part)
    else:
        yield space


def _filled(space: Any, choice: int, numbers: Iterator[Any]) -> Any:
    """An element of `space` that takes its numbers from `numbers`, in the order of `_leaves`."""
    if isinstance(space, spaces.Tuple):
        return tuple(_filled(part, choice, numbers) for part in space.spaces)
    if isinstance(space, spaces.Dict):
        return {key: _filled(part, choice, numbers) for key, part in space.spaces.items()}
    if isinstance(space, spaces.Discrete):
        return space.dtype.type(space.start + choice)
    own = [next(numbers) for _ in range(int(np.prod(space.shape)))]
    # A row from elsewhere may be of another dtype, and a bound lie between two of its numbers.
    return np.clip(np.asarray(own, space.dtype).reshape(space.shape), space.low, space.high)
