"""What a checkpoint holds: plain data, the counters, and a policy that acts without an env."""

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from sac_lightning import ActorConfig, CriticConfig, ReplayDataModule, SACModule
from sac_lightning.entropy import Constant, LearnedTemperature
from sac_lightning.networks import Mlp
from tasks import Clock, env_config, trainer_for

both_spaces = pytest.mark.parametrize("discrete", [True, False])


def trained(path: Path, discrete: bool) -> SACModule:
    """A module of a short run, saved at `path`."""
    config = env_config(Clock, kwargs={"length": 4, "discrete": discrete})
    data = ReplayDataModule(
        config, total_env_steps=20, steps_per_epoch=10, learning_starts=5, batch_size=8, utd_ratio=2
    )
    learner = SACModule(
        *data.specs,
        temperature=LearnedTemperature(init=0.3, target_entropy=Constant(0.5)),
        actor=ActorConfig(hidden_sizes=(8,), torso=Mlp("tanh")),
        critic=CriticConfig(hidden_sizes=(6,), num_critics=3),
        seed=4,
    )
    trainer = trainer_for(data)
    trainer.fit(learner, data)
    trainer.save_checkpoint(path)
    return learner


@both_spaces
def test_a_checkpoint_is_data_only_and_holds_the_counters(tmp_path: Path, discrete: bool) -> None:
    learner = trained(tmp_path / "a.ckpt", discrete)
    content = torch.load(tmp_path / "a.ckpt", weights_only=True)
    assert int(content["state_dict"]["sac.env_steps"]) == 20
    assert int(content["state_dict"]["sac.grad_steps"]) == content["global_step"] == 30  # (20 − 5)·2
    assert torch.equal(content["state_dict"]["sac.log_alpha"], learner.sac.log_alpha)
    assert len(content["optimizer_states"]) == 3  # log_alpha's Adam state too


@both_spaces
def test_a_loaded_module_acts_as_the_saved_one_without_an_env(tmp_path: Path, discrete: bool) -> None:
    learner = trained(tmp_path / "a.ckpt", discrete)
    loaded = SACModule.load_from_checkpoint(tmp_path / "a.ckpt")
    obs = np.random.default_rng(0).normal(size=(7, 2)).astype(np.float32)
    actions = loaded.act(obs, deterministic=True)
    np.testing.assert_array_equal(actions, learner.act(obs, deterministic=True))
    single = loaded.act(obs[2], deterministic=True)
    if discrete:
        assert actions.shape == (7,) and single.shape == () and single == actions[2]
        assert set(np.unique(actions)) <= {0, 1, 2}
    else:
        assert actions.shape == (7, 1) and single.shape == (1,)
        np.testing.assert_allclose(single, actions[2], rtol=1e-5)
        assert (np.abs(actions) <= 2.0).all()  # the env's bounds, not the unit box's


@both_spaces
def test_a_loaded_module_has_every_setting(tmp_path: Path, discrete: bool) -> None:
    learner = trained(tmp_path / "a.ckpt", discrete)
    loaded = SACModule.load_from_checkpoint(str(tmp_path / "a.ckpt"))
    for name in ("obs_spec", "action_spec", "actor_config", "critic_config"):
        assert getattr(loaded, name) == getattr(learner, name)
    for name in ("head", "temperature"):
        assert getattr(loaded.sac, name) == getattr(learner.sac, name)
    assert not loaded.training
    for name, value in learner.state_dict().items():
        assert torch.equal(loaded.state_dict()[name], value), name


def test_sampled_actions_follow_a_generator_of_one_s_own(tmp_path: Path) -> None:
    trained(tmp_path / "a.ckpt", discrete=False)
    loaded = SACModule.load_from_checkpoint(tmp_path / "a.ckpt")
    obs = np.zeros((50, 2), np.float32)

    def draw(seed: int) -> Any:
        return loaded.act(obs, generator=torch.Generator().manual_seed(seed))

    np.testing.assert_array_equal(draw(1), draw(1))
    assert len(np.unique(draw(1))) == 50 and not np.array_equal(draw(1), draw(2))


def test_an_obs_of_another_shape_is_refused(tmp_path: Path) -> None:
    trained(tmp_path / "a.ckpt", discrete=True)
    loaded = SACModule.load_from_checkpoint(tmp_path / "a.ckpt")
    with pytest.raises(ValueError, match=r"obs has shape \(3,\); expected \(2,\)"):
        loaded.act(np.zeros(3))


def test_one_s_own_temperature_survives_without_limits(tmp_path: Path) -> None:
    trained(tmp_path / "a.ckpt", discrete=True)
    content = torch.load(tmp_path / "a.ckpt", weights_only=True)
    rule = content["hyper_parameters"]["temperature"]
    assert rule["kind"] == "LearnedTemperature" and rule["max"] is None
    assert rule["target_entropy"] == {"kind": "Constant", "nats": 0.5}
    assert not math.isnan(float(content["state_dict"]["sac.target_entropy"]))
