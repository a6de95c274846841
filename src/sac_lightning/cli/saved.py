"""The config.yaml of a run's folder, which may come from anybody: it is read, and decides nothing.

It may name this project's own classes and Lightning's callbacks, with plain arguments and with places inside
the folder. Whatever goes beyond that has to stand on the command line.
"""

import re
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

import yaml
from omegaconf import DictConfig, OmegaConf

from sac_lightning.cli.targets import check_target, is_under, kind_of
from sac_lightning.core.errors import ConfigError
from sac_lightning.core.files import DamagedFile
from sac_lightning.core.yaml_text import LOADER, read_yaml_text

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


def read_saved(file: Path) -> DictConfig:
    """The config in `file`. Raises DamagedFile unless it is plain data, whose only variable is the folder."""
    text = read_yaml_text(file)
    try:
        is_mapping = isinstance(yaml.compose(text, LOADER), yaml.MappingNode)
        config = OmegaConf.create(text)
        plain = OmegaConf.to_container(config, resolve=False)
    except Exception as error:  # OmegaConf and YAML have many
        raise DamagedFile(file, f"is no config: {' '.join(str(error).split())}") from None
    if not is_mapping or not isinstance(config, DictConfig) or not isinstance(plain, dict):
        raise DamagedFile(file, "is no config of a run: it holds no keys")
    for key, value in _leaves(plain):
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
    _Check(folder, allowed, given).all(plain, "")
    env = plain.get("env")
    if isinstance(env, dict) and not {"env", "env.wrappers"} & set(given):
        check_wrappers(env.get("wrappers"), folder, allowed)


def check_wrappers(wrappers: Any, folder: Path, allowed: Sequence[str]) -> None:
    """Raise ConfigError for a wrapper of a saved config that would write outside of `folder`."""
    for number, wrapper in enumerate(wrappers if isinstance(wrappers, list) else ()):
        if not (isinstance(wrapper, dict) and is_under(wrapper.get("name"), allowed)):
            _Check(folder, allowed, ()).places(wrapper, f"env.wrappers[{number}]", named_only=False)


def check_saved_target(path: str, target: Any, folder: Path, allowed: Sequence[str]) -> None:
    """Raise ConfigError unless the config of `folder` may name `target` for the object at `path`."""
    if is_under(target, allowed):
        check_target(path, target, allowed)
    elif is_under(target, (OURS, *LIGHTNINGS)) and kind_of(path) is not None:
        check_target(path, target, [str(target).partition(".")[0]])  # not a class that it has imported
    else:
        told = (
            f"stands in the saved config of {folder} and is none of its usual classes; if you trust it, "
            f"say so on this command line: allowed_prefixes=[{str(target).partition('.')[0]}]"
        )
        raise ConfigError(f"{path}._target_", target, told)


class _Check:
    def __init__(self, folder: Path, allowed: Sequence[str], given: Collection[str]) -> None:
        self.folder, self.allowed, self.given = folder.resolve(), allowed, given

    def all(self, node: Any, path: str) -> None:
        if path in self.given:
            return
        if isinstance(node, list):
            for index, item in enumerate(node):
                self.all(item, f"{path}[{index}]")
        if not isinstance(node, dict):
            return
        if "_target_" in node and f"{path}._target_" not in self.given:
            check_saved_target(path, node["_target_"], self.folder, self.allowed)
        if "_args_" in node and not is_under(node.get("_target_"), self.allowed):
            raise ConfigError(
                f"{path}._args_", node["_args_"], "a saved config gives arguments by their names"
            )
        for key, item in node.items():
            self.all(item, f"{path}.{key}" if path else str(key))
        if path == "trainer" or (path.partition(".")[0] in WATCHING and path.count(".") == 1):
            self._places_of(node, path)

    def _places_of(self, node: dict[str, Any], path: str) -> None:
        target = "" if f"{path}._target_" in self.given else node.get("_target_")
        if not is_under(target, self.allowed):
            self.places(node, path, named_only=is_under(target, (OURS,)))

    def places(self, node: Any, path: str, named_only: bool) -> None:
        """Texts under `path` must not lead out. Of our own classes we know which keys name a place."""
        for key, value in _leaves(node, path):
            name = re.sub(r"\[\d+\]", "", key).rpartition(".")[2]
            is_place = NAMES_A_PLACE.search(name) is not None
            covered = any(key == each or key.startswith(f"{each}.") for each in self.given)
            if name == "_target_" or covered or not isinstance(value, str) or (named_only and not is_place):
                continue
            if self._leads_out(value.replace(RUN_DIR, str(self.folder)), is_place):
                told = (
                    f"stands in the saved config and leads out of {self.folder}; give it on this command line"
                )
                raise ConfigError(key, value, told)

    def _leads_out(self, text: str, is_place: bool) -> bool:
        if "://" in text or "::" in text or text.startswith("~"):
            return True
        if is_place or Path(text).is_absolute():
            return not Path(text).resolve().is_relative_to(self.folder)
        return ".." in Path(text).parts


def _leaves(node: Any, path: str = "") -> list[tuple[str, Any]]:
    """All values that are no containers, each with its dotted key."""
    if isinstance(node, dict):
        inner = [(f"{path}.{key}" if path else str(key), item) for key, item in node.items()]
        return [leaf for key, item in inner for leaf in _leaves(item, key)]
    if isinstance(node, list):
        return [leaf for index, item in enumerate(node) for leaf in _leaves(item, f"{path}[{index}]")]
    return [(path, node)]
