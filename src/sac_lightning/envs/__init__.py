"""Environments: configuration, wrappers, vector envs, and errors that name the env."""

from sac_lightning.envs.config import EnvConfig, env_config
from sac_lightning.envs.guard import CheckedVectorEnv, EnvError, GuardEnv, check_finite
from sac_lightning.envs.spaces import action_spec, check_declared, declared_action, obs_spec
from sac_lightning.envs.wrappers import FlatActions, FlatObservations

__all__ = [
    "CheckedVectorEnv",
    "EnvConfig",
    "EnvError",
    "FlatActions",
    "FlatObservations",
    "GuardEnv",
    "action_spec",
    "check_declared",
    "check_finite",
    "declared_action",
    "env_config",
    "obs_spec",
]
