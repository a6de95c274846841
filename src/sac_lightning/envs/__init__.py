"""Environments: which one, how many, and errors that name it."""

from sac_lightning.envs.config import EnvConfig
from sac_lightning.envs.guard import CheckedVectorEnv, EnvError, GuardEnv, check_finite
from sac_lightning.envs.hybrid import FlatActions
from sac_lightning.envs.spaces import action_spec, check_declared, declared_action, obs_spec

__all__ = [
    "CheckedVectorEnv",
    "EnvConfig",
    "EnvError",
    "FlatActions",
    "GuardEnv",
    "action_spec",
    "check_declared",
    "check_finite",
    "declared_action",
    "obs_spec",
]
