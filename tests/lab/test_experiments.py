"""The experiments measure what they say: known answers, and short real runs."""

import logging
import math
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from entropy_lab import gradients, old_data, squashed, targets, thermostat, two_peaks
from entropy_lab.agents import train
from entropy_lab.experiment import Experiment, Job, Table
from entropy_lab.runner import EXPERIMENTS, JobFailed, run
from sac_lightning.entropy import LearnedTemperature
from sac_lightning.heads import TanhNormal
from sac_lightning.training.datamodule import ReplayDataModule
from sac_lightning.training.module import SACModule

BY_LETTER = {each.letter: each for each in EXPERIMENTS}


def test_gaussian_entropy_is_an_upper_bound_of_the_squashed_one_and_tight_for_small_std() -> None:
    # ½ log(2πe) = 1.418939 at σ = 1; tanh contracts, so squashing can only take entropy away.
    for mean in squashed.MEANS:
        for std in (0.02, 0.1, 1.0, 5.0):
            gaussian, true = squashed.entropies(mean, std, 4001)
            assert gaussian == pytest.approx(1.418939 + math.log(std), abs=1e-6)
            assert true < min(gaussian, math.log(2))
    gaussian, true = squashed.entropies(0.0, 0.02, 4001)
    assert true == pytest.approx(gaussian, abs=1e-3)


def test_squashed_entropy_is_that_of_the_density_that_is_drawn() -> None:
    rows = Table.of(squashed.densities(1.0)).where(std=0.3)
    a, p = rows.column("action"), rows.column("density")
    assert np.trapezoid(p, a) == pytest.approx(1.0, abs=1e-3)
    of_density = np.trapezoid(-p * np.log(np.clip(p, 1e-300, None)), a)
    assert squashed.entropies(0.0, 0.3, 4001)[1] == pytest.approx(of_density, abs=1e-3)


def test_features_of_the_lab_are_the_mean_and_std_that_the_head_reads() -> None:
    mean, log_std = TanhNormal(1).mean_and_log_std(squashed.features(TanhNormal(1), 0.7, 0.25, 3))
    torch.testing.assert_close(mean, torch.full((3, 1), 0.7, dtype=torch.float64))
    torch.testing.assert_close(log_std.exp(), torch.full((3, 1), 0.25, dtype=torch.float64))


@pytest.mark.parametrize("estimator", ["rsample", "score", "baseline"])
def test_estimators_agree_with_the_exact_gradient(estimator: str) -> None:
    noise = torch.randn(200_000, 1, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    found = gradients.gradient(estimator, noise)
    error = found.std(1) / math.sqrt(len(noise))
    assert ((found.mean(1) - gradients.exact()).abs() < 5 * error).all()


def test_exact_gradient_is_the_difference_quotient_of_the_expected_value() -> None:
    noise = torch.linspace(-8, 8, 8001, dtype=torch.float64)
    weight = torch.exp(-0.5 * noise**2) / torch.exp(-0.5 * noise**2).sum()

    def value(mean: float, std: float) -> float:
        return float((weight * gradients.q_value(torch.tanh(mean + std * noise)[:, None])).sum())

    m, s, h = gradients.MEAN, gradients.STD, 1e-5
    by_mean = (value(m + h, s) - value(m - h, s)) / (2 * h)
    by_std = (value(m, s + h) - value(m, s - h)) / (2 * h)
    assert gradients.exact().tolist() == pytest.approx([by_mean, by_std], abs=1e-7)


def test_nothing_reaches_mean_and_std_through_a_sample() -> None:
    assert gradients.gradient("sample", torch.randn(10, 2, dtype=torch.float64)).abs().max() == 0.0


def test_likelier_action_of_the_classic_target_has_058() -> None:
    # −0.583 log 0.583 − 0.417 log 0.417 = 0.679 = 0.98 · 0.693
    assert targets.likelier(0.98 * math.log(2)) == pytest.approx(0.583, abs=1e-3)
    assert targets.likelier(math.log(2)) == pytest.approx(0.5, abs=1e-6)
    assert targets.likelier(-1.0) == pytest.approx(1.0)


def test_thermostat_raises_alpha_below_the_target_and_lowers_it_above() -> None:
    table = Table.of(thermostat.run(0, 0.1))
    target = table.column("target")[0]
    for name, is_below in (("narrow", True), ("wide", False)):
        held = table.where(held=name)
        assert ((held.column("entropy")[1:] < target) == is_below).all()
        steps = np.diff(held.column("alpha")[1:])
        assert ((steps > 0) == is_below).all(), (name, steps)


def test_bandit_theory_is_the_optimum_of_reward_and_entropy() -> None:
    # π ∝ exp(r/α) beats its neighbours in Σ π r + α H.
    rows = Table.of(two_peaks.run(0, 0.0625, "soft", 0.15))
    rewards, best = rows.column("reward"), rows.column("theory")

    def objective(p: np.ndarray) -> float:
        return float((p * rewards).sum() - 0.15 * (p * np.log(p)).sum())

    for i in (5, 20, 30):
        other = best.copy()
        other[i] *= 1.05
        assert objective(other / other.sum()) < objective(best)


def test_every_compared_agent_has_three_seeds_and_draws_from_its_own_alone() -> None:
    for letter in "bcgh":
        experiment = BY_LETTER[letter]
        jobs = experiment.jobs(0, 0.02)
        seeds = {job.label.rpartition(" ")[2] for job in jobs} if letter != "g" else {""}
        assert len(seeds) == (1 if letter == "g" else 3)
        first = Table.of(jobs[0].run())
        assert len(first) > 5
        if letter == "b":
            assert Table.of(jobs[0].run()).rows == first.rows


@pytest.mark.parametrize("pool", list(old_data.POOLS))
def test_short_pool_holds_the_newest_data_and_the_distance_is_that_of_its_own_actions(pool: str) -> None:
    kept = None if pool == "all" else 150
    seen: list[tuple[int, float]] = []

    def look(module: SACModule, data: ReplayDataModule, env_steps: int, row: dict[str, float]) -> None:
        assert data.experience is not None
        replay = data.experience.replay
        assert len(replay) == min(env_steps, kept or env_steps)
        # One at a time, from the newest back to the first that a policy chose.
        own = range(max(100, env_steps - len(replay)), env_steps)
        gone = []
        for number in own:
            obs, action, *_, then = (field[[number % replay.capacity]] for field in replay.store)
            with torch.no_grad():
                gone.append(float(module.sac.head.log_prob(module.sac.actor(obs), action) - then))
        expected = float(np.nanmean(gone)) if gone else math.nan
        assert old_data.shift(module, data) == pytest.approx(expected, abs=1e-4, nan_ok=True)
        seen.append((env_steps, expected))

    given = replace(old_data.recipe(pool, 0.02), learning_starts=100, capacity=kept, evaluates=False)
    levels = {name: logging.getLogger(name).level for name in ("sac_lightning", "pytorch_lightning")}
    train(given, LearnedTemperature(), 0, after_row=look)
    assert {name: logging.getLogger(name).level for name in levels} == levels
    assert seen[-1][0] == 400
    assert sum(math.isfinite(value) for _, value in seen) > 5


@pytest.mark.parametrize("letter", [each.letter for each in EXPERIMENTS])
def test_every_committed_table_can_be_drawn_and_gives_finite_numbers(letter: str, tmp_path: Path) -> None:
    experiment = BY_LETTER[letter]
    table = Table.read(Path(__file__).parents[2] / "docs" / "lab" / f"{experiment.stem}.csv")
    experiment.draw(table, tmp_path / "figure.png")
    with Image.open(tmp_path / "figure.png") as image:
        image.load()
        assert min(image.size) > 500
    assert all(math.isfinite(value) for value in experiment.numbers(table).values())


def answer(value: float) -> list[dict[str, float]]:
    if value < 0:
        raise ValueError("two\nlines")
    return [{"value": value}]


def made_of(*values: float) -> Experiment:
    jobs = [Job(f"job {value}", partial(answer, value), seconds=value + 2) for value in values]
    return Experiment(**{**vars(EXPERIMENTS[0]), "jobs": lambda seed, budget: jobs})


def test_rows_come_in_the_order_of_the_jobs_whatever_ends_first() -> None:
    for side_by_side in (1, 2):
        *_, last = run([made_of(1.0, 3.0, 2.0)], 0, 1.0, side_by_side)
        assert last.table is not None
        assert last.table.column("value").tolist() == [1.0, 3.0, 2.0]
        assert last.done == pytest.approx(1.0)


def test_job_that_fails_is_one_line() -> None:
    with pytest.raises(JobFailed) as failed:
        list(run([made_of(1.0, -1.0)], 0, 1.0, 1))
    assert str(failed.value) == "a, job -1.0: ValueError: two lines"
