"""What the documents say in words holds for the numbers that are committed."""

import math
from pathlib import Path

import pytest

from entropy_lab.outputs import Outputs

KNOWN = Outputs(Path(__file__).parents[2] / "docs").known()


def test_alpha_rose_while_entropy_was_held_below_the_target_and_fell_above() -> None:
    target = KNOWN["a.target"]
    assert KNOWN["a.narrow.entropy"] < target < KNOWN["a.wide.entropy"]
    assert KNOWN["a.narrow.alpha_factor"] > 2.0
    assert KNOWN["a.wide.alpha_factor"] < 0.5
    assert KNOWN["a.narrow.q_after"] > KNOWN["a.narrow.q_before"]
    assert KNOWN["a.wide.q_after"] < KNOWN["a.wide.q_before"]
    assert KNOWN["a.narrow.entropy_after"] > target > KNOWN["a.wide.entropy_after"]


def test_targets_that_cannot_be_reached_send_alpha_away() -> None:
    assert KNOWN["b.alpha_low.log_n"] > 100 * KNOWN["b.alpha_high.ratio_0.5"]
    assert KNOWN["b.alpha_low.ratio_0.98"] > 100 * KNOWN["b.alpha_high.ratio_0.5"]
    assert KNOWN["b.alpha_high.minus_one"] < 0.1 * KNOWN["b.alpha_low.eps_peaked"]
    for name in ("ratio_0.5", "eps_peaked"):
        assert abs(KNOWN[f"b.entropy.{name}"] - KNOWN[f"b.target.{name}"]) < 0.1
    assert KNOWN["b.return.log_n"] < KNOWN["b.return.ratio_0.5"]
    assert KNOWN["b.entropy.minus_one"] < KNOWN["b.entropy.eps_peaked"]


def test_squashed_entropy_is_largest_near_the_uniform_and_falls_again() -> None:
    assert KNOWN["d.best_entropy"] == pytest.approx(math.log(2), rel=0.02)
    assert KNOWN["d.large.true"] < 0.0 < KNOWN["d.large.gaussian"]


def test_score_function_needs_more_draws_and_ever_more_with_dimensions() -> None:
    assert 1.0 < KNOWN["e.draws.baseline.1"] < KNOWN["e.draws.score.1"] < KNOWN["e.draws.score.32"]
    assert KNOWN["e.draws.baseline.1"] < KNOWN["e.draws.baseline.32"]
    assert KNOWN["e.sample"] == 0.0


def test_soft_policy_keeps_both_peaks_and_a_hard_one_does_not() -> None:
    assert KNOWN["f.hard.smaller_peak"] < 0.01
    assert KNOWN["f.soft.smaller_peak"] > 0.3
    assert KNOWN["f.soft.apart"] < 0.03


def test_sum_over_all_actions_has_no_noise_and_samples_fall_with_their_root() -> None:
    assert KNOWN["g.exact"] == 0.0
    assert KNOWN["g.baseline.1"] < KNOWN["g.score.1"]
    # 32 samples: 1/√32 = 0.177 of the noise of one.
    assert KNOWN["g.score.32"] / KNOWN["g.score.1"] == pytest.approx(0.177, rel=0.25)


def test_return_rises_on_old_data_of_another_policy_and_less_on_the_newest_alone() -> None:
    assert KNOWN["h.age_low.all"] > 5 * KNOWN["h.age_high.newest"]
    assert KNOWN["h.shift_high.all"] < -3.0
    assert KNOWN["h.shift.all"] < KNOWN["h.shift.newest"] < KNOWN["h.shift_high.newest"] < 0.0
    # "The seeds overlap": one seed of the newest alone ends farther away than one of all.
    assert KNOWN["h.shift_low.newest"] < KNOWN["h.shift_high.all"]
    assert KNOWN["h.rarer.all"] == pytest.approx(math.exp(-KNOWN["h.shift.all"]), rel=1e-4)
    assert KNOWN["h.return_low.all"] > KNOWN["h.first.all"] + 1000
    assert KNOWN["h.return_low.all"] > KNOWN["h.return_high.newest"]
    assert KNOWN["h.return_low.newest"] > KNOWN["h.first.newest"]


@pytest.mark.parametrize("task", ["cartpole", "acrobot"])
def test_discrete_default_beats_the_classic_rule_beyond_the_interval(task: str) -> None:
    ours, classic = f"t.{task}.max_ratio-0.5", f"t.{task}.max_ratio-0.98"
    assert KNOWN[f"{ours}.seeds"] == KNOWN[f"{classic}.seeds"] == 5
    assert KNOWN[f"{ours}.low"] > KNOWN[f"{classic}.high"]
