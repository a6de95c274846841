"""Soft Actor-Critic as a PyTorch Lightning plugin."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sac_lightning.algorithm.policy import Policy
    from sac_lightning.core.errors import ConfigError
    from sac_lightning.envs import EnvConfig
    from sac_lightning.networks import ActorConfig, CriticConfig
    from sac_lightning.training.datamodule import ReplayDataModule
    from sac_lightning.training.module import SACModule
    from sac_lightning.training.sb3 import load_sb3

__all__ = [
    "ActorConfig",
    "ConfigError",
    "CriticConfig",
    "EnvConfig",
    "Policy",
    "ReplayDataModule",
    "SACModule",
    "load_sb3",
]
__version__ = "0.1.0"

_HOMES = {
    "ActorConfig": "networks",
    "ConfigError": "core.errors",
    "CriticConfig": "networks",
    "EnvConfig": "envs",
    "Policy": "algorithm.policy",
    "ReplayDataModule": "training.datamodule",
    "SACModule": "training.module",
    "load_sb3": "training.sb3",
}


def __getattr__(name: str) -> Any:
    """Import a name when it is first asked for: PyTorch and Lightning take seconds, which `--help` saves."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = globals()[name] = getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
