"""Which head fits which action space."""

import math

import pytest

from sac_lightning import ConfigError
from sac_lightning.heads import (
    ActionHead,
    Categorical,
    Hybrid,
    MultiCategorical,
    Normal,
    SampledMultiCategorical,
    TanhNormal,
    head_for,
)
from sac_lightning.spaces import (
    ActionSpec,
    BoxAction,
    DiscreteAction,
    HybridAction,
    MultiDiscreteAction,
)

BOUNDED = BoxAction((-2.0, 0.0), (2.0, 1.0), (2,))
UNBOUNDED = BoxAction((-math.inf, -math.inf), (math.inf, math.inf), (2,))
HALF_BOUNDED = BoxAction((0.0, -1.0), (math.inf, 1.0), (2,))
CHOICE = DiscreteAction(4)


@pytest.mark.parametrize(
    ("action", "head"),
    [
        (BOUNDED, TanhNormal(2)),
        (UNBOUNDED, Normal(2)),
        (HALF_BOUNDED, Normal(2)),
        (CHOICE, Categorical(4)),
        (MultiDiscreteAction((4, 64), (0, 0), (2,)), MultiCategorical((4, 64))),
        (MultiDiscreteAction((4, 65), (0, 0), (2,)), SampledMultiCategorical((4, 65))),
        (HybridAction(3, BOUNDED), Hybrid(3, 2)),
    ],
)
def test_the_head_follows_from_the_action_space(action: ActionSpec, head: ActionHead) -> None:
    assert head_for(action) == head


@pytest.mark.parametrize(
    ("head", "action", "message"),
    [
        (TanhNormal, UNBOUNDED, "head=tanh_normal: is for bounded Box actions; the env has a Box of 2 (unb"),
        (TanhNormal, CHOICE, "head=tanh_normal: is for bounded Box actions; the env has Discrete(4)"),
        (Normal, BOUNDED, "head=normal: is for unbounded Box actions; the env has a Box of 2 (bounded)"),
        (
            MultiCategorical,
            CHOICE,
            "head=multi_categorical: is for MultiDiscrete and MultiBinary actions of at most 256 joint",
        ),
        (Hybrid, BOUNDED, "head=hybrid: is for Tuple or Dict actions of one Discrete and bounded Boxes"),
        (Categorical, BOUNDED, "head=categorical: is for Discrete actions; the env has a Box of 2 (bounded)"),
    ],
)
def test_a_head_that_does_not_fit_is_refused_by_name(
    head: type[ActionHead], action: ActionSpec, message: str
) -> None:
    assert not head.supports(action)
    with pytest.raises(ConfigError) as caught:
        head.for_action(action)
    assert str(caught.value).startswith(message)
    assert caught.value.key == "head"


def test_options_reach_the_head() -> None:
    assert TanhNormal.for_action(BOUNDED, log_std_min=-3.0) == TanhNormal(2, log_std_min=-3.0)


def test_an_action_space_without_a_head_is_refused() -> None:
    with pytest.raises(ConfigError, match="no head fits"):
        head_for(ActionSpec())
