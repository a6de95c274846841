"""Every rule for α, by hand."""

import math

import pytest
import torch

from sac_lightning import ConfigError
from sac_lightning.entropy import Anneal, Fixed, LearnedTemperature, TemperatureRule
from sac_lightning.optim import Adam

LOG_ALPHA = torch.tensor(math.log(0.7))


def after(env_steps: int) -> torch.Tensor:
    return torch.tensor(env_steps)


def test_fixed_is_its_value_whatever_log_alpha_says() -> None:
    for steps in (0, 10_000):
        assert Fixed(0.2).alpha(LOG_ALPHA, after(steps)).item() == pytest.approx(0.2)
    assert Fixed(0.0).alpha(LOG_ALPHA, after(0)).item() == 0.0
    assert not Fixed.learned and Fixed(0.2).initial == 0.2


@pytest.mark.parametrize(
    ("shape", "env_steps", "alpha"),
    [
        ("exponential", 0, 1.0),
        ("exponential", 500, 0.1),  # 1·(0.01/1)^½
        ("exponential", 1000, 0.01),
        ("exponential", 9999, 0.01),
        ("linear", 0, 1.0),
        ("linear", 250, 0.7525),  # 1 + (0.01 − 1)·¼
        ("linear", 500, 0.505),
        ("linear", 1000, 0.01),
        ("linear", 9999, 0.01),
        ("cosine", 0, 1.0),
        ("cosine", 250, 0.8550179),  # 0.01 + 0.99·½(1 + cos ¼π) = 0.01 + 0.99·0.8535534
        ("cosine", 500, 0.505),  # 0.01 + 0.99·½
        ("cosine", 1000, 0.01),
        ("cosine", 9999, 0.01),
    ],
)
def test_anneal_by_hand(shape: str, env_steps: int, alpha: float) -> None:
    rule = Anneal(start=1.0, end=0.01, steps=1000, shape=shape)
    assert rule.alpha(LOG_ALPHA, after(env_steps)).item() == pytest.approx(alpha, rel=1e-5)


def test_linear_annealing_can_rise_and_reach_zero() -> None:
    rising = Anneal(start=0.0, end=0.4, steps=10, shape="linear")
    assert rising.alpha(LOG_ALPHA, after(5)).item() == pytest.approx(0.2)
    falling = Anneal(start=0.4, end=0.0, steps=10, shape="linear")
    assert falling.alpha(LOG_ALPHA, after(10)).item() == 0.0


def test_auto_is_the_exponential_of_log_alpha_and_detached() -> None:
    log_alpha = torch.tensor(math.log(0.7), requires_grad=True)
    alpha = LearnedTemperature().alpha(log_alpha, after(5))
    assert alpha.item() == pytest.approx(0.7) and not alpha.requires_grad
    assert LearnedTemperature.learned and LearnedTemperature(init=0.3).initial == 0.3


@pytest.mark.parametrize(
    ("log_alpha", "projected"),
    [
        (math.log(0.05), math.log(0.1)),
        (math.log(0.5), math.log(0.5)),
        (math.log(9.0), math.log(2.0)),
    ],
)
def test_projection_moves_alpha_to_the_nearest_limit(log_alpha: float, projected: float) -> None:
    value = torch.tensor(log_alpha)
    LearnedTemperature(init=1.0, min=0.1, max=2.0).project_(value)
    assert value.item() == pytest.approx(projected)


def test_without_limits_nothing_is_projected() -> None:
    for extreme in (-80.0, 80.0):
        value = torch.tensor(extreme)
        LearnedTemperature().project_(value)
        assert value.item() == extreme


def test_one_limit_leaves_the_other_side_open() -> None:
    low, high = torch.tensor(-50.0), torch.tensor(50.0)
    LearnedTemperature(max=2.0).project_(low)
    LearnedTemperature(min=0.5).project_(high)
    assert (low.item(), high.item()) == (-50.0, 50.0)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Fixed(-0.1), "alpha.value=-0.1"),
        (lambda: Fixed(math.nan), "alpha.value=nan"),
        (lambda: Anneal(shape="square"), "alpha.shape=square"),
        (lambda: Anneal(end=0.0), "alpha.end=0.0"),  # no exponential reaches 0
        (lambda: Anneal(start=-1.0, shape="linear"), "alpha.start=-1.0"),
        (lambda: Anneal(steps=0), "alpha.steps=0"),
        (lambda: LearnedTemperature(init=0.0), "alpha.init=0.0"),
        (lambda: LearnedTemperature(min=-0.1), "alpha.min=-0.1"),
        (lambda: LearnedTemperature(min=0.5, max=0.4), "alpha.max=0.4"),
        (lambda: LearnedTemperature(init=1.0, max=0.5), "alpha.init=1.0"),
        (lambda: LearnedTemperature(init=0.1, min=0.5), "alpha.init=0.1"),
        (lambda: LearnedTemperature(lr=0.0), "alpha.lr=0.0"),
        (lambda: LearnedTemperature(optimizer=Adam(lr_schedule="steps")), "optimizer.lr_schedule=steps"),
        (lambda: LearnedTemperature(optimizer=Adam(max_grad_norm=0.0)), "optimizer.max_grad_norm=0.0"),
    ],
)
def test_bad_parameters_are_refused_by_name(make, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        make()
    assert str(caught.value).startswith(message)


def test_rules_are_values() -> None:
    rules: list[TemperatureRule] = [Fixed(0.1), Anneal(), LearnedTemperature()]
    for rule in rules:
        assert rule == type(rule)(**vars(rule)) and hash(rule) == hash(type(rule)(**vars(rule)))
