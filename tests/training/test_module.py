"""The order of updates, their counting, and what each optimizer gets: by real fits of a few steps."""

import copy
from collections.abc import Callable
from contextlib import nullcontext
from typing import Any

import pytest
import pytorch_lightning as pl
import torch
from pytorch_lightning.utilities.exceptions import MisconfigurationException
from torch import Tensor

from sac_lightning import ActorConfig, ConfigError, CriticConfig, ReplayDataModule, SACModule
from sac_lightning.algorithm.losses import LossForm
from sac_lightning.core.seeding import Streams, torch_generator
from sac_lightning.entropy import Anneal, Constant, Fixed, LearnedTemperature, MaxEntropy
from sac_lightning.heads import Normal
from sac_lightning.networks import Polyak, ReturnVariance, RunningObs
from sac_lightning.optim import Adam
from sac_lightning.replay import ReplayBuffer
from tasks import Clock, env_config, fit, trainer_for

STILL = 1e-40  # a learning rate that moves no float32 weight


def clocks(env_steps: int = 30, discrete: bool = True, **options: Any) -> ReplayDataModule:
    common = {"steps_per_epoch": 10, "learning_starts": 10, "batch_size": 8, "iterations_per_batch": 1}
    config = env_config(Clock, kwargs={"length": 4, "truncates": True, "discrete": discrete})
    return ReplayDataModule(config, total_env_steps=env_steps, **{**common, **options})


def small(lr: float = 3e-3, **options: Any) -> dict[str, Any]:
    return {"hidden_sizes": (8,), "lr": lr, **options}


def nets(actor: dict[str, Any] | None = None, critic: dict[str, Any] | None = None) -> dict[str, Any]:
    return {"actor": ActorConfig(**small(**actor or {})), "critic": CriticConfig(**small(**critic or {}))}


def weights(network: torch.nn.Module) -> list[Tensor]:
    return [weight.detach().clone() for weight in network.parameters()]


def same(before: list[Tensor], after: list[Tensor]) -> bool:
    return all(torch.equal(a, b) for a, b in zip(before, after, strict=True))


@pytest.mark.parametrize("discrete", [True, False])
@pytest.mark.parametrize("moving", ["actor", "critic"])
def test_each_network_is_moved_by_its_own_optimizer_alone(moving: str, discrete: bool) -> None:
    data = clocks(discrete=discrete)
    lrs = {"actor": {"lr": STILL}, "critic": {"lr": STILL}, moving: {"lr": 3e-3}}
    fresh = SACModule(*data.specs, **nets(**lrs))
    trained = fit(data, **nets(**lrs))
    assert same(weights(fresh.sac.actor), weights(trained.sac.actor)) == (moving != "actor")
    assert same(weights(fresh.sac.critic), weights(trained.sac.critic)) == (moving != "critic")


@pytest.mark.parametrize(
    ("utd_ratio", "num_envs", "learning_starts", "updates"),
    [
        (1, 1, 10, 20),  # (30 − 10)·1
        (2, 1, 10, 40),
        (0.5, 1, 10, 10),
        (1, 2, 10, 20),
        (0.5, 2, 10, 10),
        (1, 1, 0, 30),
        (0.3, 1, 10, 6),  # ⌊20·0.3⌋
    ],
)
def test_global_step_counts_gradient_updates(
    utd_ratio: float, num_envs: int, learning_starts: int, updates: int
) -> None:
    data = clocks(utd_ratio=utd_ratio, num_envs=num_envs, learning_starts=learning_starts)
    learner = SACModule(*data.specs, **nets())
    trainer = trainer_for(data)
    trainer.fit(learner, data)
    assert trainer.global_step == updates
    assert int(learner.grad_steps) == updates
    assert int(learner.env_steps) == data.env_steps == 30


def test_every_optimizer_takes_every_step() -> None:
    data = clocks()
    learner = SACModule(*data.specs, **nets())
    trainer = trainer_for(data)
    trainer.fit(learner, data)
    for optimizer in trainer.optimizers:
        assert {int(state["step"]) for state in optimizer.state.values()} == {20}
    assert len(trainer.optimizers) == 3  # critic, actor, log_alpha


class Snapshots(pl.Callback):
    """The actor after each turn."""

    def __init__(self) -> None:
        self.actors: list[torch.nn.Module] = []

    def on_train_batch_end(self, trainer: Any, pl_module: Any, *rest: Any) -> None:
        self.actors.append(copy.deepcopy(pl_module.sac.actor))


def test_the_policy_that_acts_is_the_newest() -> None:
    data, snapshots = clocks(discrete=False, learning_starts=0, seed=3), Snapshots()
    learner = SACModule(*data.specs, **nets())
    snapshots.actors.append(copy.deepcopy(learner.sac.actor))
    trainer_for(data, callbacks=[snapshots]).fit(learner, data)
    assert data.experience is not None
    store, generator = data.experience.replay.store, torch_generator(Streams.of(3).action)
    stale = 0
    for t in range(30):
        # collect₀ update₀ collect₁ …: the action of step t is drawn by the actor that update t − 1 left.
        state = generator.get_state()
        with torch.inference_mode():
            drawn = learner.sac.head.sample(snapshots.actors[t](store.obs[t : t + 1]), generator)
            assert torch.equal(drawn[0], store.action[t]), t
            after = generator.get_state()
            generator.set_state(state)
            older = snapshots.actors[max(t - 1, 0)]
            stale += not torch.equal(learner.sac.head.sample(older(store.obs[t : t + 1]), generator), drawn)
            generator.set_state(after)
    assert stale > 25  # one update older would have acted differently


def test_targets_follow_by_tau() -> None:
    data = clocks(env_steps=11, learning_starts=10, steps_per_epoch=11)
    configs = nets(critic={"target_network": Polyak(0.25)})
    fresh = SACModule(*data.specs, **configs)
    trained = fit(data, **configs)
    for start, critic, target in zip(
        weights(fresh.sac.critic),
        weights(trained.sac.critic),
        weights(trained.sac.target_critic),
        strict=True,
    ):
        # One update: θ̄ = ¾·θ₀ + ¼·θ₁
        torch.testing.assert_close(target, 0.75 * start + 0.25 * critic)
        assert not torch.equal(start, critic)


class Norms(pl.Callback):
    """The norm of each network's gradient as Adam received it: g = (m − 0.9 m_before) / 0.1."""

    def __init__(self) -> None:
        self.seen: dict[str, list[float]] = {"critic": [], "actor": [], "alpha": []}
        self._before: dict[str, Tensor] = {}

    def on_train_batch_end(self, trainer: Any, pl_module: SACModule, *rest: Any) -> None:
        for name, optimizer in zip(self.seen, trainer.optimizers, strict=True):
            means = [state["exp_avg"].flatten() for state in optimizer.state.values()]
            mean = torch.cat(means).clone()
            if mean.any():
                before = self._before.get(name, torch.zeros_like(mean))
                self.seen[name].append(float((mean - 0.9 * before).norm() / 0.1))
                self._before[name] = mean


@pytest.mark.parametrize("clipped", ["actor", "critic", "alpha"])
def test_clipping_is_by_the_norm_of_one_network(clipped: str) -> None:
    norms, limit = Norms(), {"optimizer": Adam(max_grad_norm=1e-3)}
    temperature = LearnedTemperature(**(limit if clipped == "alpha" else {}))
    configs = nets(**({clipped: limit} if clipped != "alpha" else {}))
    fit(clocks(), {"callbacks": [norms]}, temperature=temperature, **configs)
    for name, seen in norms.seen.items():
        assert len(seen) == 20
        assert (max(seen) <= 1.01e-3) == (name == clipped), name


class Rates(pl.Callback):
    """Learning rates at the start of each epoch."""

    def __init__(self) -> None:
        self.seen: list[list[float]] = []

    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: Any) -> None:
        self.seen.append([optimizer.param_groups[0]["lr"] for optimizer in trainer.optimizers])


@pytest.mark.filterwarnings("ignore:Detected call of `lr_scheduler.step")
def test_each_optimizer_has_its_own_rate_and_schedule() -> None:
    rates, data = Rates(), clocks(env_steps=40)
    linear = {"lr": 0.01, "optimizer": Adam(lr_schedule="linear", lr_final_ratio=0.2)}
    cosine = {"lr": 0.02, "optimizer": Adam(lr_schedule="cosine", lr_final_ratio=0.5)}
    learner = SACModule(
        *data.specs, temperature=LearnedTemperature(lr=0.003), **nets(critic=linear, actor=cosine)
    )
    trainer = trainer_for(data, callbacks=[rates])
    trainer.fit(learner, data)
    critic, actor, alpha = zip(*rates.seen, strict=True)
    # Before 0, 0, 10 and 20 of 30 updates: 0.01·(1 − 0.8·u/30)
    assert critic == pytest.approx((0.01, 0.01, 0.0073333, 0.0046667), rel=1e-4)
    # 0.01 + 0.01·½(1 + cos(πu/30)) = 0.01 + 0.01·(1, 1, 0.75, 0.25)
    assert actor == pytest.approx((0.02, 0.02, 0.0175, 0.0125))
    assert alpha == (0.003,) * 4
    ends = [optimizer.param_groups[0]["lr"] for optimizer in trainer.optimizers]
    assert ends == pytest.approx([0.002, 0.01, 0.003])  # the final ratios


ENTROPIES = {  # a target that the head's entropy lies above, one that it lies below, a peak of the bias
    "tanh_normal": (-3.0, 0.6, 0.0),
    "normal": (-3.0, 3.0, 0.0),
    "categorical": (0.1, 1.0, 6.0),
}


@pytest.mark.parametrize("form", ["log_alpha", "alpha"])
@pytest.mark.parametrize("head", list(ENTROPIES))
@pytest.mark.parametrize("below_target", [True, False])
def test_entropy_below_target_raises_alpha_and_above_lowers_it(
    head: str, below_target: bool, form: LossForm
) -> None:
    data = clocks(discrete=head == "categorical")
    low, high, peak = ENTROPIES[head]
    learner = SACModule(
        *data.specs,
        head=Normal(1) if head == "normal" else None,
        temperature=LearnedTemperature(
            lr=0.01, loss_form=form, init=0.5, target_entropy=Constant(high if below_target else low)
        ),
        **nets(actor={"lr": STILL}),
    )
    if below_target:
        with torch.no_grad():
            learner.sac.actor.output.bias[..., 0] += peak
    trainer_for(data).fit(learner, data)
    alpha = learner.sac.log_alpha.exp().item()
    # 20 steps of about 0.01 from 0.5: 0.5·e^±0.2 = 0.61 or 0.41
    assert (alpha > 0.55) if below_target else (alpha < 0.45), alpha


def test_alpha_stays_within_its_limits() -> None:
    rule = LearnedTemperature(lr=0.5, init=0.5, min=0.4, max=0.6, target_entropy=Constant(-3.0))
    learner = fit(clocks(discrete=False), temperature=rule, **nets())
    assert learner.sac.log_alpha.exp().item() == pytest.approx(0.4)
    rule = LearnedTemperature(lr=0.5, init=0.5, min=0.4, max=0.6, target_entropy=Constant(0.6))
    data = clocks(discrete=False)
    learner = fit(data, temperature=rule, **nets(actor={"lr": STILL}))
    assert learner.sac.log_alpha.exp().item() == pytest.approx(0.6)


def test_an_annealed_alpha_follows_env_steps() -> None:
    rule = Anneal(start=1.0, end=0.0, steps=40, shape="linear")
    learner = fit(clocks(), temperature=rule, log_every_n_env_steps=10, **nets())
    # Updates at env steps 21 … 30, the last row: mean of 1 − e/40 = 1 − 25.5/40 = 0.3625
    assert learner.latest["train/alpha"] == pytest.approx(0.3625)


def test_an_unreachable_target_is_refused_when_the_module_is_made() -> None:
    data = clocks()
    with pytest.raises(ConfigError, match="target_entropy=5"):
        SACModule(*data.specs, temperature=LearnedTemperature(target_entropy=Constant(5.0)))
    warned = SACModule(*data.specs, temperature=LearnedTemperature(target_entropy=MaxEntropy()))
    assert warned.sac.entropy_setting.warning is not None and "2 %" in warned.sac.entropy_setting.warning


@pytest.mark.parametrize("discrete", [True, False])
def test_bfloat16_trains_with_finite_float32_numbers(discrete: bool) -> None:
    data = clocks(discrete=discrete)
    learner = fit(data, {"precision": "bf16-mixed"}, log_every_n_env_steps=10, **nets())
    for key in ("critic_loss", "actor_loss", "alpha", "entropy", "q_mean", "alpha_loss"):
        assert torch.isfinite(torch.tensor(learner.latest[f"train/{key}"])), key
    assert all(w.dtype == torch.float32 and torch.isfinite(w).all() for w in learner.parameters())


@pytest.mark.parametrize("precision", ["16-true", "bf16-true", "64-true"])
def test_other_precisions_are_refused(precision: Any) -> None:
    data = clocks()
    with pytest.raises(ConfigError, match=f"precision={precision}: must be one of 32-true, bf16-mixed"):
        fit(data, {"precision": precision})


def test_lightning_s_own_clipping_is_refused() -> None:
    with pytest.raises(MisconfigurationException, match="gradient clipping is not supported for manual"):
        fit(clocks(), {"gradient_clip_val": 1.0})


def test_evaluation_is_told_against_env_steps() -> None:
    learner = fit(clocks(eval_episodes=2), {"limit_val_batches": 1}, temperature=Fixed(0.1), **nets())
    assert learner.latest["eval/return_mean"] == 10.0  # 1 + 2 + 3 + 4
    assert learner.latest["eval/return_std"] == 0.0


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda specs: SACModule(*specs, log_every_n_env_steps=0), "log_every_n"),
        (lambda specs: ReplayBuffer(gamma=1.0), "gamma=1.0"),
        (lambda specs: CriticConfig(target_network=Polyak(0.0)), "tau=0.0"),
    ],
)
def test_bad_numbers_are_refused_by_name(make: Callable[[Any], object], message: str) -> None:
    specs = clocks().specs
    with pytest.raises(ConfigError) as caught:
        make(specs)
    assert str(caught.value).startswith(message)


def test_a_step_that_only_resets_the_env_leaves_the_statistics_as_they_are() -> None:
    # With one env and autoreset=next_step such a step stores nothing.
    config = env_config(Clock, kwargs={"length": 4}, autoreset="next_step")
    data = ReplayDataModule(config, total_env_steps=20, steps_per_epoch=10, learning_starts=10, batch_size=8)
    learner = fit(data, obs_normalization=RunningObs(), reward_normalization=ReturnVariance(), **nets())
    for each in (learner.sac.normalize_obs, learner.sac.normalize_reward):
        assert each is not None and each.statistics.count == 16 and each.statistics.mean.isfinite().all()


class Denormals(pl.Callback):
    """Records whether numbers below 1.2e-38 are taken for 0 while a fit trains."""

    def __init__(self, error: Exception | None) -> None:
        self.product, self.error = -1.0, error

    def on_train_batch_end(self, *_: Any) -> None:
        self.product = float(torch.tensor(1e-38) * 0.01)
        if self.error is not None:
            raise self.error


@pytest.mark.parametrize("error", [None, RuntimeError("as if a callback failed")])
def test_denormals_are_0_during_a_fit_and_not_after_it(error: Exception | None) -> None:
    seen = Denormals(error)
    with nullcontext() if error is None else pytest.raises(RuntimeError, match="as if a callback failed"):
        fit(clocks(), {"callbacks": [seen]}, **nets())
    assert seen.product == 0.0
    assert float(torch.tensor(1e-38) * 0.01) > 0.0
