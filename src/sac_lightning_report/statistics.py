"""Compute the statistics of a report with SciPy, with 95 % percentile-bootstrap intervals over runs."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from scipy.integrate import trapezoid
from scipy.stats import bootstrap, mannwhitneyu, trim_mean

from sac_lightning_report.runs import Column, Curve

LEVEL, RESAMPLES, SEED = 0.95, 2000, 0
# Cut from each end: the mean of the middle half is left.
QUARTER = 0.25
GRID_POINTS = 200
# A bootstrap of two runs has three values: its interval would be their range, which holds the truth every
# second time.
FEWEST = 3


class Estimate(NamedTuple):
    """A number and the ends of its 95 % interval, NaN where there is none."""

    value: float
    low: float = float("nan")
    high: float = float("nan")


class Band(NamedTuple):
    """Mean of n curves on a grid, all [T], with its interval where all n reach, else NaN."""

    steps: Column
    mean: Column
    low: Column
    high: Column
    runs: int

    @property
    def is_full(self) -> Any:
        """Where the mean is over all runs, [T] of bool."""
        return np.isfinite(self.low)


def mean(values: Sequence[float]) -> Estimate:
    """Return the mean of one number per run."""
    return _estimate(np.mean, values)


def interquartile_mean(values: Sequence[float]) -> Estimate:
    """Return the mean without the lowest and highest quarter of the runs; of fewer than four none is cut."""
    return _estimate(lambda sample, axis: trim_mean(sample, QUARTER, axis=axis), values)


def probability_of_improvement(ours: Sequence[float], theirs: Sequence[float]) -> Estimate:
    """Return the chance that a run of ours scores higher than one of theirs: U / (n·m), a tie counting half.

    U is Mann and Whitney's (1947); as a comparison of algorithms: Agarwal et al. (2021), 2108.13264.
    """

    def share(a: Column, b: Column, axis: int = -1) -> Any:
        with np.errstate(all="ignore"):  # the p-value of ties, which is not used
            pairs = a.shape[axis] * b.shape[axis]
            return mannwhitneyu(a, b, axis=axis, method="asymptotic").statistic / pairs

    a, b = np.asarray(ours, dtype=float), np.asarray(theirs, dtype=float)
    value = float(share(a, b))
    if min(len(a), len(b)) < FEWEST:
        return Estimate(value)
    return Estimate(value, *_interval((a, b), share))


def area_under(curve: Curve) -> float:
    """Return the area under a curve divided by its width: the mean return over the training."""
    width = float(curve.steps[-1] - curve.steps[0]) if len(curve) else 0.0
    if width == 0.0:
        return float(curve.values[-1]) if len(curve) else float("nan")
    return float(trapezoid(curve.values, curve.steps)) / width


def band(curves: Sequence[Curve], grid: Column) -> Band:
    """Average `curves` on `grid`, interpolated linearly between a run's points and never beyond them."""
    table = np.stack([_on_grid(curve, grid) for curve in curves])  # [n, T]
    reaching = np.isfinite(table)
    some = reaching.any(axis=0)
    middle = np.full(len(grid), np.nan)
    middle[some] = np.nanmean(table[:, some], axis=0)
    low, high = np.full(len(grid), np.nan), np.full(len(grid), np.nan)
    full = reaching.all(axis=0)
    if len(curves) < FEWEST or not full.any():
        low[full] = high[full] = middle[full]
    else:
        low[full], high[full] = _interval((table[:, full],), np.mean, axis=0)
    return Band(grid, middle, low, high, len(curves))


def common_grid(curves: Sequence[Curve]) -> Column:
    """Return all steps at which some curve has a point, or 200 even ones where those are more."""
    steps = np.unique(np.concatenate([curve.steps for curve in curves])) if curves else np.empty(0)
    return steps if len(steps) <= GRID_POINTS else np.linspace(steps[0], steps[-1], GRID_POINTS)


def _on_grid(curve: Curve, grid: Column) -> Column:
    return np.interp(grid, curve.steps, curve.values, left=np.nan, right=np.nan)


def _estimate(statistic: Any, values: Sequence[float]) -> Estimate:
    """Of no value NaN, of one or two no interval."""
    sample = np.asarray(values, dtype=float)
    if not sample.size:
        return Estimate(float("nan"))
    value = float(statistic(sample, axis=0))
    return Estimate(value) if sample.size < FEWEST else Estimate(value, *_interval((sample,), statistic))


def _interval(samples: tuple[Column, ...], statistic: Any, axis: int = -1) -> tuple[Any, Any]:
    # Percentile, since BCa has no answer where all runs agree. The same seed: the same report again.
    found = bootstrap(
        samples,
        statistic,
        n_resamples=RESAMPLES,
        confidence_level=LEVEL,
        method="percentile",
        vectorized=True,
        axis=axis,
        rng=np.random.default_rng(SEED),
    )
    return found.confidence_interval.low, found.confidence_interval.high
