"""Soft Actor-Critic as a PyTorch Lightning plugin."""

from sac_lightning.datamodule import ReplayDataModule
from sac_lightning.envs import EnvConfig
from sac_lightning.errors import ConfigError
from sac_lightning.module import SACModule
from sac_lightning.networks import ActorConfig, CriticConfig
from sac_lightning.policy import Policy

__all__ = [
    "ActorConfig",
    "ConfigError",
    "CriticConfig",
    "EnvConfig",
    "Policy",
    "ReplayDataModule",
    "SACModule",
]
__version__ = "0.1.0"
