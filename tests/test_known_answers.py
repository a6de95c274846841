"""Whole runs, env to policy, against answers worked out without them."""

import math
from typing import Any

import numpy as np
import pytest
import torch
from gymnasium import spaces
from torch import Tensor

from sac_lightning import ActorConfig, CriticConfig, ReplayDataModule, SACModule
from sac_lightning.entropy import Fixed
from sac_lightning.heads import MultiCategorical, SampledMultiCategorical
from sac_lightning.networks import Polyak
from sac_lightning.optim import Adam
from sac_lightning.replay import ReplayBuffer
from tasks import Chain, OneState, env_config, fit

ONE = torch.ones(1, 1)  # the obs of OneState


def q_of(learner: SACModule, obs: Tensor, action: Tensor) -> Tensor:
    return learner.sac.value_head.mean(learner.sac.critic.features(obs, action))


def data_of(make: Any, env_steps: int, gamma: float, **options: Any) -> ReplayDataModule:
    common = {"steps_per_epoch": 50, "learning_starts": 200, "num_envs": 10, "seed": 1}
    replay = ReplayBuffer(gamma=gamma)
    return ReplayDataModule(
        env_config(make), total_env_steps=env_steps, replay=replay, **{**common, **options}
    )


def networks(*hidden_sizes: int, tau: float = 0.005) -> dict[str, Any]:
    """Small networks whose learning rate falls, so that the noise of the last mini-batches averages out."""
    falling = Adam(lr_schedule="linear", lr_final_ratio=0.02)
    shared: dict[str, Any] = {"hidden_sizes": hidden_sizes, "lr": 3e-3, "optimizer": falling}
    return {"actor": ActorConfig(**shared), "critic": CriticConfig(**shared, target_network=Polyak(tau))}


def test_gaussian_bandit_finds_the_gaussian_of_its_temperature() -> None:
    # max_π E[r] + αH is exp(r/α) normalised: r = −(a − c)²/2s² gives N(c, αs²).
    centre, width, alpha = 0.5, 0.8, 0.25  # σ* = √0.25 · 0.8 = 0.4
    unbounded = spaces.Box(-np.inf, np.inf, (1,), np.float32)

    def make() -> OneState:
        return OneState(unbounded, lambda a: -((float(a[0]) - centre) ** 2) / (2 * width**2))

    learner = fit(
        data_of(make, 1400, 0.0, batch_size=128), temperature=Fixed(alpha), seed=1, **networks(32, 32)
    )
    mean, log_std = learner.sac.head.mean_and_log_std(learner.sac.actor(ONE))
    assert mean.item() == pytest.approx(centre, rel=0.05)
    assert log_std.exp().item() == pytest.approx(math.sqrt(alpha) * width, rel=0.05)


def test_discrete_bandit_finds_the_softmax_of_its_rewards() -> None:
    rewards, alpha = [1.0, 0.5, 0.0, -1.0], 0.5

    def make() -> OneState:
        return OneState(spaces.Discrete(4), lambda a: rewards[int(a)])

    learner = fit(data_of(make, 700, 0.0, batch_size=64), temperature=Fixed(alpha), seed=1, **networks(32))
    weights = np.exp(np.array(rewards) / alpha)  # e², e¹, e⁰, e⁻²
    found = torch.softmax(learner.sac.actor(ONE), -1)[0].detach().numpy()
    assert 0.5 * np.abs(found - weights / weights.sum()).sum() < 0.03


def test_truncation_keeps_the_value_of_going_on() -> None:
    # r = 1 for ever, cut by a clock every 5 steps: Q = 1/(1 − 0.9) = 10.
    # Were the cut an end, the five steps' mean would be Σ_{k=1..5} (1 − 0.9^k)/(1 − 0.9) / 5 = 2.63.
    def make() -> OneState:
        return OneState(spaces.Box(-1, 1, (1,), np.float32), lambda a: 1.0, length=5, truncates=True)

    learner = fit(
        data_of(make, 900, 0.9, batch_size=32),
        temperature=Fixed(1e-4),
        seed=1,
        **networks(32, tau=0.1),
    )
    q = q_of(learner, ONE.expand(9, -1), torch.linspace(-0.8, 0.8, 9)[:, None])
    assert torch.allclose(q, torch.tensor(10.0), rtol=0.04)


def test_termination_cuts_the_value() -> None:
    # One step and a real end: Q = r = 1, whatever γ is.
    def make() -> OneState:
        return OneState(spaces.Discrete(2), lambda a: 1.0, length=1, truncates=False)

    learner = fit(
        data_of(make, 500, 0.9, batch_size=32),
        temperature=Fixed(1e-4),
        seed=1,
        **networks(32, tau=0.1),
    )
    q = q_of(learner, ONE.expand(2, -1), torch.tensor([0, 1]))
    assert torch.allclose(q, torch.tensor(1.0), rtol=0.02)


def soft_value_iteration(
    chain: Chain, gamma: float, alpha: float
) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """Q* and π* of the MDP: V = α log Σ exp(Q/α), Q = r + γ V(s'), to the fixed point."""
    after, rewards = np.array(chain.next_state), np.array(chain.rewards)
    value = np.zeros(len(rewards))
    for _ in range(500):
        q = rewards + gamma * np.where(after < 0, 0.0, value[np.maximum(after, 0)])
        value = alpha * np.log(np.exp(q / alpha).sum(1))
    return q, np.exp((q - value[:, None]) / alpha)


def test_a_small_mdp_is_solved_as_soft_value_iteration_solves_it() -> None:
    gamma, alpha = 0.8, 0.3
    # Four states, two actions, one end; cut after ten steps, which must not matter.
    after = [[0, 1], [2, 0], [3, 1], [3, -1]]
    rewards = [[0.0, -0.2], [0.3, 0.1], [0.5, 0.0], [-0.1, 1.0]]

    def make() -> Chain:
        return Chain(after, rewards, limit=10)

    best_q, best_policy = soft_value_iteration(make(), gamma, alpha)
    learner = fit(
        data_of(make, 1200, gamma, batch_size=64),
        temperature=Fixed(alpha),
        seed=1,
        **networks(32, tau=0.03),
    )
    states = torch.eye(4)
    q = torch.stack(
        [q_of(learner, states, torch.full((4,), action)) for action in (0, 1)], dim=-1
    )  # [N, 4, 2]
    np.testing.assert_allclose(q.detach().numpy(), np.broadcast_to(best_q, (2, 4, 2)), atol=0.05)
    found = torch.softmax(learner.sac.actor(states), -1).detach().numpy()
    assert (0.5 * np.abs(found - best_policy).sum(1)).max() < 0.03


def test_each_of_several_choices_finds_the_softmax_of_its_rewards() -> None:
    # r = r₁(a) + r₂(b) needs no dependence: π = softmax(r₁/α) · softmax(r₂/α).
    rewards, alpha = ([1.0, 0.0], [0.5, 0.0, -0.5]), 0.5

    def make() -> OneState:
        return OneState(spaces.MultiDiscrete([2, 3]), lambda a: rewards[0][a[0]] + rewards[1][a[1]])

    learner = fit(data_of(make, 900, 0.0, batch_size=64), temperature=Fixed(alpha), seed=1, **networks(32))
    assert isinstance(learner.sac.head, MultiCategorical)
    for logits, each in zip(learner.sac.actor(ONE)[0].split([2, 3]), rewards, strict=True):
        weights = np.exp(np.array(each) / alpha)
        found = torch.softmax(logits, -1).detach().numpy()
        assert 0.5 * np.abs(found - weights / weights.sum()).sum() < 0.03


def test_choices_that_are_too_many_to_enumerate_find_the_softmax_of_their_rewards() -> None:
    # Nine switches, 512 joint choices: r = Σ r_d a_d gives π_d(1) = 1 / (1 + exp(−r_d/α)).
    rewards, alpha = np.linspace(-1.0, 1.0, 9), 0.5

    def make() -> OneState:
        return OneState(spaces.MultiBinary(9), lambda a: float(rewards @ a))

    learner = fit(data_of(make, 1400, 0.0, batch_size=64), temperature=Fixed(alpha), seed=1, **networks(64))
    assert isinstance(learner.sac.head, SampledMultiCategorical)
    found = torch.softmax(learner.sac.actor(ONE).view(9, 2), -1)[:, 1].detach().numpy()
    assert np.abs(found - 1 / (1 + np.exp(-rewards / alpha))).max() < 0.05


def test_a_choice_with_numbers_finds_the_numbers_of_each_choice() -> None:
    # r = b_k − (x − c_k)²/2s²: π(x|k) is N(c_k, αs²), and as all are equally wide π(k) is softmax(b/α).
    bonus, centres, width, alpha = [0.5, 0.0], [0.4, -0.3], 0.3, 0.2  # σ* = √0.2 · 0.3 = 0.134

    def make() -> OneState:
        space = spaces.Tuple((spaces.Discrete(2), spaces.Box(-1.0, 1.0, (1,))))
        return OneState(space, lambda a: bonus[a[0]] - (float(a[1][0]) - centres[a[0]]) ** 2 / (2 * width**2))

    learner = fit(
        data_of(make, 2000, 0.0, batch_size=128), temperature=Fixed(alpha), seed=1, **networks(64, 64)
    )
    features = learner.sac.actor(ONE)
    weights = np.exp(np.array(bonus) / alpha)
    found = torch.softmax(features[0, :2], -1).detach().numpy()
    assert np.abs(found - weights / weights.sum()).max() < 0.05
    numbers = learner.sac.head.continuous
    assert numbers.mode(features[:, 2:])[0].tolist() == pytest.approx(centres, abs=0.05)
    mean, log_std = (part[0].detach() for part in numbers.mean_and_log_std(features[:, 2:]))
    spread = log_std.exp() * (1 - torch.tanh(mean).square())  # of tanh(u), to first order
    assert spread.tolist() == pytest.approx([math.sqrt(alpha) * width] * 2, rel=0.15)
