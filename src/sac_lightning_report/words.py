"""The sentences of a report: captions, methods, and what the numbers say about the best group."""

import numpy as np

from sac_lightning_report.results import EnvResult, Results
from sac_lightning_report.runs import FAILED
from sac_lightning_report.statistics import FEWEST, Estimate

NONE = "–"
# Below this a bootstrap interval is narrower than the truth.
FEW = 5


def _one_line(text: str) -> str:
    return " ".join(text.split())


CAPTIONS = {
    "learning_curve": _one_line("""
        Mean return of the evaluations over each group's runs; higher is better. The band is the 95 % interval
        of that mean, faint lines are single runs. Dashed: only some of the runs reach this far.
    """),
    "final_score": _one_line("""
        Each circle is one run's last evaluation. The filled sign is the interquartile mean, the bar its 95 %
        interval.
    """),
    "area": _one_line("""
        The mean return over the whole training, so that learning early counts. Each circle is one run, the
        filled sign the mean, the bar its 95 % interval.
    """),
    "improvement": _one_line("""
        The chance that a run of the first group scores higher than a run of this one, and its 95 % interval.
        At 0.5 neither is better.
    """),
    "alpha": _one_line("""
        What a nat of entropy is worth in reward: the mean over runs and its 95 % interval, on a log axis.
    """),
    "entropy": _one_line("""
        How random the policy is: the mean over runs and its 95 % interval. The dotted line is the target
        entropy.
    """),
}
METHODS = {
    "Score": _one_line("""
        `eval/return_mean`, the mean return of the evaluation episodes. A run's final score is that of its
        last evaluation. Axes and tables show the number of episodes.
    """),
    "Which runs count": _one_line("""
        Runs that ended as done. Failed runs, and trials that a search ended early, are listed but not
        counted. If no run of a group is done, its unfinished runs are shown, and a note says so.
    """),
    "Groups": _one_line("""
        Runs whose configs differ only in the seed and in where they are recorded, or that have the same
        values of the keys in `by=`. Envs are never mixed: their returns cannot be compared.
    """),
    "95 % interval": _one_line("""
        Percentile bootstrap over whole runs, 2,000 resamples from a fixed seed (`scipy.stats.bootstrap`).
        With one or two runs there is none; with three or four it is narrower than the truth.
    """),
    "Interquartile mean (IQM)": _one_line("""
        The mean without the lowest and the highest quarter of the runs (`scipy.stats.trim_mean`, 0.25).
        With fewer than four runs none is left out, and it is the mean.
    """),
    "Area under the curve": _one_line("""
        The area under a run's evaluations (`scipy.integrate.trapezoid`) divided by the env steps between
        the first and the last: the mean return while it learned.
    """),
    "Probability of improvement": _one_line("""
        The share of pairs of runs in which the first group's final score is higher, a tie counting half:
        Mann and Whitney's U divided by the number of pairs (`scipy.stats.mannwhitneyu`).
    """),
    "Curves": _one_line("""
        Runs are compared at the env steps of their evaluations, or at 200 even points where those are
        more. Between two of its own points a run's curve is a straight line; beyond them there is none.
    """),
}


def has_best(env: EnvResult) -> bool:
    """Say whether the first group is better than all others: no interval contains 0.5, and no seed failed."""
    against = [share for share in env.improvement[0] if share is not None] if env.improvement else []
    return bool(against) and all(share.low > 0.5 for share in against) and not _failed(env)


def first_group(env: EnvResult) -> str:
    """Say what the first group is: the best one, or only that with the highest score."""
    if len(env.groups) == 1:
        return "Score"
    return "Best group" if has_best(env) else "Highest score, not shown to be the best group"


def best_score(env: EnvResult) -> str:
    """Say what the first group's number is: `final score, interquartile mean of 3 runs`."""
    number = len(env.drawn[0].finals)
    return f"final score, interquartile mean of {number} runs" if number > 1 else "final score of one run"


def best_overrides(results: Results, env: EnvResult) -> str:
    """Return what to type for the first group: the overrides that its runs share, else its settings."""
    runs = env.drawn[0].group.runs
    typed = [run.overrides or results.grouping.settings[run.name] for run in runs]
    return " ".join(item for item in typed[0] if all(item in others for others in typed))


def best_against_next(env: EnvResult) -> str:
    """Say in a sentence whether the first group is better than the next that it may not beat, or the next."""
    if len(env.drawn) < 2:
        return ""
    shares = list(zip(env.improvement[0], env.drawn, strict=True))[1:]
    share, other = next((each for each in shares if each[0] and not each[0].low > 0.5), shares[0])
    assert share is not None
    name = other.group.label
    fewest = min(len(each.finals) for each in (env.drawn[0], other))
    if fewest < FEWEST:
        few = "One run in a group is" if fewest == 1 else "Two runs in a group are"
        return f"{few} not enough to decide whether it is better than {name}."
    chance = f"A run of it scores higher than one of {name} with probability {interval(share, 2)}"
    if share.low > 0.5 and (failed := _failed(env)):
        return f"{chance}, but seeds of {', '.join(failed)} failed: among those that ended, it is better."
    if share.low > 0.5:
        return f"{chance}: it is better{f', though {fewest} runs are few' if fewest < FEW else ''}."
    if share.high < 0.5:
        return f"{chance}: its mean is higher because of a few runs, most score lower."
    return f"{chance}: the interval contains 0.5, so these runs do not show which is better."


def _failed(env: EnvResult) -> list[str]:
    """The drawn groups of which a run failed."""
    failed = [each for each in env.drawn if any(run.status == FAILED for run in each.group.runs)]
    return [each.group.label for each in failed]


def interval(estimate: Estimate, digits: int | None = None) -> str:
    """Write `−135.3 [−138.1, −132.8]`, without brackets where there is no interval."""
    if not np.isfinite(estimate.value):
        return NONE
    if digits is None:
        scale = max(abs(part) for part in estimate if np.isfinite(part))
        digits = 0 if scale >= 1000 else 1 if scale >= 10 else 3
    value, low, high = (f"{part:,.{digits}f}".replace("-", "−") for part in estimate)
    return f"{value} [{low}, {high}]" if np.isfinite(estimate.low) else value
