"""What a temperature rule means for an action space: units, α per dimension, α of the backup."""

import math
from typing import Any

import pytest
import torch

from sac_lightning import ActorConfig, ConfigError, CriticConfig, ReplayDataModule, SACModule
from sac_lightning.algorithm import losses
from sac_lightning.entropy import (
    Anneal,
    Constant,
    Fixed,
    LearnedTemperature,
    NegDim,
    Schedule,
    TemperatureRule,
    Tes,
    entropy_setting,
)
from sac_lightning.heads import Categorical, TanhNormal
from sac_lightning.networks import Polyak
from sac_lightning.replay import ReplayBuffer
from sac_lightning.spaces import BoxAction, DiscreteAction
from tasks import Chain, Clock, env_config, fit

WIDE = BoxAction((-2.0, 0.0), (2.0, 1.0), (2,))  # scales 2 and ½
HEAD = TanhNormal(2)


def clocks(env_steps: int = 30, discrete: bool = False) -> ReplayDataModule:
    config = env_config(Clock, kwargs={"length": 4, "discrete": discrete})
    return ReplayDataModule(
        config, total_env_steps=env_steps, steps_per_epoch=10, learning_starts=10, batch_size=8
    )


def nets() -> dict[str, Any]:
    small: dict[str, Any] = {"hidden_sizes": (8,), "lr": 3e-3}
    return {"actor": ActorConfig(**small), "critic": CriticConfig(**small), "log_every_n_env_steps": 10}


def test_the_env_s_units_add_the_logs_of_the_scales() -> None:
    assert WIDE.log_scale == pytest.approx(math.log(2.0) + math.log(0.5), abs=1e-12)
    assert BoxAction((-2.0,) * 2, (2.0,) * 2, (2,)).log_scale == pytest.approx(2 * math.log(2.0))
    assert BoxAction((-math.inf,), (math.inf,), (1,)).log_scale == 0.0
    assert DiscreteAction(5).log_scale == 0.0


def test_nats_that_a_person_gives_are_read_in_the_units_of_the_config() -> None:
    action = BoxAction((-3.0,) * 2, (3.0,) * 2, (2,))
    more = 2 * math.log(3.0)
    for rule in (Constant(0.7), Schedule(start=0.7, end=0.0), Tes(start=0.7)):
        setting = entropy_setting(LearnedTemperature(target_entropy=rule, units="env"), HEAD, action)
        assert setting.target == pytest.approx(0.7 - more) and setting.offset == pytest.approx(more)
    # a formula speaks of the unit box, whatever the log shows
    assert (
        entropy_setting(LearnedTemperature(target_entropy=NegDim(), units="env"), HEAD, action).target == -2.0
    )
    with pytest.raises(ConfigError) as caught:  # 2·log 2 + 2·log 3 = 3.584 is the env's largest
        entropy_setting(LearnedTemperature(target_entropy=Constant(3.6), units="env"), HEAD, action)
    assert str(caught.value).startswith("target_entropy=3.6: ") and "3.584]" in str(caught.value)


def test_a_box_without_width_has_no_units_of_its_own() -> None:
    flat = BoxAction((0.0,), (0.0,), (1,))
    with pytest.raises(ConfigError, match=r"alpha\.units=env: needs a width above 0"):
        entropy_setting(LearnedTemperature(units="env"), TanhNormal(1), flat)


@pytest.mark.parametrize(
    "rule", [Constant(-0.5), Schedule(start=0.3, end=-1.0, steps=30, shape="exponential")]
)
def test_alpha_does_not_depend_on_the_units(rule: Any) -> None:
    more = math.log(2.0)  # the clock's actions are ±2
    unit = fit(clocks(), temperature=LearnedTemperature(lr=0.01, target_entropy=rule), **nets())
    in_env = LearnedTemperature(lr=0.01, target_entropy=rule.shifted(more), units="env")
    env = fit(clocks(), temperature=in_env, **nets())
    assert env.sac.log_alpha.item() == pytest.approx(unit.sac.log_alpha.item(), abs=1e-6)
    assert unit.sac.log_alpha.item() != 0.0
    for key in ("train/entropy", "train/target_entropy", "diagnostics/entropy_squashed"):
        assert env.latest[key] == pytest.approx(unit.latest[key] + more, abs=1e-4), key
    assert env.latest["train/alpha"] == pytest.approx(unit.latest["train/alpha"], abs=1e-6)


def test_one_alpha_for_each_dimension_weighs_its_own_density() -> None:
    head, alpha = TanhNormal(2), torch.tensor([0.5, 2.0])
    features, noise = torch.randn(6, 4), torch.randn(6, 2)
    actions = head.weighted_actions(features, noise)
    dims = [TanhNormal(1).weighted_actions(features[:, [d, 2 + d]], noise[:, [d]]).log_prob for d in (0, 1)]
    torch.testing.assert_close(losses.weighted_log_prob(actions, alpha), 0.5 * dims[0] + 2.0 * dims[1])
    torch.testing.assert_close(actions.log_prob, dims[0] + dims[1])
    # equal temperatures are one temperature
    q = torch.randn(1, 6)
    same = losses.soft_value(q, actions, torch.tensor([0.3, 0.3]))
    torch.testing.assert_close(same, losses.soft_value(q, actions, torch.tensor(0.3)))
    entropies = losses.entropy(actions, alpha)
    torch.testing.assert_close(entropies, torch.stack([-dims[0].mean(), -dims[1].mean()]))


def test_each_dimension_s_alpha_rises_where_its_own_entropy_is_too_low() -> None:
    log_alpha = torch.zeros(2, requires_grad=True)
    entropies, share = torch.tensor([-2.0, 0.5]), torch.tensor(-1.0)  # H̄ = −2 for two dimensions
    loss = losses.alpha_loss(log_alpha, entropies, share)
    (gradient,) = torch.autograd.grad(loss, [log_alpha])
    assert gradient.tolist() == [-1.0, 1.5]  # H_d − H̄/A: descent raises the first, lowers the second


def test_a_vector_alpha_is_learned_saved_and_told_by_its_mean(tmp_path: Any) -> None:
    learner = fit(clocks(), temperature=LearnedTemperature(lr=0.01, per_dim=True), **nets())
    assert learner.sac.log_alpha.shape == (1,) and learner.sac.log_alpha.item() != 0.0
    assert learner.latest["train/alpha"] > 0.0 and "diagnostics/alpha_0" in learner.latest
    both = SACModule(learner.obs_spec, WIDE, temperature=LearnedTemperature(per_dim=True, init=0.3))
    torch.testing.assert_close(both.sac.log_alpha.exp(), torch.tensor([0.3, 0.3]))
    again = SACModule(**both.hparams)
    again.load_state_dict(both.state_dict())
    assert again.sac.temperature == both.sac.temperature and torch.equal(
        again.sac.log_alpha, both.sac.log_alpha
    )


def test_choices_have_one_alpha() -> None:
    with pytest.raises(ConfigError) as caught:
        entropy_setting(LearnedTemperature(per_dim=True), Categorical(3), DiscreteAction(3))
    assert str(caught.value).startswith("alpha.per_dim=True: needs independent action dimensions")


@pytest.mark.parametrize("make", [Fixed, Anneal, LearnedTemperature])
def test_the_backup_s_alpha_is_the_same_or_fixed_or_none(make: Any) -> None:
    alpha = torch.tensor([0.4, 0.6])
    assert make().critic_alpha(alpha) is alpha
    assert make(critic="none").critic_alpha(alpha).tolist() == [0.0, 0.0]
    fixed = make(critic="fixed", critic_value=0.25).critic_alpha(alpha)
    assert fixed.tolist() == [0.25, 0.25]


def test_without_entropy_in_the_backup_the_critic_learns_the_plain_return() -> None:
    # State 0 pays 3 and leads to state 1, which pays 2 and ends: γ = 0.5 gives Q = 3 + 0.5·2 = 4 and 2.
    data = ReplayDataModule(
        env_config(Chain, kwargs={"next_state": [[1, 1], [-1, -1]], "rewards": [[3.0, 3.0], [2.0, 2.0]]}),
        total_env_steps=500,
        steps_per_epoch=500,
        learning_starts=100,
        batch_size=32,
        replay=ReplayBuffer(gamma=0.5),
    )
    options: dict[str, Any] = {"hidden_sizes": (16,), "lr": 1e-2}
    critic = CriticConfig(**options, target_network=Polyak(0.1))
    plain = fit(data, temperature=Fixed(5.0, critic="none"), actor=ActorConfig(**options), critic=critic)
    q = plain.sac.value_head.mean(plain.sac.critic.features(torch.eye(2), torch.tensor([0, 1])))
    # With the bonus Q(0) would be 4 + 0.5·5·log 2 = 5.7.
    torch.testing.assert_close(q, torch.tensor([[4.0, 2.0]] * 2), atol=0.2, rtol=0.0)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (
            lambda: LearnedTemperature(critic="fixed"),
            "alpha.critic_value=None: must be a number in [0, 1e9] for alpha.critic=fixed",
        ),
        (lambda: LearnedTemperature(critic="fixed", critic_value=-1.0), "alpha.critic_value=-1.0"),
        (lambda: Anneal(critic_value=0.1), "alpha.critic_value=0.1: is for alpha.critic=fixed"),
    ],
)
def test_bad_options_are_refused_by_name(make, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        make()
    assert str(caught.value).startswith(message)


@pytest.mark.parametrize(
    "rule",
    [Schedule(start=0.9, end=0.2, steps=40), Tes(start=0.9, patience=7, mean_within=9.0, deviation=9.0)],
)
def test_a_moving_target_is_in_the_module_s_state(rule: Any) -> None:
    temperature: TemperatureRule = LearnedTemperature(lr=0.01, target_entropy=rule)
    learner = fit(clocks(discrete=True), temperature=temperature, **nets())
    if isinstance(rule, Schedule):
        assert learner.sac.target_entropy.item() == pytest.approx(0.9 - 0.7 * 30 / 40)
        # rows are means over env steps 21 … 30
        assert learner.latest["train/target_entropy"] == pytest.approx(0.9 - 0.7 * 25.5 / 40)
    else:
        assert learner.sac.target_entropy.item() == pytest.approx(
            0.9 * 0.9**2
        )  # after updates 7 and 14 of 20
        assert learner.sac.target_memory[2].item() == 6.0
    again = SACModule(**learner.hparams)
    again.load_state_dict(learner.state_dict())
    assert again.sac.temperature == temperature
    assert torch.equal(again.sac.target_entropy, learner.sac.target_entropy)
    assert torch.equal(again.sac.target_memory, learner.sac.target_memory)
