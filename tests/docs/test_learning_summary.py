"""The summary of a learning benchmark over seeds."""

import csv
import sys
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture
def summary(monkeypatch: pytest.MonkeyPatch):
    """benchmarks/learning_summary.py, a script beside its neighbours."""
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    import learning_summary

    yield learning_summary
    for name in ("learning_summary", "tables"):
        sys.modules.pop(name, None)


def test_interquartile_mean_leaves_out_the_ends(summary) -> None:
    # Five seeds: one is cut at each end; (2 + 3 + 7) / 3 = 4.
    assert summary.interquartile_mean(np.array([2.0, 1000.0, 3.0, 7.0, -50.0])) == pytest.approx(4.0)


def test_interval_holds_the_mean_and_repeats(summary) -> None:
    scores = np.array([1.0, 2.0, 3.0, 4.0, 5.0])
    low, high = summary.interval(scores)
    assert 1.0 <= low < 3.0 < high <= 5.0
    assert summary.interval(scores) == (low, high)
    assert summary.interval(np.full(5, 500.0)) == (500.0, 500.0)


def test_summary_that_is_committed_is_that_of_the_committed_runs(summary, tmp_path: Path) -> None:
    results = ROOT / "benchmarks" / "results"
    with (results / "discrete_targets.csv").open(newline="") as file:
        summary.summarise(list(csv.DictReader(file)), tmp_path / "again.csv")
    assert (tmp_path / "again.csv").read_text() == (results / "discrete_targets_summary.csv").read_text()
