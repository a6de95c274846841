"""What `_target_` may name: a class of the kind that its key is for, from a package that may be used.

The config.yaml of a run's folder may come from anybody: it may name this project's own classes and
Lightning's callbacks, with plain arguments and with places inside the folder. Whatever goes beyond that has
to stand on the command line.

Instantiating calls what is named. So it is never a function, and a dotted path leads through real modules
only, not through what they import: `torch.hub.os.system` is no path, though Python would walk it.
"""

import inspect
import re
from collections.abc import Collection, Iterable, Iterator, Sequence
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

import pytorch_lightning as pl
import yaml
from omegaconf import DictConfig, OmegaConf
from pytorch_lightning.loggers import Logger

from sac_lightning import networks
from sac_lightning.core.errors import ConfigError, one_line, require
from sac_lightning.core.files import DamagedFile
from sac_lightning.core.yaml_text import LOADER, read_yaml_text
from sac_lightning.entropy import TargetEntropyRule, TemperatureRule
from sac_lightning.envs import EnvConfig
from sac_lightning.heads import ActionHead
from sac_lightning.optim import Adam
from sac_lightning.replay import ReplayBuffer
from sac_lightning.training.datamodule import ReplayDataModule
from sac_lightning.training.module import SACModule

PREFIXES = ("sac_lightning", "pytorch_lightning", "torch", "gymnasium")
# Parts of the networks: groups of their own, which actor, critic and alpha refer to.
ACTOR_PARTS: dict[str, type] = {"encoder": networks.Encoder, "torso": networks.Torso, "optimizer": Adam}
CRITIC_PARTS: dict[str, type] = {
    **ACTOR_PARTS,
    "value_head": networks.ValueHead,
    "pessimism": networks.Pessimism,
    "target_network": networks.TargetNetwork,
}
KINDS: dict[str, type] = {
    "env": EnvConfig,
    "head": ActionHead,
    "alpha": TemperatureRule,
    "alpha.target_entropy": TargetEntropyRule,
    "target_entropy": TargetEntropyRule,
    "actor": networks.ActorConfig,
    "critic": networks.CriticConfig,
    **CRITIC_PARTS,
    **{f"actor.{part}": kind for part, kind in ACTOR_PARTS.items()},
    **{f"critic.{part}": kind for part, kind in CRITIC_PARTS.items()},
    "alpha.optimizer": Adam,
    "normalization.obs": networks.ObsNormalization,
    "normalization.reward": networks.RewardNormalization,
    "replay": ReplayBuffer,
    "module": SACModule,
    "data": ReplayDataModule,
    "trainer": pl.Trainer,
}
# Groups whose entries are objects each, such as callbacks.best.
KINDS_OF_ENTRIES: dict[str, type] = {"callbacks": pl.Callback, "logger": Logger}
ROOTS = {path.partition(".")[0] for path in (*KINDS, *KINDS_OF_ENTRIES)}
# Their arguments are other groups, which are checked there.
REFERRING_GROUPS = ("module", "data")
# A head is made for an action space: by this method of its class, or as the one that fits.
HEAD_METHOD, HEAD_THAT_FITS = ".for_action", "sac_lightning.heads.head_for"

OURS = "sac_lightning"
# Of Lightning's loggers those that write files; the others send to a server that the file would name.
LIGHTNINGS = (
    *("pytorch_lightning.Trainer", "pytorch_lightning.callbacks"),
    *("pytorch_lightning.loggers.CSVLogger", "pytorch_lightning.loggers.csv_logs.CSVLogger"),
    "pytorch_lightning.loggers.TensorBoardLogger",
    "pytorch_lightning.loggers.tensorboard.TensorBoardLogger",
)
RUN_DIR = "${paths.run_dir}"
NAMES_A_PLACE = re.compile(r"(dir|path|folder|root|journal)$")
WATCHING = ("callbacks", "logger", "trainer")


def kind_of(path: str) -> type | None:
    """The class that an object at `path` of the config belongs to; None for an argument of another object."""
    group, _, entry = path.partition(".")
    if group in KINDS_OF_ENTRIES and entry and "." not in entry:
        return KINDS_OF_ENTRIES[group]
    if path.rpartition(".")[0].endswith("encoder.encoders"):
        return networks.Encoder
    return KINDS.get(path)


def check_targets(config: Any, extra: Iterable[str] = ()) -> None:
    """Raise ConfigError for a `_target_` that is no class of its kind, or of no allowed package."""
    allowed = (*PREFIXES, *extra)
    raw = OmegaConf.to_container(config, resolve=False)
    for key, value in leaves(raw):
        require(value != "???", key, value, "must be given")
    plain = OmegaConf.to_container(config, resolve=True)
    _check_targets(raw, plain, allowed, "", referred=False)  # a mistake is named where it was written
    _check_targets(raw, plain, allowed, "", referred=True)


def _check_targets(raw: Any, plain: Any, allowed: Sequence[str], path: str, referred: bool) -> None:
    """`referred`: what stands behind `${...}` is checked too, as the kind of object that it is there."""
    if isinstance(plain, dict):
        for key, value in plain.items():
            written = raw[key]
            if isinstance(written, str) and "${" in written:
                if not referred or path in REFERRING_GROUPS:
                    continue
                written = value
            if key == "_target_":
                check_target(path, value, allowed)
            _check_targets(written, value, allowed, f"{path}.{key!s}" if path else str(key), referred)
    elif isinstance(plain, list):
        for index, value in enumerate(plain):
            _check_targets(raw[index], value, allowed, f"{path}[{index}]", referred)


def check_target(path: str, target: Any, allowed: Sequence[str]) -> None:
    """Raise ConfigError unless `target` is a class that an object at `path` may have."""
    key, kind = f"{path}._target_", kind_of(path)
    if not is_under(target, allowed):
        reason = f"must lie under {', '.join(allowed)}; allow your own with allowed_prefixes=[PACKAGE]"
        raise ConfigError(key, target, reason)
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
        raise ConfigError(key, target, f"cannot be found ({one_line(error)})") from None
    return found


def read_saved(file: Path) -> DictConfig:
    """The config in `file`. Raises DamagedFile unless it is plain data, whose only variable is the folder."""
    text = read_yaml_text(file)
    try:
        is_mapping = isinstance(yaml.compose(text, LOADER), yaml.MappingNode)
        config = OmegaConf.create(text)
        plain = OmegaConf.to_container(config, resolve=False)
    except Exception as error:  # OmegaConf and YAML have many
        raise DamagedFile(file, f"is no config: {one_line(error)}") from None
    if not is_mapping or not isinstance(config, DictConfig) or not isinstance(plain, dict):
        raise DamagedFile(file, "is no config of a run: it has no keys")
    for key, value in leaves(plain):
        if "${" in str(value).replace(RUN_DIR, ""):
            raise DamagedFile(file, f"{key}={value}: a saved config has no variable but {RUN_DIR}")
    return config


def check_saved(
    config: DictConfig, folder: Path, allowed: Sequence[str], given: Collection[str] = ()
) -> None:
    """Raise ConfigError for an object or a place that the config of `folder` must not choose by itself.

    `allowed` are packages that this command line trusts, `given` keys whose values come from there.
    """
    plain: Any = OmegaConf.to_container(config, resolve=False)
    for path, node in _mappings(plain):
        if is_under(re.sub(r"\[\d+\]", "", path), given):
            continue
        target = node.get("_target_")
        if f"{path}._target_" in given:
            target = None
        elif "_target_" in node:
            check_saved_target(path, target, folder.resolve(), allowed)
        if "_args_" in node and not is_under(node.get("_target_"), allowed):
            raise ConfigError(
                f"{path}._args_", node["_args_"], "a saved config gives arguments by their names"
            )
        watches = path == "trainer" or (path.partition(".")[0] in WATCHING and path.count(".") == 1)
        if watches and not is_under(target, allowed):
            _check_places(node, path, folder, given, named_only=is_under(target, (OURS,)))
    replay = plain.get("replay")
    if isinstance(replay, dict) and replay.get("data") and not {"replay", "replay.data"} & set(given):
        known = isinstance(replay.get("sha256"), list)
        require(known, "replay.sha256", replay.get("sha256"), "a saved config has it for all of replay.data")
    env = plain.get("env")
    if isinstance(env, dict) and not {"env", "env.wrappers"} & set(given):
        check_wrappers(env.get("wrappers"), folder, allowed)


def check_wrappers(wrappers: Any, folder: Path, allowed: Sequence[str]) -> None:
    """Raise ConfigError for a wrapper of a saved config that would write outside of `folder`."""
    for number, wrapper in enumerate(wrappers if isinstance(wrappers, list) else ()):
        if not (isinstance(wrapper, dict) and is_under(wrapper.get("name"), allowed)):
            _check_places(wrapper, f"env.wrappers[{number}]", folder)


def check_saved_target(path: str, target: Any, folder: Path, allowed: Sequence[str]) -> None:
    """Raise ConfigError unless the config of `folder` may name `target` for the object at `path`."""
    root = path.partition(".")[0]
    # Such as torso_of_critics: nothing is made from it, as a saved config has no variables.
    is_group_of_user = root.isidentifier() and root not in ROOTS and is_under(target, (OURS,))
    if is_under(target, allowed):
        check_target(path, target, allowed)
    elif is_group_of_user or (is_under(target, (OURS, *LIGHTNINGS)) and kind_of(path) is not None):
        check_target(path, target, [str(target).partition(".")[0]])  # not a class that it has imported
    else:
        reason = (
            f"stands in the saved config of {folder} and is none of its usual classes; if you trust it, "
            f"say so on this command line: allowed_prefixes=[{str(target).partition('.')[0]}]"
        )
        raise ConfigError(f"{path}._target_", target, reason)


def _check_places(
    node: Any, path: str, folder: Path, given: Collection[str] = (), named_only: bool = False
) -> None:
    """Texts under `path` must not lead out of `folder`, but for those that are `given`.

    Of our own classes we know which keys name a place: `named_only` looks at these alone.
    """
    for key, value in leaves(node, path):
        name = re.sub(r"\[\d+\]", "", key).rpartition(".")[2]
        is_place = NAMES_A_PLACE.search(name) is not None
        skipped = name == "_target_" or is_under(key, given) or (named_only and not is_place)
        if not skipped and isinstance(value, str) and _leads_out(value, folder.resolve(), is_place):
            reason = f"stands in the saved config and leads out of {folder.resolve()}"
            raise ConfigError(key, value, f"{reason}; give it on this command line")


def _leads_out(text: str, folder: Path, is_place: bool) -> bool:
    text = text.replace(RUN_DIR, str(folder))
    if "://" in text or "::" in text or text.startswith("~"):
        return True
    if is_place or Path(text).is_absolute():
        return not Path(text).resolve().is_relative_to(folder)
    return ".." in Path(text).parts


def leaves(node: Any, path: str = "") -> list[tuple[str, Any]]:
    """All values that are no containers, each with its dotted key."""
    if isinstance(node, dict):
        inner = [(f"{path}.{key}" if path else str(key), item) for key, item in node.items()]
        return [leaf for key, item in inner for leaf in leaves(item, key)]
    if isinstance(node, list):
        return [leaf for index, item in enumerate(node) for leaf in leaves(item, f"{path}[{index}]")]
    return [(path, node)]


def _mappings(node: Any, path: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    """All mappings in `node`, itself first, each with its dotted key."""
    if isinstance(node, dict):
        yield path, node
        for key, item in node.items():
            yield from _mappings(item, f"{path}.{key}" if path else str(key))
    elif isinstance(node, list):
        for index, item in enumerate(node):
            yield from _mappings(item, f"{path}[{index}]")
