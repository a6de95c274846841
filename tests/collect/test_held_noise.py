"""Noise that is held for several env steps: for how long, and that an episode's end ends it."""

import numpy as np
import torch
from tests.collect.test_collector import Run

from sac_lightning.collect.held_noise import HeldNoise
from sac_lightning.replay import ReplayBuffer


def test_the_probability_of_a_hold_of_k_steps_falls_with_its_square() -> None:
    held, rng = HeldNoise(4, num_envs=2), np.random.default_rng(0)
    steps = torch.arange(20_000.0)
    noise = torch.stack([held.next(step.expand(2, 1), rng) for step in steps])[:, :, 0]
    for env in (0, 1):
        # Noise is the number of the step that drew it: how often it comes is the length of the hold.
        lengths = noise[:, env].unique(return_counts=True)[1][:-1]
        share = torch.bincount(lengths, minlength=5)[1:] / len(lengths)
        # 1 + 1/4 + 1/9 + 1/16 = 205/144
        expected = torch.tensor([1, 1 / 4, 1 / 9, 1 / 16]) * 144 / 205
        assert (share - expected).abs().max() < 0.02
    assert not torch.equal(noise[:, 0], noise[:, 1])


def actions(run: Run) -> list[float]:
    """The actions of a policy that is the same everywhere: they repeat as the noise does."""
    with torch.no_grad():
        run.policy.actor.output.weight.zero_()
    run.collect(300)
    store: ReplayBuffer = run.replay
    return store.store.action[:300, 0].tolist()  # type: ignore[no-any-return]


def test_a_new_episode_has_new_noise() -> None:
    drawn = actions(Run(discrete=False, length=3, noise_hold_max=16))
    within = [drawn[i] == drawn[i - 1] for i in range(1, 300) if i % 3]
    across = [drawn[i] == drawn[i - 1] for i in range(3, 300, 3)]
    assert 40 < sum(within) < 160  # of 200
    assert not any(across)
    assert len(set(actions(Run(discrete=False, length=3)))) == 300  # without a hold
