"""What all runs of throughput.py measured together: README's and docs/speed.md's numbers and pictures.

A speed is the median over the segments of all runs, a ratio the median over the ratios within each round;
the lowest and the highest median of a run stand beside it.
"""

import statistics
from pathlib import Path
from typing import NamedTuple

from tables import Table
from throughput_tables import Speeds


class Figure(NamedTuple):
    """A median over all runs, and the lowest and the highest median of a run."""

    median: float
    low: float
    high: float


def csv_of(results: Path, env: str) -> Path:
    """Where throughput.py writes its segments."""
    return results / ("throughput.csv" if env == "Pendulum-v1" else f"throughput_{env}.csv")


def read_runs(results: Path, env: str) -> list[Speeds]:
    """Updates a second of each contestant, by run: the latest one, then those in throughput_others/."""
    others = sorted((results / "throughput_others").glob(f"{env}_*.csv"))
    return [_speeds(path) for path in (csv_of(results, env), *others) if path.exists()]


def pooled(runs: list[Speeds]) -> Speeds:
    """The segments of all runs, contestant by contestant, in the order of the first run."""
    names = dict.fromkeys(name for run in runs for name in run)
    return {name: [speed for run in runs for speed in run.get(name, [])] for name in names}


def speed(runs: list[Speeds], name: str) -> Figure:
    """Updates a second of the contestant `name`."""
    return _figure([run[name] for run in runs if name in run])


def ratio(runs: list[Speeds], name: str, other: str) -> Figure:
    """How many times as fast as `other` the contestant `name` is."""
    both = [(run[name], run[other]) for run in runs if name in run and other in run]
    return _figure([[a / b for a, b in zip(*pair, strict=True)] for pair in both])


def _figure(runs: list[list[float]]) -> Figure:
    medians = [statistics.median(run) for run in runs]
    return Figure(statistics.median([value for run in runs for value in run]), min(medians), max(medians))


def _speeds(path: Path) -> Speeds:
    speeds: Speeds = {}
    for row in Table(path, ()).rows:
        speeds.setdefault(row["contestant"], []).append(float(row["updates_per_s"]))
    return speeds
