"""Where the configs of several runs differ, and how that is told as overrides."""

import json
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

Config = Mapping[str, Any]
# Group and class of a config to the option's name at the command line:
# ("alpha", "...LearnedTemperature") to "auto".
Options = Mapping[tuple[str, str], str]
# They say where and how a run is recorded, not what it learns.
NOT_LEARNED_FROM = frozenset(
    {
        *("seed", "paths", "task_name", "tags", "logger", "callbacks", "resume", "device", "threads"),
        *("allowed_prefixes", "log_every_n_env_steps", "trainer", "sweep"),
    }
)
ABSENT = object()


@dataclass(frozen=True)
class Difference:
    """One config key and its value in each run, by the run's place; a run may have no such key.

    A choice is a key whose values are whole groups of keys, such as `alpha`, told by their names.
    """

    key: str
    values: Mapping[int, str]
    is_choice: bool = False

    @property
    def depth(self) -> int:
        """The number of dots in the key."""
        return self.key.count(".")


def differences(configs: Sequence[Config], options: Options) -> list[Difference]:
    """All keys in which `configs` differ, but for the seed and what is not learned from."""
    plain = [{key: value for key, value in cfg.items() if key not in NOT_LEARNED_FROM} for cfg in configs]
    return list(_walk("", dict(enumerate(plain)), options))


def differences_at(key: str, configs: Sequence[Config], options: Options) -> list[Difference]:
    """What `key` is in each run: its differences, or its one value where all agree."""
    nodes = {place: value_at(cfg, key) for place, cfg in enumerate(configs)}
    known = {place: told(node, key, options) for place, node in nodes.items() if node is not ABSENT}
    return list(_walk(key, nodes, options)) or [Difference(key, known)]


def essential(found: Sequence[Difference], typed: Collection[str] = ()) -> tuple[list[Difference], list[str]]:
    """The differences that tell the runs apart, and the keys that only go along with one of them.

    A key goes along when it repeats another's values (`actor.lr` those of `lr`) or, unless somebody `typed`
    it, when it follows from a choice (the env brings its `total_env_steps`) or parts the runs as another
    key does.
    """
    ordered = sorted(found, key=lambda each: (not each.is_choice, each.key not in typed, each.depth))
    kept: list[Difference] = []
    along: list[str] = []
    for each in ordered:
        if any(_goes_along(each, other, each.key in typed) for other in kept):
            along.append(each.key)
        else:
            kept.append(each)
    return kept, along


def value_at(config: Config, key: str) -> Any:
    """The value of a dotted key, ABSENT where the config has none."""
    node: Any = config
    for part in key.split("."):
        if not isinstance(node, Mapping) or part not in node:
            return ABSENT
        node = node[part]
    return node


def keys_of(config: Config, prefix: str = "") -> Iterator[str]:
    """All dotted keys, groups too."""
    for key, value in config.items():
        yield f"{prefix}{key}"
        if isinstance(value, Mapping):
            yield from keys_of(value, f"{prefix}{key}.")


def told(node: Any, key: str, options: Options) -> str:
    """A value as one would type it: a group by its name, a text as it is, else as JSON."""
    name = _name(node, key, options)
    if name is not None:
        return name
    if isinstance(node, float):
        return f"{node:.6g}"
    return node if isinstance(node, str) else json.dumps(node, separators=(",", ":"), default=str)


def _walk(key: str, nodes: Mapping[int, Any], options: Options) -> Iterator[Difference]:
    first = next(iter(nodes.values()), ABSENT)
    if all(node is first or node == first for node in nodes.values()):
        return
    present = {place: node for place, node in nodes.items() if node is not ABSENT}
    if not all(isinstance(node, Mapping) for node in present.values()):
        yield Difference(key, {place: told(node, key, options) for place, node in present.items()})
        return
    names = {place: _name(node, key, options) for place, node in present.items()}
    if set(names.values()) == {None}:
        yield from _walk_parts(key, {place: present.get(place, {}) for place in nodes}, options)
        return
    if len(set(names.values())) > 1 or len(present) < len(nodes):
        yield Difference(key, {place: name or "unnamed" for place, name in names.items()}, is_choice=True)
    for name in dict.fromkeys(names.values()):
        alike = {place: node for place, node in present.items() if names[place] == name}
        yield from _walk_parts(key, alike, options)


def _walk_parts(key: str, nodes: Mapping[int, Any], options: Options) -> Iterator[Difference]:
    for part in dict.fromkeys(part for node in nodes.values() for part in node):
        if part != "_target_":
            inner = {place: node.get(part, ABSENT) for place, node in nodes.items()}
            yield from _walk(f"{key}.{part}" if key else str(part), inner, options)


def _name(node: Any, key: str, options: Options) -> str | None:
    """An env's id; else the option, or the class in snake case, of a group's `_target_`."""
    if not isinstance(node, Mapping):
        return None
    if "id" in node:
        return str(node["id"])
    target = node.get("_target_")
    if not isinstance(target, str):
        return None
    plain = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", target.rpartition(".")[2]).lower()
    return options.get((key.rpartition(".")[2], target), plain)


def _goes_along(each: Difference, other: Difference, is_typed: bool) -> bool:
    if not each.values.keys() <= other.values.keys():
        return False
    pairs = {(other.values[place], value) for place, value in each.values.items()}
    is_repeated = all(ours == theirs for ours, theirs in pairs)
    if is_typed or is_repeated:
        return is_repeated
    seen = {other.values[place] for place in each.values}
    is_function = len(pairs) == len(seen)
    # Where each run has a value of its own, as in a random search, that says nothing.
    repeats = len(seen) < len(each.values)
    return is_function and repeats and (other.is_choice or len(set(each.values.values())) == len(seen))
