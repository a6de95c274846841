"""What a few seeds can say: the interquartile mean of each variant, with a bootstrap interval."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.stats import bootstrap, trim_mean
from tables import Row, Table

CONFIDENCE, RESAMPLES = 0.95, 10_000
KEYS = ("iqm", "low", "high")
# Of the main table's columns, with the name that documents quote them by.
SUMMARISED = {"return_mean": "", "return_auc": "area.", "alpha": "alpha."}


def interquartile_mean(scores: NDArray[np.float64], axis: int = -1) -> NDArray[np.float64]:
    """The mean without the lowest and the highest quarter of the seeds (rounded down): 2108.13264."""
    kept: NDArray[np.float64] = trim_mean(scores, 0.25, axis=axis)
    return kept


def interval(scores: NDArray[np.float64]) -> tuple[float, float]:
    """Percentile bootstrap over the seeds, from a fixed random state."""
    if np.ptp(scores) == 0.0:
        return float(scores[0]), float(scores[0])
    found = bootstrap(
        (scores,),
        interquartile_mean,
        n_resamples=RESAMPLES,
        confidence_level=CONFIDENCE,
        method="percentile",
        rng=0,
    ).confidence_interval
    return float(found.low), float(found.high)


def summarise(rows: list[Row], out: Path) -> list[str]:
    """Write `name, value` rows for every variant; the lines of a table for people."""
    numbers: dict[str, float] = {}
    lines = []
    for variant in sorted({row["variant"] for row in rows}):
        own = [row for row in rows if row["variant"] == variant]
        prefix = f"t.{variant.replace('_', '.', 1)}"
        numbers[f"{prefix}.seeds"] = float(len(own))
        for column, name in SUMMARISED.items():
            scores = np.array([float(row[column]) for row in own])
            low, high = interval(scores)
            iqm = float(interquartile_mean(scores))
            numbers |= {f"{prefix}.{name}{key}": v for key, v in zip(KEYS, (iqm, low, high), strict=True)}
        shown = [numbers[f"{prefix}.{key}"] for key in KEYS]
        interval_shown = f"{shown[0]:8.1f}  [{shown[1]:.1f}, {shown[2]:.1f}]"
        lines.append(f"{variant:<26} {len(own)} seeds  {interval_shown}")
    table = Table(out, ("name", "value"))
    table.add([{"name": name, "value": value} for name, value in numbers.items()], replacing=lambda row: True)
    return lines
