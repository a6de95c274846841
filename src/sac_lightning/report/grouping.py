"""Runs that differ in nothing but their seed, put together."""

from collections.abc import Sequence
from dataclasses import dataclass

from sac_lightning.errors import ConfigError, did_you_mean
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
        """The settings as one line."""
        return " ".join(self.settings) or "all runs"


@dataclass(frozen=True)
class Grouping:
    """All groups, the keys that make them, and those that differ but only go along with them."""

    groups: tuple[Group, ...]
    keys: tuple[str, ...]
    along: tuple[str, ...] = ()


def group_runs(runs: Sequence[Run], by: Sequence[str], options: Options) -> Grouping:
    """Group by the config keys `by`, or by everything that differs but the seed. Envs are never mixed.

    Raises ConfigError for a key that no run's config has.
    """
    configs = [run.config for run in runs]
    for key in by:
        _check_known(key, runs)
    if by:
        found = [each for key in by for each in differences_at(key, configs, options)]
        along: list[str] = []
    else:
        configured = [place for place, cfg in enumerate(configs) if cfg]
        differing = differences([configs[place] for place in configured], options)
        found, along = essential(_at(configured, differing))
    members: dict[tuple[str, tuple[str, ...]], list[Run]] = {}
    for place, run in enumerate(runs):
        # A job that failed before it had a config belongs to no group; its reason is told all the same.
        if not run.config and not run.curves.rows:
            continue
        members.setdefault((run.env_id, _settings(found, place, run)), []).append(run)
    groups = tuple(Group(env_id, settings, tuple(each)) for (env_id, settings), each in members.items())
    return Grouping(groups, tuple(dict.fromkeys(each.key for each in found)), tuple(along))


def all_settings(runs: Sequence[Run], options: Options) -> dict[str, tuple[str, ...]]:
    """Every override that tells a run from the others, by the run's name; repeated values are left out."""
    found, _ = essential(differences([run.config for run in runs], options))
    return {run.name: _settings(found, place, run, with_env=True) for place, run in enumerate(runs)}


def _settings(found: Sequence[Difference], place: int, run: Run, with_env: bool = False) -> tuple[str, ...]:
    if not run.config:
        return ("(config unknown)",) if found else ()
    return tuple(
        f"{'env.id' if each.key == 'env' else each.key}={each.values[place]}"
        for each in found
        if place in each.values and (with_env or each.key not in ENV_KEYS)
    )


def _at(places: Sequence[int], found: Sequence[Difference]) -> list[Difference]:
    """The same differences, counted in the places of all runs."""
    return [
        Difference(each.key, {places[p]: value for p, value in each.values.items()}, each.is_choice)
        for each in found
    ]


def _check_known(key: str, runs: Sequence[Run]) -> None:
    if any(value_at(run.config, key) is not ABSENT for run in runs):
        return
    known = sorted({known for run in runs for known in keys_of(run.config)})
    near = did_you_mean(key, known)
    raise ConfigError("by", key, f"is in no run's config.{near or ' Name a config key, such as alpha or lr'}")
