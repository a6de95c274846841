"""Where an env is meant, a class, a function that makes one, or an env itself will do."""

import threading
from typing import Any

import gymnasium as gym
import pytest

from sac_lightning import ConfigError, EnvConfig, ReplayDataModule
from sac_lightning.envs import env_config
from tasks import Clock


class Held(Clock):
    """Holds what cannot be copied."""

    def __init__(self) -> None:
        super().__init__()
        self.lock = threading.Lock()


@pytest.mark.parametrize(
    ("given", "name"),
    [
        (Clock, "Clock"),
        (lambda: Clock(), "lambda"),
        (Clock(), "Clock"),
        (gym.make("Pendulum-v1"), "Pendulum-v1"),
        ("Pendulum-v1", "Pendulum-v1"),
        (EnvConfig(id="Pendulum-v1"), "Pendulum-v1"),
    ],
)
def test_a_data_module_takes_it(given: Any, name: str) -> None:
    data = ReplayDataModule(given, total_env_steps=2_000)
    assert data.env.id == name
    assert data.specs[0].shape == ((3,) if "Pendulum" in name else (2,))


def test_an_env_itself_is_copied_and_left_alone() -> None:
    env = Clock()
    config = env_config(env)
    first, second = config.build(), config.build()
    first.reset(seed=0)
    first.step(0)
    assert env.episode == -1
    assert first.unwrapped is not second.unwrapped is not env


@pytest.mark.parametrize(("given", "message"), [(Held(), "cannot be copied"), (5, "must be an EnvConfig")])
def test_what_cannot_be_used_is_explained(given: Any, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        env_config(given)
