"""Wrappers with running statistics are refused, wherever they are and whoever wrote them."""

from functools import partial
from types import SimpleNamespace
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.envs.registration import WrapperSpec
from gymnasium.wrappers import NormalizeObservation, NormalizeReward
from gymnasium.wrappers.utils import RunningMeanStd
from tests.tasks import Clock, env_config

from sac_lightning import ReplayDataModule
from sac_lightning.core.errors import ConfigError
from sac_lightning.envs import EnvConfig

PREFIX = __name__.partition(".")[0]


class Subclass(NormalizeReward):
    """A user's own variant."""


class Welford:
    """A running mean after Welford."""

    def __init__(self) -> None:
        self.n, self._mean, self._M2 = 0, 0.0, 0.0


class HoldsThem(gym.Wrapper[Any, Any, Any, Any]):
    """Statistics in an object."""

    def __init__(self, env: gym.Env[Any, Any], how: str = "object") -> None:
        super().__init__(env)
        if how == "object":
            self.obs_rms = RunningMeanStd(shape=(2,))
        elif how == "by key":
            self.statistics = {"pixels": SimpleNamespace(mean=0.0, var=1.0, count=1e-4)}
        elif how == "welford":
            self.scaler = Welford()
        else:
            self.mean, self.std, self.count = 0.0, 1.0, 0


class FixedNumbers(gym.ObservationWrapper[Any, Any, Any]):
    """Scales by constants: the same in every env."""

    def __init__(self, env: gym.Env[Any, Any]) -> None:
        super().__init__(env)
        self.mean, self.std = np.float32(1.0), np.float32(2.0)

    def observation(self, observation: Any) -> Any:
        return (observation - self.mean) / self.std


def refused(config: EnvConfig, key: str) -> str:
    with pytest.raises(ConfigError) as caught:
        config.build()
    assert caught.value.key == key
    message = str(caught.value)
    assert "keeps running statistics" in message and "evaluation would have statistics of its own" in message
    assert "leave it out and set normalization/obs=running or normalization/reward=return_variance" in message
    assert "\n" not in message
    return message


@pytest.mark.parametrize(
    "name",
    [
        "NormalizeObservation",
        "NormalizeReward",
        "gymnasium.wrappers.NormalizeReward",
        "gymnasium.wrappers.stateful_observation.NormalizeObservation",
        "gymnasium.wrappers.vector.NormalizeObservation",
        "gymnasium.wrappers.vector.NormalizeReward",
        f"{__name__}.Subclass",
    ],
)
def test_a_normalising_class_is_refused_before_an_env_is_made(name: str) -> None:
    config = EnvConfig(id="Pendulum-v1", wrappers=[{"name": name}], allowed_prefixes=[PREFIX])
    with pytest.raises(ConfigError, match="keeps running statistics"):
        config.check()
    with pytest.raises(ConfigError, match=r"env\.wrappers=.*set normalization/obs=running"):
        ReplayDataModule(config)
    refused(config, "env.wrappers")


@pytest.mark.parametrize("how", ["object", "by key", "welford", "itself"])
def test_one_s_own_wrapper_with_statistics_is_refused(how: str) -> None:
    wrapper = {"name": f"{__name__}.HoldsThem", "how": how}
    refused(env_config(Clock, wrappers=[wrapper], allowed_prefixes=[PREFIX]), "env.wrappers")


@pytest.mark.parametrize("wrapper", [NormalizeObservation, Subclass, partial(HoldsThem, how="welford")])
def test_so_is_one_inside_a_factory(wrapper: Any) -> None:
    message = refused(env_config(lambda: gym.wrappers.ClipReward(wrapper(Clock()), 0.0, 1.0)), "env.id")
    assert getattr(wrapper, "func", wrapper).__name__ in message


def test_so_is_one_that_an_id_is_registered_with() -> None:
    spec = WrapperSpec("norm", "gymnasium.wrappers:NormalizeObservation", {"epsilon": 1e-8})
    gym.register("Normalized-v0", Clock, additional_wrappers=(spec,))
    try:
        assert "NormalizeObservation" in refused(EnvConfig(id="Normalized-v0"), "env.id")
    finally:
        del gym.registry["Normalized-v0"]


def test_fixed_numbers_are_not_refused() -> None:
    wrapper = {"name": f"{__name__}.FixedNumbers"}
    env = env_config(Clock, wrappers=[wrapper], allowed_prefixes=[PREFIX]).build()
    assert env.reset()[0].tolist() == [-0.5, -0.5]
