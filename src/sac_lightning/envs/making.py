"""Envs that cannot be made, named."""

from collections.abc import Callable
from typing import Any

import gymnasium as gym

from sac_lightning.core.errors import ConfigError
from sac_lightning.envs.guard import EnvError

Env = gym.Env[Any, Any]


def made(make: Callable[[], Env], who: str) -> Env:
    """The env of `make`. Raises EnvError that names `who` when that fails; ConfigErrors pass."""
    try:
        return make()
    except (ConfigError, EnvError):
        raise
    except Exception as error:
        raise EnvError(f"{who} could not be made: {type(error).__name__}: {error}") from error
