"""Objects from configs: only classes under allowed prefixes, and mistakes named by their full key."""

from collections.abc import Iterable
from typing import Any

from hydra.errors import InstantiationException
from hydra.utils import get_method, instantiate
from lightning_fabric.utilities.exceptions import MisconfigurationException
from omegaconf import DictConfig, ListConfig, OmegaConf

from sac_lightning.cli.annotations import check_annotations
from sac_lightning.errors import ConfigError, require

PREFIXES = ("sac_lightning", "pytorch_lightning", "torch", "gymnasium")
# Where constructors take any value, and fail with it later.
# Groups and keys that others refer to: their own constructors name them in full.
SHARED = (
    *("target_entropy", "encoder", "torso", "optimizer", "value_head", "pessimism", "target_network"),
    *("tau", "gamma"),
)
UNCHECKED = ("pytorch_lightning.", "torch.")


def check_targets(config: Any, extra: Iterable[str] = (), path: str = "") -> None:
    """Raise ConfigError for a `_target_` outside the allowed prefixes: instantiating runs code."""
    allowed = (*PREFIXES, *extra)
    if isinstance(config, DictConfig | dict):
        for key, value in config.items():
            here = f"{path}.{key!s}" if path else str(key)
            if key == "_target_" and not any(
                str(value) == p or str(value).startswith(f"{p}.") for p in allowed
            ):
                told = ", ".join(allowed)
                raise ConfigError(
                    here, value, f"must lie under {told}; allow your own with allowed_prefixes=[PACKAGE]"
                )
            check_targets(value, extra, here)
    elif isinstance(config, ListConfig | list):
        for index, value in enumerate(config):
            check_targets(value, extra, f"{path}[{index}]")


def build(config: DictConfig, key: str, *args: Any, **extra: Any) -> Any:
    """The object of the group `key`, or of an entry such as `callbacks.last`; its ConfigErrors name it."""
    node = OmegaConf.select(config, key)
    ok = isinstance(node, DictConfig) and isinstance(node.get("_target_"), str)
    require(ok, key, node, "must have a _target_, the class that is meant, and its arguments")
    plain: Any = OmegaConf.to_container(node, resolve=True)
    if plain["_target_"].startswith(UNCHECKED):
        arguments = {name: value for name, value in plain.items() if not name.startswith("_")}
        check_annotations(get_method(plain["_target_"]), arguments, key)
    try:
        made = instantiate(OmegaConf.create(plain), **extra, _convert_="all")
        return made(*args) if args else made
    except InstantiationException as error:
        cause = error.__cause__
        if isinstance(cause, ConfigError):
            raise _under(cause, key) from None
        if (
            isinstance(cause, TypeError | ValueError | ImportError | MisconfigurationException)
            or cause is None
        ):
            raise ConfigError(key, node.get("_target_", "?"), _one_line(cause or error)) from None
        raise cause from None
    except ConfigError as error:
        raise _under(error, key) from None


def _under(error: ConfigError, key: str) -> ConfigError:
    named = error.key in (key, *SHARED) or error.key.startswith((f"{key}.", *(f"{each}." for each in SHARED)))
    return error if named else error.under(key)


def _one_line(error: BaseException) -> str:
    return " ".join(str(error).split())
