"""The numbers of a report, against arithmetic."""

import numpy as np
import pytest

from sac_lightning_report.runs import Curve
from sac_lightning_report.statistics import (
    area_under,
    band,
    common_grid,
    interquartile_mean,
    mean,
    probability_of_improvement,
)


def curve(points: dict[float, float]) -> Curve:
    return Curve(np.array(list(points), dtype=float), np.array(list(points.values()), dtype=float))


def test_interquartile_mean_leaves_out_the_lowest_and_highest_quarter() -> None:
    # Of eight, two at each end: (3 + 4 + 5 + 6) / 4 = 4.5
    assert interquartile_mean([1, 2, 3, 4, 5, 6, 700, 800]).value == 4.5
    # Of three, ⌊3/4⌋ = 0: (1 + 2 + 6) / 3 = 3
    assert interquartile_mean([1, 2, 6]).value == pytest.approx(3.0)


def test_one_or_two_runs_have_no_interval_and_no_run_no_value() -> None:
    assert mean([5.0]).value == 5.0
    assert np.isnan([mean([5.0]).low, mean([5.0]).high, mean([]).value]).all()
    assert np.isnan([mean([5.0, 6.0]).low, interquartile_mean([5.0, 6.0]).high]).all()
    assert np.isnan(probability_of_improvement([1.0, 4.0], [2.0, 3.0, 5.0]).low)


def test_runs_that_agree_have_an_interval_of_no_width() -> None:
    assert mean([500.0] * 4) == (500.0, 500.0, 500.0)
    assert interquartile_mean([500.0] * 4) == (500.0, 500.0, 500.0)


def test_interval_of_the_mean_covers_the_truth_in_95_of_100_samples_of_30() -> None:
    rng = np.random.default_rng(0)
    found = [mean(rng.normal(3.0, 2.0, size=30)) for _ in range(200)]
    covered = sum(each.low <= 3.0 <= each.high for each in found)
    # Binomial(200, 0.95) lies within 190 ± 3·3.1; the percentile bootstrap is a little narrow at n = 30.
    assert 176 <= covered <= 199


def test_probability_of_improvement_counts_pairs_and_half_of_ties() -> None:
    # (3>1, 3>2, 3=3, 2>1, 2=2, 2<3): 3 + ½ + ½ of 6 pairs
    assert probability_of_improvement([3, 2], [1, 2, 3]).value == pytest.approx(4 / 6)
    assert probability_of_improvement([5, 6, 7], [1, 2, 3]) == (1.0, 1.0, 1.0)
    assert probability_of_improvement([4, 4], [4, 4]).value == 0.5


@pytest.mark.parametrize("seed", range(3))
def test_probabilities_of_improvement_of_both_orders_add_up_to_one(seed: int) -> None:
    rng = np.random.default_rng(seed)
    a, b = rng.integers(0, 5, size=6), rng.integers(0, 5, size=9)
    there, back = probability_of_improvement(a, b), probability_of_improvement(b, a)
    assert there.value + back.value == pytest.approx(1.0)
    assert there.low <= there.value <= there.high


def test_the_same_runs_give_the_same_interval_again() -> None:
    assert mean([1.0, 2.0, 5.0]) == mean([1.0, 2.0, 5.0])


def test_area_is_the_mean_return_over_the_training() -> None:
    # ½·(0 + 10)·100 + 10·300 = 3500 over 400 env steps
    assert area_under(curve({100: 0, 200: 10, 500: 10})) == pytest.approx(8.75)
    assert area_under(curve({100: 7})) == 7.0
    assert np.isnan(area_under(curve({})))


def test_band_is_full_only_where_all_runs_reach_and_nothing_is_extrapolated() -> None:
    curves = [curve({100: 0, 300: 20}), curve({100: 10, 200: 10, 300: 10, 400: 30})]
    grid = common_grid(curves)
    assert grid.tolist() == [100, 200, 300, 400]
    found = band(curves, grid)
    # At 200 the first run is halfway between 0 and 20; at 400 only the second one is left.
    assert found.mean.tolist() == [5, 10, 15, 30]
    assert found.is_full.tolist() == [True, True, True, False]
    assert found.low[0] <= 5 <= found.high[0]
    assert (found.low[1], found.high[1]) == (10, 10)


def test_interval_of_a_curve_is_that_of_the_mean_at_each_step() -> None:
    scores = [3.0, -1.0, 8.0, 2.0]
    found = band([curve({100: score, 200: 2 * score}) for score in scores], np.array([100.0, 200.0]))
    assert (found.mean[0], found.low[0], found.high[0]) == pytest.approx(tuple(mean(scores)))
    assert found.high[1] == pytest.approx(2 * found.high[0])


def test_many_different_steps_become_an_even_grid() -> None:
    curves = [curve({step + shift: 0 for step in range(0, 3000, 10)}) for shift in range(3)]
    grid = common_grid(curves)
    assert (len(grid), grid[0], grid[-1]) == (200, 0, 2992)
