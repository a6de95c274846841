"""Parts of an observation that only the critics see: the policy neither reads nor needs them."""

from contextlib import closing
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch
from gymnasium import spaces

from sac_lightning import ActorConfig, ConfigError, CriticConfig, EnvConfig, ReplayDataModule, SACModule
from sac_lightning.envs import action_spec, obs_spec
from sac_lightning.export import run_torch, torch_bytes
from sac_lightning.networks import BySpace, Flat, Multi, RunningObs
from sac_lightning.spaces import ObsPart
from tasks import trainer_for


class Secret(gym.Env[Any, Any]):
    """Shows two numbers, and a secret one whose key comes first in the alphabet."""

    def __init__(self) -> None:
        self.observation_space = spaces.Dict(
            {key: spaces.Box(-1, 1, (n,)) for key, n in (("a", 1), ("b", 2))}
        )
        self.action_space = spaces.Box(-1, 1, (1,))

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> Any:
        super().reset(seed=seed)
        return self._obs(), {}

    def step(self, action: Any) -> Any:
        return self._obs(), 0.0, bool(self.np_random.random() < 0.1), False, {}

    def _obs(self) -> Any:
        return {"a": np.ones(1, np.float32), "b": self.np_random.random(2, np.float32)}


def config(*keys: str, **options: Any) -> EnvConfig:
    return EnvConfig(id="secret", make=Secret, critic_only=keys, **options)


def test_they_come_last_in_a_row() -> None:
    env = config("a").build()
    spec = obs_spec(env.observation_space)
    assert spec.parts == (ObsPart("b", (2,), "float32"), ObsPart("a", (1,), "float32", critic_only=True))
    row = env.reset(seed=0)[0]
    assert row[2] == 1.0 and row[0] != 1.0
    assert spec.of_actor.parts == spec.parts[:1] and spec.of_actor.shape == (2,)


def test_the_policy_acts_without_them_and_the_critics_read_them() -> None:
    data = ReplayDataModule(
        config("a"), total_env_steps=40, steps_per_epoch=40, learning_starts=20, batch_size=8, eval_episodes=1
    )
    small: dict[str, Any] = {"hidden_sizes": (8,)}
    module = SACModule(
        *data.specs,
        actor=ActorConfig(**small),
        critic=CriticConfig(**small),
        obs_normalization=RunningObs(),
    )
    trainer_for(data).fit(module, data)
    rows = np.random.default_rng(0).normal(size=(5, 3)).astype(np.float32)
    actions = module.act(rows, deterministic=True)
    np.testing.assert_array_equal(module.act(rows[:, :2], deterministic=True), actions)
    np.testing.assert_allclose(run_torch(torch_bytes(module.policy, {}))(rows[:, :2]), actions, atol=1e-6)
    obs = torch.from_numpy(rows).requires_grad_()
    module.sac.critic.features(obs, torch.zeros(5, 1)).sum().backward()
    assert obs.grad is not None and bool((obs.grad[:, 2] != 0).any())


def test_the_critics_may_have_an_encoder_of_their_own_for_them() -> None:
    encoder = Multi({"a": Flat()})
    with closing(config("a").build()) as env:
        specs = obs_spec(env.observation_space), action_spec(env.action_space)
    SACModule(*specs, actor=ActorConfig(encoder=encoder), critic=CriticConfig(encoder=encoder))
    with pytest.raises(ConfigError, match=r"encoder\.encoders=c: must be one of b"):
        SACModule(*specs, actor=ActorConfig(encoder=Multi({"c": Flat()})))


@pytest.mark.parametrize(
    ("keys", "line"),
    [
        (("c",), r"env\.critic_only=c: must be keys of the observations that leave the actor one: a, b"),
        (("a", "b"), r"env\.critic_only=\['a', 'b'\]: must leave the actor a key"),
        ((1,), r"env\.critic_only=\[1\]: must be a list of keys"),
    ],
)
def test_other_keys_are_refused(keys: Any, line: str) -> None:
    with pytest.raises(ConfigError, match=line):
        config(*keys).build()
    with pytest.raises(ConfigError, match=r"env\.critic_only=x: must be keys .* Box"):
        EnvConfig(id="Pendulum-v1", critic_only=["x"]).build()


def test_an_encoder_cannot_be_shared_with_them() -> None:
    specs = ReplayDataModule(config("a")).specs
    shared: dict[str, Any] = {"encoder": BySpace(shared=True)}
    with pytest.raises(
        ConfigError, match=r"encoder\.shared=True: needs an actor that sees what the critics see"
    ):
        SACModule(*specs, actor=ActorConfig(**shared), critic=CriticConfig(**shared))
