"""Objects as plain data: what a checkpoint describes comes back, and nothing in it is a program."""

import json
import sys
from dataclasses import dataclass

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sac_lightning import ActorConfig, ConfigError, CriticConfig
from sac_lightning.core.spec import Described, from_spec
from sac_lightning.entropy import (
    Anneal,
    Constant,
    EpsPeaked,
    Fixed,
    HeadDefault,
    LearnedTemperature,
    MaxEntropy,
    MaxRatio,
    NegDim,
    NegHalfDim,
    Sigma,
    TargetEntropyRule,
    TemperatureRule,
    Zero,
)
from sac_lightning.heads import ActionHead, Categorical, Normal, TanhNormal
from sac_lightning.networks import (
    BatchNorm,
    CategoricalValue,
    Cnn,
    Flat,
    LayerNorm,
    Mean,
    Min,
    Mlp,
    Multi,
    NoTargetNetwork,
    Polyak,
    ScalarValue,
)
from sac_lightning.optim import Adam, AdamW
from sac_lightning.spaces import ActionSpec, BoxAction, DiscreteAction, ObsSpec

# beartype picks which element of a tuple to check with `random`.
pytestmark = pytest.mark.filterwarnings("ignore:Do not use the `random` module")

unit = st.floats(0.01, 1.0)
rate = st.floats(1e-6, 0.5)
targets = st.one_of(
    st.sampled_from([NegDim(), NegHalfDim(), Zero(), MaxEntropy(), HeadDefault()]),
    st.builds(Sigma, unit),
    st.builds(MaxRatio, unit),
    st.builds(EpsPeaked, unit),
    st.builds(Constant, st.floats(-50, 50)),
)
clipped = st.none() | unit
schedules = st.sampled_from([None, "linear", "cosine"])
optimizers = st.builds(Adam, max_grad_norm=clipped, lr_schedule=schedules) | st.builds(
    AdamW, weight_decay=st.floats(0, 0.5), max_grad_norm=clipped
)
temperatures = st.one_of(
    st.builds(Fixed, st.floats(0, 10)),
    st.builds(
        Anneal,
        start=unit,
        end=unit,
        steps=st.integers(1, 10**7),
        shape=st.sampled_from(["exponential", "linear", "cosine"]),
    ),
    st.builds(
        LearnedTemperature,
        lr=rate,
        init=st.floats(0.5, 1.0),
        min=st.floats(0, 0.5),
        max=st.none() | st.floats(1.0, 5.0),
        loss_form=st.sampled_from(["log_alpha", "alpha"]),
        target_entropy=targets,
        optimizer=optimizers,
    ),
)
hidden = st.lists(st.integers(1, 512), min_size=1, max_size=3).map(tuple)
torsos = st.builds(Mlp, st.sampled_from(["relu", "tanh"])) | st.builds(LayerNorm) | st.builds(BatchNorm)
configs = st.builds(
    ActorConfig, lr=rate, hidden_sizes=hidden, torso=torsos, optimizer=optimizers
) | st.builds(
    CriticConfig,
    lr=rate,
    hidden_sizes=hidden,
    num_critics=st.integers(2, 9),
    torso=torsos,
    encoder=st.builds(Flat) | st.builds(Multi, st.fixed_dictionaries({"camera": st.builds(Cnn)})),
    value_head=st.builds(ScalarValue) | st.builds(CategoricalValue),
    pessimism=st.builds(Min) | st.builds(Mean),
    target_network=st.builds(Polyak, unit),
    optimizer=optimizers,
)
# Batch statistics stand in for the targets, so these need them.
configs |= st.builds(CriticConfig, torso=st.builds(BatchNorm), target_network=st.builds(NoTargetNetwork))
heads = st.builds(Categorical, st.integers(2, 99)) | st.builds(TanhNormal, st.integers(1, 9))
bounds = st.lists(st.floats(-9, 9), min_size=1, max_size=4).map(tuple)
actions = st.builds(DiscreteAction, st.integers(2, 99), st.integers(-5, 5)) | bounds.map(
    lambda low: BoxAction(low, tuple(x + 1 for x in low), (len(low),))
)


@settings(deadline=None)
@given(st.one_of(targets, temperatures, configs, heads, actions))
def test_every_described_object_survives_the_way_through_plain_data(described: Described) -> None:
    plain = json.loads(json.dumps(described.to_spec()))
    assert from_spec(Described, plain) == described


def test_obs_and_unbounded_actions_come_back() -> None:
    for described in (
        ObsSpec((3, 4), "uint8"),
        BoxAction((float("-inf"),), (float("inf"),), (1,)),
        Normal(2, log_std_min=-1.0),
    ):
        assert from_spec(type(described), described.to_spec()) == described


def test_an_object_passes_through() -> None:
    rule = Fixed(0.5)
    assert from_spec(TemperatureRule, rule) is rule


@pytest.mark.parametrize("name", ["os.system", "http.cookiejar.CookieJar", "NoSuchRule", "dict"])
def test_an_unknown_kind_is_refused_and_nothing_is_imported(name: str) -> None:
    before = set(sys.modules)
    with pytest.raises(ConfigError, match="no such class is imported"):
        from_spec(TemperatureRule, {"kind": name, "value": 1.0})
    assert not {module for module in set(sys.modules) - before if "http.cookiejar" in module}


def test_a_kind_of_another_family_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"no such class is imported; known: .*TanhNormal"):
        from_spec(ActionHead, Fixed(0.5).to_spec())
    with pytest.raises(ConfigError, match=r"known: .*NegDim"):
        from_spec(TargetEntropyRule, {"kind": "Categorical", "n": 3})


def test_a_near_miss_is_told() -> None:
    with pytest.raises(ConfigError, match="Did you mean DiscreteAction"):
        from_spec(ActionSpec, {"kind": "DiscretAction", "n": 2})


def test_a_class_of_one_s_own_is_found_once_it_is_defined() -> None:
    @dataclass(frozen=True)
    class Half(TargetEntropyRule):
        share: float = 0.5

        def value(self, head: ActionHead) -> float:
            return self.share * head.entropy_interval.high

    rule = from_spec(TargetEntropyRule, {"kind": "Half", "share": 0.25})
    assert isinstance(rule, Half) and rule.share == 0.25
