"""Compute all numbers of a report, once for every page."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from sac_lightning.core.errors import ConfigError
from sac_lightning.core.plots import episodes
from sac_lightning_report.grouping import Group, Grouping, Options, group_runs
from sac_lightning_report.runs import ALPHA, DONE, ENTROPY, METRICS, SCORE, TARGET, WITHOUT_RESULT, Curve, Run
from sac_lightning_report.statistics import (
    Band,
    Estimate,
    area_under,
    band,
    common_grid,
    interquartile_mean,
    mean,
    probability_of_improvement,
)

# One group for each colour; the others are in the tables.
DRAWN = 7


@dataclass(frozen=True)
class GroupResult:
    """A group's numbers over its `counted` runs, one final score and one area for each."""

    group: Group
    counted: tuple[Run, ...]
    finals: tuple[float, ...]
    areas: tuple[float, ...]
    final_mean: Estimate
    final_iqm: Estimate
    area_mean: Estimate

    @property
    def is_finished(self) -> bool:
        """Whether all counted runs ended as done."""
        return all(run.status == DONE for run in self.counted)


@dataclass(frozen=True)
class EnvResult:
    """The groups of one env, sorted by interquartile mean, then by area; bands of those that are drawn.

    `improvement[i][j]`: the chance that a run of drawn group i scores higher than one of j; None where
    i is j.
    """

    env_id: str
    groups: tuple[GroupResult, ...]
    bands: dict[str, tuple[Band | None, ...]] = field(default_factory=dict)
    improvement: tuple[tuple[Estimate | None, ...], ...] = ()

    @property
    def score(self) -> str:
        """What a score is, such as `return, mean of 10 episodes` where all configs have the number."""
        known = [run.eval_episodes for each in self.drawn for run in each.counted]
        numbers = [number for number in known if number is not None]
        if len(numbers) < max(len(known), 1):
            return "return of an evaluation"
        return f"return, mean of {episodes(min(numbers), max(numbers))}"

    @property
    def drawn(self) -> tuple[GroupResult, ...]:
        """The best groups that have a score."""
        return tuple(each for each in self.groups if each.finals)[:DRAWN]


@dataclass(frozen=True)
class Results:
    """Everything that a report shows."""

    title: str
    runs: tuple[Run, ...]
    envs: tuple[EnvResult, ...]
    grouping: Grouping
    notes: tuple[str, ...]

    @property
    def headline(self) -> str:
        """`6 runs: 5 done, 1 failed`."""
        statuses = [run.status for run in self.runs]
        counts = ", ".join(f"{statuses.count(status)} {status}" for status in sorted(set(statuses)))
        return f"{len(statuses)} run{'' if len(statuses) == 1 else 's'}: {counts}"

    @property
    def not_done(self) -> tuple[Run, ...]:
        """Runs that failed, stopped or cannot be read whole."""
        return tuple(run for run in self.runs if run.status != DONE or run.problems)


def compute(title: str, runs: Sequence[Run], by: Sequence[str], options: Options) -> Results:
    """Compute the results of `runs`, grouped by the config keys `by` or by all that differ.

    Raises ConfigError for an unknown key, or when the runs share no metric.
    """
    _check_metrics(title, runs)
    grouping = group_runs(runs, by, options)
    by_env = dict.fromkeys(group.env_id for group in grouping.groups)
    envs = tuple(_env(env_id, [g for g in grouping.groups if g.env_id == env_id]) for env_id in by_env)
    notes = tuple(_notes(runs, grouping, envs))
    return Results(title, tuple(runs), envs, grouping, notes)


def _check_metrics(title: str, runs: Sequence[Run]) -> None:
    logged = [run for run in runs if run.curves.keys]
    if logged and not set.intersection(*(set(run.curves.keys) for run in logged)):
        one = logged[0]
        other = min(logged, key=lambda run: len(set(run.curves.keys) & set(one.curves.keys)))
        raise ConfigError(
            "runs",
            title,
            f"its runs share no metric: {one.name} has {_some(one.curves.keys)}; "
            f"{other.name} has {_some(other.curves.keys)}. Make a report of each",
        )


def _env(env_id: str, groups: Sequence[Group]) -> EnvResult:
    found = [_group(group) for group in groups]
    ranked = tuple(
        sorted(found, key=lambda each: (-_rank(each.final_iqm.value), -_rank(each.area_mean.value)))
    )
    drawn = EnvResult(env_id, ranked).drawn
    bands = {key: _bands(key, drawn) for key in (SCORE, ALPHA, ENTROPY, TARGET)}
    improvement = tuple(
        tuple(
            None if ours is theirs else probability_of_improvement(ours.finals, theirs.finals)
            for theirs in drawn
        )
        for ours in drawn
    )
    return EnvResult(env_id, ranked, bands, improvement)


def _group(group: Group) -> GroupResult:
    scored = [run for run in group.runs if run.status not in WITHOUT_RESULT and len(run.curves[SCORE])]
    counted = tuple(run for run in scored if run.status == DONE) or tuple(scored)
    finals = tuple(float(run.curves[SCORE].values[-1]) for run in counted)
    areas = tuple(area_under(run.curves[SCORE]) for run in counted)
    return GroupResult(group, counted, finals, areas, mean(finals), interquartile_mean(finals), mean(areas))


def _bands(key: str, drawn: Sequence[GroupResult]) -> tuple[Band | None, ...]:
    curves: list[list[Curve]] = [
        [run.curves[key] for run in each.counted if len(run.curves[key])] for each in drawn
    ]
    grid = common_grid([curve for each in curves for curve in each])
    return tuple(band(each, grid) if each else None for each in curves)


def _rank(value: float) -> float:
    return value if np.isfinite(value) else -np.inf


def _notes(runs: Sequence[Run], grouping: Grouping, envs: Sequence[EnvResult]) -> list[str]:
    """What a reader must know about how these runs were counted."""
    notes = []
    if grouping.redundant:
        keys = ", ".join(grouping.redundant)
        notes.append(f"These settings differ too, but add nothing to those that are shown: {keys}.")
    logged = [run for run in runs if run.curves.keys]
    gaps = {
        key: [run.name for run in logged if key not in run.curves.keys]
        for key in METRICS
        if any(key in run.curves.keys for run in logged)
    }
    notes += [
        f"Not all runs log the same metrics: {_some(names)} without {key}; its figures show the others."
        for key, names in gaps.items()
        if names
    ]
    unscored = [run.name for run in runs if run.status not in WITHOUT_RESULT and not len(run.curves[SCORE])]
    if unscored:
        notes.append(f"Without a score, because metrics.csv has no {SCORE}: {_some(unscored)}.")
    for env in envs:
        notes += [f"{env.env_id}: {note}" for note in _env_notes(env)]
    return notes


def _env_notes(env: EnvResult) -> list[str]:
    notes = []
    open_groups = [each.group.label for each in env.groups if each.counted and not each.is_finished]
    if open_groups:
        notes.append(
            f"no run is done, so unfinished ones are shown up to where they are: {'; '.join(open_groups)}."
        )
    ends = [run.curves[SCORE].steps[-1] for each in env.groups for run in each.counted]
    if ends and min(ends) < max(ends):
        notes.append(
            f"the last evaluations are at {min(ends):,.0f} to {max(ends):,.0f} env steps; "
            "each run's final score is that of its own last one."
        )
    if env.drawn and all(len(each.finals) == 1 for each in env.drawn):
        notes.append("one run per group, so there is no interval.")
    if any(len(each.finals) == 2 for each in env.drawn):
        notes.append("two runs give no 95 % interval: a group needs at least three.")
    if len([each for each in env.groups if each.finals]) > DRAWN:
        notes.append(f"the figures show the best {DRAWN} groups; the table has all.")
    return notes


def _some(names: Sequence[str], most: int = 5) -> str:
    more = len(names) - most
    return ", ".join(names[:most]) + (f" and {more} more" if more > 0 else "")
