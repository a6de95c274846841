"""Runs that differ in nothing but their seed, put together."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from sac_lightning.core.errors import ConfigError, did_you_mean
from sac_lightning.report.differences import (
    ABSENT,
    Difference,
    Options,
    differences,
    differences_at,
    essential,
    keys_of,
    value_at,
)
from sac_lightning.report.reading import Run

ENV_KEYS = ("env", "env.id")


@dataclass(frozen=True)
class Group:
    """Runs on one env with the same `settings`, told as overrides."""

    env_id: str
    settings: tuple[str, ...]
    runs: tuple[Run, ...]

    @property
    def label(self) -> str:
        """The settings as one line, `alpha.init=1` after `alpha=auto` shortened to `init=1`."""
        told: list[str] = []
        for setting in self.settings:
            parents = [f"{each.partition('=')[0]}." for each in self.settings]
            parent = max((each for each in parents if setting.startswith(each)), key=len, default="")
            told.append(setting.removeprefix(parent))
        return " ".join(told) or "all runs"


@dataclass(frozen=True)
class Grouping:
    """All groups, the keys that make them, and those that differ but only go along with them.

    `settings`: the overrides that tell each run from the others of its env, by the run's name.
    """

    groups: tuple[Group, ...]
    keys: tuple[str, ...]
    along: tuple[str, ...]
    settings: Mapping[str, tuple[str, ...]]


def group_runs(runs: Sequence[Run], by: Sequence[str], options: Options) -> Grouping:
    """Group by the config keys `by`, or by everything that differs but the seed. Envs are never mixed.

    Raises ConfigError for a key that no run's config has.
    """
    for key in by:
        _check_known(key, runs)
    # A job that failed before it had a config belongs to no group; its reason is told all the same.
    placed = [run for run in runs if run.config or run.curves.rows]
    members: dict[tuple[str, tuple[str, ...]], list[Run]] = {}
    keys: dict[str, None] = {}
    beside: dict[str, None] = {}
    settings: dict[str, tuple[str, ...]] = {run.name: () for run in runs}
    for env_id in dict.fromkeys(run.env_id for run in placed):
        alike = [run for run in placed if run.env_id == env_id]
        typed = {override.partition("=")[0].lstrip("+") for run in alike for override in run.overrides}
        essentials, along = essential(_differences(alike, options), typed)
        configs = [run.config for run in alike]
        found = [each for key in by for each in differences_at(key, configs, options)] or essentials
        keys |= dict.fromkeys(each.key for each in found)
        beside |= {} if by else dict.fromkeys(along)
        for place, run in enumerate(alike):
            settings[run.name] = _settings(essentials, place, run)
            members.setdefault((env_id, _settings(found, place, run)), []).append(run)
    groups = tuple(Group(env_id, told, tuple(each)) for (env_id, told), each in members.items())
    return Grouping(groups, tuple(keys), tuple(key for key in beside if key not in keys), settings)


def _differences(runs: Sequence[Run], options: Options) -> list[Difference]:
    """The differences of the runs that have a config, counted in the places of all."""
    places = [place for place, run in enumerate(runs) if run.config]
    found = differences([runs[place].config for place in places], options)
    return [
        Difference(each.key, {places[p]: value for p, value in each.values.items()}, each.is_choice)
        for each in found
    ]


def _settings(found: Sequence[Difference], place: int, run: Run) -> tuple[str, ...]:
    if not run.config:
        return ("(config unknown)",) if found else ()
    return tuple(
        f"{each.key}={each.values[place]}"
        for each in found
        if place in each.values and each.key not in ENV_KEYS
    )


def _check_known(key: str, runs: Sequence[Run]) -> None:
    if any(value_at(run.config, key) is not ABSENT for run in runs):
        return
    known = sorted({known for run in runs for known in keys_of(run.config)})
    near = did_you_mean(key, known)
    raise ConfigError("by", key, f"is in no run's config.{near or ' Name a config key, such as alpha or lr'}")
