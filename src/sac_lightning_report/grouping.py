"""Group runs that differ in nothing but their seed, and name each group by the overrides that make it."""

import json
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from sac_lightning.core.errors import ConfigError, did_you_mean
from sac_lightning_report.runs import Run

Config = Mapping[str, Any]
# Group and class of a config to the option's name at the command line:
# ("alpha", "...LearnedTemperature") to "auto".
Options = Mapping[tuple[str, str], str]
# These keys control where and how a run is recorded, not what it learns.
IGNORED_KEYS = frozenset(
    {
        *("seed", "paths", "task_name", "tags", "logger", "callbacks", "resume", "device", "threads"),
        *("allowed_prefixes", "log_every_n_env_steps", "trainer", "sweep"),
    }
)
ENV_KEYS = ("env", "env.id")
ABSENT = object()


@dataclass(frozen=True)
class Group:
    """Runs on one env with the same `settings`, written as overrides."""

    env_id: str
    settings: tuple[str, ...]
    runs: tuple[Run, ...]

    @property
    def label(self) -> str:
        """The settings in one line; `alpha.init=1` after `alpha=auto` is shortened to `init=1`."""
        prefixes = [f"{setting.partition('=')[0]}." for setting in self.settings]
        short: list[str] = []
        for setting in self.settings:
            parents = [prefix for prefix in prefixes if setting.startswith(prefix)]
            short.append(setting.removeprefix(max(parents, key=len, default="")))
        return " ".join(short) or "all runs"


@dataclass(frozen=True)
class Grouping:
    """All groups, and the config keys behind them.

    Args:
        groups: the groups, env by env.
        keys: the keys that make the groups.
        redundant: the keys that differ too, but add nothing to `keys`.
        settings: by run name, the overrides that distinguish the run from the others on its env.
    """

    groups: tuple[Group, ...]
    keys: tuple[str, ...]
    redundant: tuple[str, ...]
    settings: Mapping[str, tuple[str, ...]]


@dataclass(frozen=True)
class Difference:
    """One config key and its value in each run, by the run's index; a run may have no such key.

    A choice is a key whose values are groups of keys, such as `alpha`, written as option names.
    """

    key: str
    values: Mapping[int, str]
    is_choice: bool = False

    @property
    def depth(self) -> int:
        """The number of dots in the key."""
        return self.key.count(".")


def group_runs(runs: Sequence[Run], by: Sequence[str], options: Options) -> Grouping:
    """Group by the config keys `by`, or by everything that differs except the seed. Envs are never mixed.

    Raises ConfigError for a key that no run's config has.
    """
    for key in by:
        _check_known(key, runs)
    # A job that failed before it had a config belongs to no group; the report still lists its error.
    placed = [run for run in runs if run.config or run.curves.rows]
    members: dict[tuple[str, tuple[str, ...]], list[Run]] = {}
    keys: dict[str, None] = {}
    redundant: dict[str, None] = {}
    settings: dict[str, tuple[str, ...]] = {run.name: () for run in runs}
    for env_id in dict.fromkeys(run.env_id for run in placed):
        on_env = [run for run in placed if run.env_id == env_id]
        typed = {override.partition("=")[0].lstrip("+") for run in on_env for override in run.overrides}
        essentials, copies = _essential(_differences_of_runs(on_env, options), typed)
        configs = [run.config for run in on_env]
        found = [each for key in by for each in _differences_at(key, configs, options)] or essentials
        keys |= dict.fromkeys(each.key for each in found)
        redundant |= {} if by else dict.fromkeys(copies)
        for index, run in enumerate(on_env):
            settings[run.name] = _settings(essentials, index, run)
            members.setdefault((env_id, _settings(found, index, run)), []).append(run)
    groups = tuple(Group(env_id, name, tuple(each)) for (env_id, name), each in members.items())
    return Grouping(groups, tuple(keys), tuple(key for key in redundant if key not in keys), settings)


def option_names(conf: Path) -> Options:
    """Return the option of every group and class in conf/**/GROUP/OPTION.yaml.

    A class with two options has no name.
    """
    found: dict[tuple[str, str], list[str]] = {}
    for path in sorted(conf.rglob("*/*.yaml")):
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
        target = content.get("_target_") if isinstance(content, dict) else None
        if isinstance(target, str):
            found.setdefault((path.parent.name, target), []).append(path.stem)
    return {key: names[0] for key, names in found.items() if len(names) == 1}


def _check_known(key: str, runs: Sequence[Run]) -> None:
    if any(_value_at(run.config, key) is not ABSENT for run in runs):
        return
    known = sorted({known for run in runs for known in _keys(run.config)})
    near = did_you_mean(key, known)
    raise ConfigError("by", key, f"is in no run's config.{near or ' Name a config key, such as alpha or lr'}")


def _settings(found: Sequence[Difference], index: int, run: Run) -> tuple[str, ...]:
    if not run.config:
        return ("(config unknown)",) if found else ()
    return tuple(
        f"{each.key}={each.values[index]}"
        for each in found
        if index in each.values and each.key not in ENV_KEYS
    )


def _differences_of_runs(runs: Sequence[Run], options: Options) -> list[Difference]:
    """All keys in which the configs differ, except IGNORED_KEYS; runs without a config are left out."""
    plain = {
        index: {key: value for key, value in run.config.items() if key not in IGNORED_KEYS}
        for index, run in enumerate(runs)
        if run.config
    }
    return list(_walk("", plain, options))


def _differences_at(key: str, configs: Sequence[Config], options: Options) -> list[Difference]:
    """The differences at and below `key`, or its one value where all runs agree."""
    nodes = {index: _value_at(config, key) for index, config in enumerate(configs)}
    known = {index: _typed(node, key, options) for index, node in nodes.items() if node is not ABSENT}
    return list(_walk(key, nodes, options)) or [Difference(key, known)]


def _essential(found: Sequence[Difference], typed: Collection[str]) -> tuple[list[Difference], list[str]]:
    """The differences that distinguish the runs, and the keys that add nothing to one of them.

    A key adds nothing when it is a copy of another (`actor.lr` of `lr`) or, unless it is in `typed`, when
    it comes with an option (an env has its own `total_env_steps`) or splits the runs exactly as another.
    """
    ordered = sorted(found, key=lambda each: (not each.is_choice, each.key not in typed, each.depth))
    kept: list[Difference] = []
    copies: list[str] = []
    for each in ordered:
        if any(_adds_nothing(each, other, each.key in typed) for other in kept):
            copies.append(each.key)
        else:
            kept.append(each)
    return kept, copies


def _adds_nothing(each: Difference, other: Difference, is_typed: bool) -> bool:
    if not each.values.keys() <= other.values.keys():
        return False
    pairs = {(other.values[index], value) for index, value in each.values.items()}
    is_copy = all(ours == theirs for ours, theirs in pairs)
    if is_typed or is_copy:
        return is_copy
    others = {other.values[index] for index in each.values}
    is_function = len(pairs) == len(others)
    # Where each run has a value of its own, as in a random search, every key is a function of every other.
    repeats = len(others) < len(each.values)
    return is_function and repeats and (other.is_choice or len(set(each.values.values())) == len(others))


def _value_at(config: Config, key: str) -> Any:
    """The value of a dotted key, ABSENT where the config has none."""
    node: Any = config
    for part in key.split("."):
        if not isinstance(node, Mapping) or part not in node:
            return ABSENT
        node = node[part]
    return node


def _keys(config: Config, prefix: str = "") -> Iterator[str]:
    """All dotted keys, groups too."""
    for key, value in config.items():
        yield f"{prefix}{key}"
        if isinstance(value, Mapping):
            yield from _keys(value, f"{prefix}{key}.")


def _walk(key: str, nodes: Mapping[int, Any], options: Options) -> Iterator[Difference]:
    first = next(iter(nodes.values()), ABSENT)
    if all(node is first or node == first for node in nodes.values()):
        return
    present = {index: node for index, node in nodes.items() if node is not ABSENT}
    if not all(isinstance(node, Mapping) for node in present.values()):
        yield Difference(key, {index: _typed(node, key, options) for index, node in present.items()})
        return
    names = {index: _option(node, key, options) for index, node in present.items()}
    if set(names.values()) == {None}:
        yield from _walk_parts(key, {index: present.get(index, {}) for index in nodes}, options)
        return
    if len(set(names.values())) > 1 or len(present) < len(nodes):
        yield Difference(key, {index: name or "unnamed" for index, name in names.items()}, is_choice=True)
    for name in dict.fromkeys(names.values()):
        same = {index: node for index, node in present.items() if names[index] == name}
        yield from _walk_parts(key, same, options)


def _walk_parts(key: str, nodes: Mapping[int, Any], options: Options) -> Iterator[Difference]:
    for part in dict.fromkeys(part for node in nodes.values() for part in node):
        if part != "_target_":
            inner = {index: node.get(part, ABSENT) for index, node in nodes.items()}
            yield from _walk(f"{key}.{part}" if key else str(part), inner, options)


def _typed(node: Any, key: str, options: Options) -> str:
    """A value as one would type it: a group by its option, a text as it is, everything else as JSON."""
    option = _option(node, key, options)
    if option is not None:
        return option
    if isinstance(node, float):
        return f"{node:.6g}"
    return node if isinstance(node, str) else json.dumps(node, separators=(",", ":"), default=str)


def _option(node: Any, key: str, options: Options) -> str | None:
    """An env's id; otherwise the option of a group's `_target_`, or that class's name in snake case."""
    if not isinstance(node, Mapping):
        return None
    if "id" in node:
        return str(node["id"])
    target = node.get("_target_")
    if not isinstance(target, str):
        return None
    plain = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", target.rpartition(".")[2]).lower()
    return options.get((key.rpartition(".")[2], target), plain)
