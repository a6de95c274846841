"""What `_target_` may name: a class of the kind that its key is for, from a package that may be used.

Instantiating calls what is named. So it is never a function, and a dotted path leads through real modules
only, not through what they import: `torch.hub.os.system` is no path, though Python would walk it.
"""

import inspect
from collections.abc import Iterable, Sequence
from importlib import import_module
from types import ModuleType
from typing import Any

import pytorch_lightning as pl
from omegaconf import DictConfig, ListConfig, OmegaConf
from pytorch_lightning.loggers import Logger

from sac_lightning.core.errors import ConfigError
from sac_lightning.entropy import TargetEntropyRule, TemperatureRule
from sac_lightning.envs import EnvConfig
from sac_lightning.heads import ActionHead
from sac_lightning.networks import (
    ActorConfig,
    CriticConfig,
    Encoder,
    ObsNormalization,
    Pessimism,
    RewardNormalization,
    TargetNetwork,
    Torso,
    ValueHead,
)
from sac_lightning.optim import Adam
from sac_lightning.replay import ReplayBuffer

PREFIXES = ("sac_lightning", "pytorch_lightning", "torch", "gymnasium")
# Parts of the networks: groups of their own, which actor, critic and alpha refer to.
ACTOR_PARTS: dict[str, type] = {"encoder": Encoder, "torso": Torso, "optimizer": Adam}
CRITIC_PARTS: dict[str, type] = {
    **ACTOR_PARTS,
    "value_head": ValueHead,
    "pessimism": Pessimism,
    "target_network": TargetNetwork,
}
KINDS: dict[str, type] = {
    "env": EnvConfig,
    "head": ActionHead,
    "alpha": TemperatureRule,
    "alpha.target_entropy": TargetEntropyRule,
    "target_entropy": TargetEntropyRule,
    "actor": ActorConfig,
    "critic": CriticConfig,
    **CRITIC_PARTS,
    **{f"actor.{part}": kind for part, kind in ACTOR_PARTS.items()},
    **{f"critic.{part}": kind for part, kind in CRITIC_PARTS.items()},
    "alpha.optimizer": Adam,
    "normalization.obs": ObsNormalization,
    "normalization.reward": RewardNormalization,
    "replay": ReplayBuffer,
    "trainer": pl.Trainer,
}
# Groups whose entries are objects each, such as callbacks.best.
KINDS_OF_ENTRIES: dict[str, type] = {"callbacks": pl.Callback, "logger": Logger}
# A head is made for an action space: by this method of its class, or as the one that fits.
HEAD_METHOD, HEAD_THAT_FITS = ".for_action", "sac_lightning.heads.head_for"


def kind_of(path: str) -> type | None:
    """The class that an object at `path` of the config belongs to; None for an argument of another object."""
    group, _, entry = path.partition(".")
    if group in KINDS_OF_ENTRIES and entry and "." not in entry:
        return KINDS_OF_ENTRIES[group]
    return KINDS.get(path)


def check_targets(config: Any, extra: Iterable[str] = ()) -> None:
    """Raise ConfigError for a `_target_` that is no class of its kind, or of no allowed package."""
    allowed = (*PREFIXES, *extra)
    _check_targets(config, allowed, "", referred=False)  # a mistake is named where it was written
    _check_targets(config, allowed, "", referred=True)


def _check_targets(config: Any, allowed: Sequence[str], path: str, referred: bool) -> None:
    """`referred`: what stands behind `${...}` is checked too, as the kind of object that it is there."""
    if isinstance(config, DictConfig | dict):
        for key, value in config.items():
            if not referred and OmegaConf.is_interpolation(config, str(key)):
                continue
            if key == "_target_":
                check_target(path, value, allowed)
            _check_targets(value, allowed, f"{path}.{key!s}" if path else str(key), referred)
    elif isinstance(config, ListConfig | list):
        for index, value in enumerate(config):
            _check_targets(value, allowed, f"{path}[{index}]", referred)


def check_target(path: str, target: Any, allowed: Sequence[str]) -> None:
    """Raise ConfigError unless `target` is a class that an object at `path` may have."""
    key, kind = f"{path}._target_", kind_of(path)
    if not is_under(target, allowed):
        told = f"must lie under {', '.join(allowed)}; allow your own with allowed_prefixes=[PACKAGE]"
        raise ConfigError(key, target, told)
    if kind is ActionHead:
        if target == HEAD_THAT_FITS:
            return
        target = target.removesuffix(HEAD_METHOD)
    found = _find(key, target)
    what = "class" if kind is None else f"{kind.__name__} class"
    ok = inspect.isclass(found) and issubclass(found, kind or object) and is_under(found.__module__, allowed)
    if not ok:
        raise ConfigError(key, target, f"must be a {what} of {', '.join(allowed)}, and no function")


def is_under(name: Any, prefixes: Iterable[str]) -> bool:
    """Whether the dotted `name` is one of the packages, or lies in one."""
    return isinstance(name, str) and any(name == each or name.startswith(f"{each}.") for each in prefixes)


def _find(key: str, target: str) -> Any:
    """What a dotted path names, where all but its end are modules (or classes) by their own names."""
    first, *rest = target.split(".")
    path = first
    try:
        found: Any = import_module(first)
        for part in rest:
            inner = getattr(found, part, None)
            path = f"{path}.{part}"
            if isinstance(found, ModuleType) and (inner is None or isinstance(inner, ModuleType)):
                inner = import_module(path)  # fails for a module that `found` has only imported
            found = inner
    except Exception as error:  # importing runs what is there
        raise ConfigError(key, target, f"cannot be found ({' '.join(str(error).split())})") from None
    return found
