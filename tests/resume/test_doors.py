"""A run with the second choice of each part leaves the same bits when it is stopped and continued."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from commands import Fit
from gymnasium import spaces
from runs import Run, StopAt, differences, saved_state

from sac_lightning import ActorConfig, CriticConfig, EnvConfig, ReplayDataModule, SACModule
from sac_lightning.networks import (
    BatchNorm,
    BatchRenorm,
    CategoricalValue,
    Cnn,
    Flash,
    HlGaussValue,
    JointPolyak,
    LayerNorm,
    Mean,
    Multi,
    NoTargetNetwork,
    QuantileValue,
    RandomSubset,
    ReturnVariance,
    RunningObs,
    Simba,
    SimbaV2,
    Truncated,
    Xqc,
)
from sac_lightning.optim import AdamW
from sac_lightning.replay import HerReplay, PrioritizedReplay, ReplayBuffer
from tasks import Clock


class Sensors(Clock):
    """The clock as a Dict of a tiny image, a choice, bits and numbers; it ends at a forbidden action."""

    def __init__(self) -> None:
        super().__init__(length=7, truncates=True, discrete=True)
        self.observation_space = spaces.Dict(
            {
                "image": spaces.Box(0, 255, (8, 8, 3), np.uint8),
                "hour": spaces.Discrete(8, start=1),
                "bits": spaces.MultiBinary(3),
                "numbers": spaces.Box(-np.inf, np.inf, (2,)),
                "achieved_goal": spaces.Box(0.0, 9.0, (1,)),
                "desired_goal": spaces.Box(0.0, 9.0, (1,)),
            }
        )

    def reset(self, **options: Any) -> Any:
        return super().reset(**options)[0], {"action_mask": self._mask()}

    def step(self, action: Any) -> Any:
        assert self._mask()[action], (self.count, action)
        *result, _ = super().step(action)
        return *result, {"action_mask": self._mask()}

    def _mask(self) -> Any:
        return np.array([self.count % 2, 1, self.count % 3 == 0], np.int8)

    def capture_state(self) -> dict[str, Any]:
        return {"episode": self.episode, "count": self.count}

    def restore_state(self, state: dict[str, Any]) -> None:
        self.episode, self.count = state["episode"], state["count"]

    def _obs(self) -> Any:
        return {
            "image": np.full((8, 8, 3), self.count * 20, np.uint8),
            "hour": 1 + self.count,
            "bits": np.array([self.count >> bit & 1 for bit in range(3)], np.int8),
            "numbers": super()._obs(),
            "achieved_goal": np.full(1, self.count, np.float32),
            "desired_goal": np.full(1, 5.0, np.float32),
        }

    def compute_reward(self, achieved_goal: Any, desired_goal: Any, info: Any) -> Any:
        return -np.abs(achieved_goal - desired_goal)[:, 0]


class Pictures(Sensors):
    """The image of the sensors alone."""

    def __init__(self) -> None:
        super().__init__()
        self.observation_space = spaces.Box(0, 255, (8, 8, 3), np.uint8)

    def _obs(self) -> Any:
        return super()._obs()["image"]

    def _mask(self) -> Any:
        return np.ones(3, np.int8)


CNN = Cnn(channels=(4, 4), kernels=(4, 3), strides=(2, 1), features=8)


def both(**same: Any) -> dict[str, Any]:
    """Options of actor and critics alike."""
    return {"actor": same, "critic": same}


@dataclass(frozen=True)
class Parts(Run):
    """A run with options of its parts."""

    actor: dict[str, Any] = field(default_factory=dict)
    critic: dict[str, Any] = field(default_factory=dict)
    module: dict[str, Any] = field(default_factory=dict)
    replay: Callable[[], ReplayBuffer] = partial(ReplayBuffer, 100)
    noise_hold_max: int = 1
    compile: bool = False

    def parts(self, directory: Path) -> tuple[SACModule, ReplayDataModule]:
        data = ReplayDataModule(
            EnvConfig(id=self.env, **self.env_options),
            **{key: getattr(self, key) for key in ("total_env_steps", "steps_per_epoch", "learning_starts")},
            num_envs=self.num_envs,
            noise_hold_max=self.noise_hold_max,
            replay=self.replay(),
            batch_size=16,
            iterations_per_batch=1,
            eval_episodes=1,
            seed=3,
            journal_dir=directory / "replay",
        )
        module = SACModule(
            *data.specs,
            actor=ActorConfig(hidden_sizes=(16,), **self.actor),
            critic=CriticConfig(hidden_sizes=(16,), **self.critic),
            **self.module,
            seed=3,
            compile=self.compile,
            log_every_n_env_steps=20,
        )
        return module, data


CASES: dict[str, dict[str, Any]] = {
    "layer_norm": {"actor": {"torso": LayerNorm()}, "critic": {"torso": LayerNorm(dropout=0.1)}},
    "batch_norm": both(torso=BatchNorm()),
    "categorical": {"critic": {"value_head": CategoricalValue(-100.0, 10.0)}},
    "mean": {"critic": {"pessimism": Mean()}},
    "no_target_network": {
        "actor": {"torso": BatchNorm()},
        "critic": {"torso": BatchNorm(), "target_network": NoTargetNetwork()},
    },
    "simba": both(torso=Simba()),
    "simba_v2": both(torso=SimbaV2()),
    "hl_gauss": {"critic": {"value_head": HlGaussValue(-100.0, 10.0)}},
    "flash": {
        "actor": {"torso": Flash()},
        "critic": {
            "torso": Flash(),
            "target_network": JointPolyak(),
            "value_head": CategoricalValue(-100.0, 10.0),
        },
    },
    "crossq": {
        "actor": {"torso": BatchRenorm(warm_up=5)},
        "critic": {"torso": BatchRenorm(warm_up=5), "target_network": NoTargetNetwork()},
        "module": {"actor_delay": 3},
    },
    "tqc": {"critic": {"num_critics": 3, "value_head": QuantileValue(5), "pessimism": Truncated(1)}},
    "redq": {
        "critic": {"num_critics": 3, "pessimism": RandomSubset(2)},
        "module": {"reset_every": 30},
    },
    "adamw": both(optimizer=AdamW(weight_decay=0.1, lr_schedule="cosine")),
    "normalization": {
        "module": {"obs_normalization": RunningObs(), "reward_normalization": ReturnVariance(g_max=5.0)},
        "num_envs": 2,
        "noise_hold_max": 16,
    },
    "cnn": {
        **both(encoder=replace(CNN, shared=True)),
        "module": {"random_shift": 2},
        "env": "Pictures",
        "env_options": {"make": Pictures},
    },
    "multi": {
        **both(encoder=Multi({"image": CNN}, shared=True)),
        "env": "Sensors",
        "env_options": {"make": Sensors, "action_mask": "info"},
        "num_envs": 2,
    },
    "prioritized": {"replay": partial(PrioritizedReplay, 100, beta_steps=100), "num_envs": 2},
    "q_clip": {
        "actor": {"entropy_penalty": 0.5},
        "critic": {"q_clip": 0.5, "pessimism": Mean()},
        "env": "CartPole-v1",
    },
    "n_step": {"replay": partial(ReplayBuffer, 100, n_step=3), "num_envs": 2},
    "her": {
        "env": "sac_lightning.envs.bit_flipping:BitFlipping-v0",
        "env_options": {"kwargs": {"bits": 5}, "autoreset": "next_step"},
        "replay": partial(HerReplay, 100, goal="episode"),
        "num_envs": 2,
    },
}
TOGETHER: dict[str, dict[str, Any]] = {
    "box": {
        "actor": {"torso": LayerNorm(), "optimizer": AdamW()},
        "critic": {
            "torso": LayerNorm(dropout=0.1),
            "optimizer": AdamW(),
            "value_head": CategoricalValue(-100.0, 10.0),
            "pessimism": Mean(),
        },
        "module": CASES["normalization"]["module"],
        "replay": partial(PrioritizedReplay, 100, n_step=3),
        "noise_hold_max": 16,
    },
    "family": {
        "actor": {"torso": SimbaV2()},
        "critic": {
            "torso": Xqc(),
            "target_network": JointPolyak(),
            "value_head": QuantileValue(5),
            "pessimism": Truncated(1),
        },
        "module": {"actor_delay": 2},
    },
    "choice": {
        **CASES["multi"],
        "actor": {**CASES["multi"]["actor"], "torso": BatchNorm(), "entropy_penalty": 0.5},
        "critic": {
            **CASES["multi"]["critic"],
            **CASES["no_target_network"]["critic"],
            "num_critics": 3,
            "pessimism": RandomSubset(2),
        },
        "module": {"reset_every": 30, "obs_normalization": RunningObs(), "random_shift": 1},
        "replay": partial(HerReplay, 100),
    },
}


@pytest.mark.parametrize("case", CASES)
def test_each_second_choice_goes_on(fit: Fit, tmp_path: Path, case: str) -> None:
    stopped_and_continued(fit, tmp_path, Parts(**CASES[case]))


@pytest.mark.parametrize("case", TOGETHER)
def test_many_second_choices_go_on_compiled(fit: Fit, tmp_path: Path, case: str) -> None:
    stopped_and_continued(fit, tmp_path, Parts(**TOGETHER[case], compile=True))


def stopped_and_continued(fit: Fit, tmp_path: Path, run: Run) -> None:
    fit(run, tmp_path / "whole")
    fit(run, tmp_path / "parts", StopAt(97))
    fit(run, tmp_path / "parts")
    expected = saved_state(tmp_path / "whole", run.capacity)
    assert differences(saved_state(tmp_path / "parts", run.capacity), expected) == []
