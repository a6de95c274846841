"""The random generators that envs and spaces own."""

from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium import spaces

from sac_lightning.envs.snapshot.plain import plain

GENERATORS = ("PCG64", "PCG64DXSM", "MT19937", "Philox", "SFC64")
OWN_SPACES = ("action_space", "observation_space", "_action_space", "_observation_space")


def generator_state(generator: np.random.Generator | None) -> dict[str, Any] | None:
    """The state of `generator`; None for one that was never made."""
    return None if generator is None else plain(generator.bit_generator.state, "the random generator")


def generator_from(state: dict[str, Any] | None) -> np.random.Generator | None:
    """A generator that continues from `state`."""
    if state is None:
        return None
    name = state["bit_generator"]
    if name not in GENERATORS:
        raise ValueError(f"there is no random generator called {name!r}")
    generator = np.random.Generator(getattr(np.random, name)())
    generator.bit_generator.state = state
    return generator


def spaces_state(owner: Any) -> dict[str, Any]:
    """The generators of the spaces that `owner` itself holds."""
    return {name: _space_state(space) for name, space in _own_spaces(owner).items()}


def restore_spaces(owner: Any, state: dict[str, Any]) -> None:
    """Give the spaces of `owner` their generators back."""
    for name, space in _own_spaces(owner).items():
        if name in state:
            _restore_space(space, state[name])


def _own_spaces(owner: Any) -> dict[str, gym.Space[Any]]:
    held = {name: vars(owner).get(name) for name in OWN_SPACES}
    return {name: space for name, space in held.items() if isinstance(space, gym.Space)}


def _space_state(space: gym.Space[Any]) -> dict[str, Any]:
    return {
        "generator": generator_state(space._np_random),
        "parts": [_space_state(part) for part in _parts(space)],
    }


def _restore_space(space: gym.Space[Any], state: dict[str, Any]) -> None:
    vars(space)["_np_random"] = generator_from(state["generator"])
    for part, part_state in zip(_parts(space), state["parts"], strict=True):
        _restore_space(part, part_state)


def _parts(space: gym.Space[Any]) -> list[gym.Space[Any]]:
    if isinstance(space, spaces.Dict):
        return list(space.spaces.values())
    if isinstance(space, spaces.Tuple | spaces.OneOf):
        return list(space.spaces)
    return []
