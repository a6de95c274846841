"""What is not finite is found where it arises and blamed on what made it."""

from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import pytorch_lightning as pl
import torch
from gymnasium import spaces

from sac_lightning import ActorConfig, CriticConfig, ReplayDataModule, SACModule
from sac_lightning.collect.evaluation import Evaluator
from sac_lightning.collect.experience import Experience
from sac_lightning.core.finite import LARGEST, NotFiniteError, check_weights
from sac_lightning.envs import EnvConfig, EnvError
from sac_lightning.replay import ReplayBuffer
from sac_lightning.training.metrics import MetricWindow
from sac_lightning.types import PackedMetrics
from tasks import Clock, OneState, env_config, trainer_for

NAN, INF = float("nan"), float("inf")
CHOICE = spaces.Discrete(2)
BLAMED = r"^the policy's action\[0\] of env 0 is nan \(the largest number in its observation: 1\)"


def data_of(env: EnvConfig, **options: Any) -> ReplayDataModule:
    counts = {"total_env_steps": 40, "steps_per_epoch": 20, "learning_starts": 10, "batch_size": 4}
    return ReplayDataModule(env, **{**counts, "eval_episodes": 1, **options})


def module_of(data: ReplayDataModule, **options: Any) -> SACModule:
    nets: dict[str, Any] = {"hidden_sizes": (4,)}
    return SACModule(*data.specs, actor=ActorConfig(**nets), critic=CriticConfig(**nets), **options)


def spoil(module: SACModule, value: float = NAN) -> None:
    with torch.no_grad():
        next(module.sac.actor.parameters()).view(-1)[0] = value


class Spoil(pl.Callback):
    """Spoils a weight of the actor after the batch that reaches `env_steps`."""

    def __init__(self, env_steps: int) -> None:
        self.env_steps = env_steps

    def on_train_batch_end(self, trainer: Any, pl_module: Any, *rest: Any) -> None:
        if int(pl_module.env_steps) >= self.env_steps:
            spoil(pl_module)


# --- actions -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("overlap", [False, True])
@pytest.mark.parametrize("autoreset", ["same_step", "next_step"])
def test_an_action_that_is_not_finite_is_the_policys_fault_and_no_env_sees_it(
    overlap: bool, autoreset: str
) -> None:
    made: list[Clock] = []

    def make() -> Clock:
        made.append(Clock(discrete=False, length=100))
        return made[-1]

    data = data_of(env_config(make, autoreset=autoreset))
    module = module_of(data)
    options: dict[str, Any] = {"capacity": 40, "learning_starts": 0, "seed": 0, "overlap": overlap}
    experience = Experience(
        data.env,
        1,
        data.specs,
        replay=ReplayBuffer(),
        device=torch.device("cpu"),
        journal_dir=None,
        most_drawn=8,
        **options,
    )
    experience.collector.collect(module.policy, 1)
    spoil(module)
    with pytest.raises(NotFiniteError, match=r"^the policy's action\[0\] of env 0 is nan"):
        experience.collector.collect(module.policy, 2)
    experience.close()
    seen = [action for env in made for action in env.actions]
    assert seen and np.isfinite(seen).all()


def one_box(reward: float = 0.0) -> OneState:
    return OneState(spaces.Box(-2.0, 2.0, (1,), np.float32), lambda _: reward, length=5)


def test_an_action_within_a_fit_is_named_with_the_update_before_it() -> None:
    data = data_of(env_config(one_box), iterations_per_batch=1)
    with pytest.raises(
        NotFiniteError,
        match=BLAMED + r", at update 5 \(by env step 15\): check the size of the env's rewards",
    ):
        trainer_for(data, callbacks=[Spoil(15)]).fit(module_of(data), data)


def test_an_evaluation_blames_the_policy() -> None:
    data = data_of(env_config(one_box))
    module = module_of(data)
    spoil(module)
    with pytest.raises(NotFiniteError, match=BLAMED):
        Evaluator(data.env.build, [0]).run(module.policy)


@pytest.mark.parametrize("deterministic", [False, True])
def test_act_refuses_what_it_cannot_use_and_gives_nothing_that_is_not_finite(deterministic: bool) -> None:
    data = data_of(env_config(one_box))
    module = module_of(data)
    assert np.isfinite(module.act(np.array([LARGEST / 2]), deterministic)).all()
    for value in (NAN, INF, 1e300):
        with pytest.raises(ValueError, match=r"^obs\[0\] is "):
            module.act(np.array([value]), deterministic)
    with pytest.raises(ValueError, match=r"^obs\[0\] of env 1 is nan"):
        module.act(np.array([[0.0], [NAN]]), deterministic)
    spoil(module)
    with pytest.raises(NotFiniteError, match=BLAMED):
        module.act(np.ones(1), deterministic)


# --- evaluations -------------------------------------------------------------------------------------


class Faulty(gym.Env[Any, Any]):
    """Gives `obs` and `reward` in its second step."""

    def __init__(self, obs: float = 0.0, reward: float = 0.0) -> None:
        self.observation_space = spaces.Box(-np.inf, np.inf, (2,), np.float64)
        self.action_space = CHOICE
        self.fault, self.count = (obs, reward), 0

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> Any:
        self.count = 0
        return np.zeros(2), {}

    def step(self, action: Any) -> Any:
        self.count += 1
        obs, reward = self.fault if self.count == 2 else (0.0, 0.0)
        return np.array([0.0, obs]), reward, self.count == 4, False, {}


@pytest.mark.parametrize(
    ("fault", "what"),
    [
        ({"obs": NAN}, r"the observation\[1\] is nan"),
        ({"obs": 1e300}, r"the observation\[1\] is 1e\+300"),
        ({"obs": 3.4e38}, r"the observation\[1\] is 3.4e\+38"),
        ({"reward": -INF}, "the reward is -inf"),
        ({"reward": 1e39}, r"the reward is 1e\+39"),
    ],
)
def test_an_evaluation_checks_what_its_envs_give(fault: dict[str, float], what: str) -> None:
    data = data_of(env_config(Faulty, kwargs=fault))
    with pytest.raises(EnvError, match=rf"^Test-v0: {what}.*, at step 2 of its episode$"):
        Evaluator(data.env.build, [0]).run(module_of(data).policy)


def clipped(reward: float) -> EnvConfig:
    clip = {"name": "ClipReward", "min_reward": -1.0, "max_reward": 1.0}
    return env_config(Faulty, kwargs={"reward": reward}, wrappers=[clip])


def test_a_return_that_is_not_finite_is_no_result_although_the_policy_saw_a_clipped_reward() -> None:
    data = data_of(clipped(-INF))
    with pytest.raises(EnvError, match=r"^the return of the evaluation episode with seed 7 is -inf$"):
        Evaluator(data.env.build, [7]).run(module_of(data).policy)
    with pytest.raises(NotFiniteError, match=r"^the return of a training episode is -inf, at update 0 "):
        trainer_for(data).fit(module_of(data), data)


# --- updates -----------------------------------------------------------------------------------------


def update(loss: float, alpha: float = 0.1) -> PackedMetrics:
    return PackedMetrics.of({"train/loss": torch.tensor(loss), "train/alpha": torch.tensor(alpha)})


@pytest.mark.parametrize("place", [0, 17, 31])
def test_the_first_of_32_updates_with_a_number_that_is_not_finite_is_found(place: int) -> None:
    window = MetricWindow(every=1000)
    updates = [update(1.0) for _ in range(place)] + [update(1.0, INF)]
    updates += [update(NAN) for _ in range(31 - place)]
    for each in updates[:-1]:
        window.add(each)
    with pytest.raises(NotFiniteError, match=r"^train/alpha is inf$") as found:
        window.add(updates[-1])
    assert found.value.updates_ago == 31 - place


def test_numbers_near_the_end_of_float32_are_finite_and_unknown_diagnostics_may_be_nan() -> None:
    window = MetricWindow(every=1000)
    for _ in range(40):
        window.add(update(3e38))
        window.add(PackedMetrics.of({"diagnostics/policy_shift": torch.tensor(NAN)}))
    assert window.close(1000)["train/loss"] == pytest.approx(3e38)


@pytest.mark.parametrize("turns", [1, 7, 1000])
def test_the_update_is_named_whatever_a_batch_is(turns: int) -> None:
    # The square of 1.7e19 is finite in float32, the sum of four of them is not.
    data = data_of(env_config(one_box, kwargs={"reward": 1.7e19}), iterations_per_batch=turns)
    with pytest.raises(NotFiniteError, match=r"^train/critic_loss is inf, at update 1 "):
        trainer_for(data).fit(module_of(data), data)


# --- weights -----------------------------------------------------------------------------------------


def one_choice() -> OneState:
    return OneState(CHOICE, float, length=5)


def test_no_evaluation_of_weights_that_are_not_finite_though_every_action_is() -> None:
    data = data_of(env_config(one_choice))
    with pytest.raises(NotFiniteError, match=r"^the weights actor\.\S+ are not finite, at update 10 "):
        trainer_for(data, limit_val_batches=1, callbacks=[Spoil(20)]).fit(module_of(data), data)


@pytest.mark.parametrize("name", ["actor", "critic", "target_critic", "log_alpha"])
def test_no_checkpoint_of_weights_that_are_not_finite(name: str, tmp_path: Path) -> None:
    data = data_of(env_config(one_choice))
    module, trainer = module_of(data), trainer_for(data)
    trainer.fit(module, data)
    trainer.save_checkpoint(tmp_path / "whole.ckpt")
    weight = next(each for key, each in module.named_parameters() if key.startswith(f"sac.{name}"))
    with torch.no_grad():
        weight.view(-1)[0] = INF
    with pytest.raises(NotFiniteError, match=rf"^the weights {name}\S* are not finite, at update 30 "):
        trainer.save_checkpoint(tmp_path / "spoilt.ckpt")
    assert [path.name for path in tmp_path.iterdir()] == ["whole.ckpt"]


def test_no_checkpoint_of_an_optimizer_that_no_longer_moves_its_weights(tmp_path: Path) -> None:
    data = data_of(env_config(one_choice))
    module, trainer = module_of(data), trainer_for(data)
    trainer.fit(module, data)
    state = trainer.optimizers[0].state[next(module.sac.critic.parameters())]
    state["exp_avg_sq"].fill_(INF)  # a finite gradient whose square is not: Adam divides by it
    with pytest.raises(NotFiniteError, match=r"^exp_avg_sq of the critic optimizer is not finite, at update"):
        trainer.save_checkpoint(tmp_path / "spoilt.ckpt")
    assert not list(tmp_path.iterdir())


def test_a_temperature_of_0_is_a_choice(tmp_path: Path) -> None:
    from sac_lightning.entropy import Fixed

    data = data_of(env_config(one_choice))
    module, trainer = module_of(data, temperature=Fixed(0.0)), trainer_for(data)
    trainer.fit(module, data)
    assert module.sac.log_alpha == -INF
    trainer.save_checkpoint(tmp_path / "whole.ckpt")
    check_weights(SACModule.load_from_checkpoint(tmp_path / "whole.ckpt").sac)
