"""What a program may give where an env is meant."""

from copy import deepcopy
from functools import partial
from typing import Any

import gymnasium as gym

from sac_lightning.core.errors import ConfigError
from sac_lightning.envs.config import EnvConfig


def env_config(env: Any) -> EnvConfig:
    """The EnvConfig of an id, an env class, a function that makes an env, or an env itself.

    An env itself is never stepped: each env of a run, those of evaluations too, is a deep copy of it. Raises
    ConfigError for one that cannot be copied, and for anything else.
    """
    if isinstance(env, EnvConfig):
        return env
    if isinstance(env, str):
        return EnvConfig(id=env)
    if isinstance(env, gym.Env):
        name = type(env.unwrapped).__name__ if env.spec is None else env.spec.id
        try:
            deepcopy(env).close()
        except Exception as error:
            told = f"cannot be copied ({error}), and a run needs more than one: give its class or a function"
            raise ConfigError("env", name, told) from error
        return EnvConfig(id=name, make=partial(deepcopy, env))
    if callable(env):
        return EnvConfig(id=getattr(env, "__name__", type(env).__name__).strip("<>"), make=env)
    told = "must be an EnvConfig, an id, an env class, a function that makes an env, or an env"
    raise ConfigError("env", env, told)
