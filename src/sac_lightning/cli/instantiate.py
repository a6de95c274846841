"""Objects from configs, and mistakes named by their full key."""

from typing import Any

from hydra.errors import InstantiationException
from hydra.utils import get_method, instantiate
from lightning_fabric.utilities.exceptions import MisconfigurationException
from omegaconf import DictConfig, OmegaConf

from sac_lightning.cli.annotations import check_annotations
from sac_lightning.cli.targets import kind_of
from sac_lightning.core.errors import ConfigError, require

# Groups and keys that others refer to: their own constructors name them in full.
PARTS = ("encoder", "torso", "optimizer", "value_head", "pessimism", "target_network")
SHARED = (*PARTS, "target_entropy", "tau", "gamma")
# Where constructors take any value, and fail with it later.
UNCHECKED = ("pytorch_lightning.", "torch.")


def build(config: DictConfig, key: str, *args: Any, **extra: Any) -> Any:
    """The object of the group `key`, or of an entry such as `callbacks.last`; its ConfigErrors name it.

    Call `check_targets` first: what `_target_` names is called.
    """
    node = OmegaConf.select(config, key)
    ok = isinstance(node, DictConfig) and isinstance(node.get("_target_"), str)
    require(ok, key, node, "must have a _target_, the class that is meant, and its arguments")
    plain: Any = OmegaConf.to_container(node, resolve=True)
    if plain["_target_"].startswith(UNCHECKED):
        arguments = {name: value for name, value in plain.items() if not name.startswith("_")}
        check_annotations(get_method(plain["_target_"]), arguments, key)
    try:
        made = instantiate(OmegaConf.create(plain), **extra, _convert_="all")
        made = made(*args) if args else made
    except InstantiationException as error:
        cause = error.__cause__
        if isinstance(cause, ConfigError):
            raise _under(cause, key, node) from None
        if (
            isinstance(cause, TypeError | ValueError | ImportError | MisconfigurationException)
            or cause is None
        ):
            raise ConfigError(key, node.get("_target_", "?"), _one_line(cause or error)) from None
        raise cause from None
    except ConfigError as error:
        raise _under(error, key, node) from None
    kind = kind_of(key)
    if kind is not None and not isinstance(made, kind):  # such as with _partial_
        told = f"must make a {kind.__name__}, and makes a {type(made).__name__}"
        raise ConfigError(key, node.get("_target_", "?"), told)
    return made


def _under(error: ConfigError, key: str, node: DictConfig) -> ConfigError:
    """The error with its key in full; a part that is this object's own, and not shared, is named under it."""
    first = error.key.partition(".")[0]
    is_own = first in PARTS and first in node and not OmegaConf.is_interpolation(node, first)
    named = error.key == key or error.key.startswith(f"{key}.") or (first in SHARED and not is_own)
    return error if named else error.under(key)


def _one_line(error: BaseException) -> str:
    return " ".join(str(error).split())
