"""Gradients of one update: each loss moves its own network and nothing else."""

from typing import Any

import numpy as np
import pytest
import torch
from gymnasium import spaces
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from built import SPACES, batch_of, noise_of, sac_of
from sac_lightning import ActorConfig, CriticConfig, ReplayDataModule, SACModule
from sac_lightning.algorithm import losses
from sac_lightning.algorithm.sac import SAC
from sac_lightning.core.errors import ConfigError
from sac_lightning.core.seeding import Streams, torch_generator
from sac_lightning.networks import Cnn, RandomSubset
from sac_lightning.types import Batch, WeightedActions
from tasks import Clock, env_config, fit

every_head = pytest.mark.parametrize("head", list(SPACES))
ALPHA = torch.tensor(0.3)


def q_of_policy(critic: Any, sac: SAC, obs: Tensor, actions: WeightedActions) -> Tensor:
    """[K, B]: the smaller of both critics."""
    return sac.value_head.mean(critic.features_of_policy(obs, actions)).min(dim=0).values


def critic_gradient(sac: SAC, batch: Batch, noise: Tensor) -> tuple[Tensor, ...]:
    loss, *_ = sac.critic_loss(batch, noise, ALPHA)
    return torch.autograd.grad(loss, list(sac.critic.parameters()))


def actor_gradient(sac: SAC, batch: Batch, noise: Tensor) -> tuple[Tensor, ...]:
    loss, _ = sac.actor_loss(batch, noise, ALPHA)
    return torch.autograd.grad(loss, list(sac.actor.parameters()))


@every_head
def test_critic_gradient_is_that_of_the_loss_written_out(head: str) -> None:
    sac, batch, noise = sac_of(head), batch_of(head), noise_of(head)
    loss, q_mean, td_error = sac.critic_loss(batch, noise, ALPHA)

    actions = sac.head.weighted_actions(sac.actor(batch.next_obs), noise)
    value = losses.soft_value(q_of_policy(sac.target_critic, sac, batch.next_obs, actions), actions, ALPHA)
    y = batch.reward + batch.discount * value.detach()
    q = sac.value_head.mean(sac.critic.features(batch.obs, batch.action))
    expected_loss = sum(0.5 * ((q[i] - y) ** 2).mean() for i in range(2))
    assert isinstance(expected_loss, Tensor)
    expected = torch.autograd.grad(expected_loss, list(sac.critic.parameters()))
    torch.testing.assert_close(loss, expected_loss)
    torch.testing.assert_close(q_mean, q.mean())
    torch.testing.assert_close(td_error, ((q[0] - y).abs() + (q[1] - y).abs()) / 2)
    torch.testing.assert_close(critic_gradient(sac, batch, noise), expected)


@every_head
def test_actor_gradient_is_that_of_the_loss_written_out(head: str) -> None:
    sac, batch, noise = sac_of(head), batch_of(head), noise_of(head)
    loss, entropy = sac.actor_loss(batch, noise, ALPHA)

    actions = sac.head.weighted_actions(sac.actor(batch.obs), noise)
    q = q_of_policy(sac.critic, sac, batch.obs, actions)
    expected_loss = (actions.weight * (ALPHA * actions.log_prob - q)).sum(0).mean()
    expected = torch.autograd.grad(expected_loss, list(sac.actor.parameters()))
    torch.testing.assert_close(loss, expected_loss)
    torch.testing.assert_close(entropy, actions.entropy.mean().detach())
    torch.testing.assert_close(actor_gradient(sac, batch, noise), expected)


@every_head
def test_an_update_leaves_no_gradient_behind_anywhere(head: str) -> None:
    sac = sac_of(head)
    result = sac.update(batch_of(head), torch.stack((noise_of(head), noise_of(head))))
    assert all(weight.grad is None for weight in sac.parameters())
    assert not result.td_error.requires_grad
    assert len(dict(result.metrics)) == 7
    assert not any(number.requires_grad for number in dict(result.metrics).values())


@every_head
def test_an_update_without_the_actor_steps_the_critics_alike_and_computes_no_loss_of_the_actor(
    head: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    stepped = []
    batch, noise = batch_of(head), torch.stack((noise_of(head), noise_of(head)))
    for with_actor in (True, False):
        torch.manual_seed(0)
        sac = sac_of(head)
        if not with_actor:
            monkeypatch.setattr(sac, "actor_loss", None)
            still = [each.clone() for each in (*sac.actor.parameters(), sac.log_alpha, sac.target_entropy)]
        result = sac.update(batch, noise, with_actor)
        assert sac.target_critic is not None
        stepped.append([*sac.critic.parameters(), *sac.target_critic.parameters(), sac.grad_steps])
    for with_actor, without in zip(*stepped, strict=True):
        assert torch.equal(with_actor, without)
    for before, after in zip(
        still, (*sac.actor.parameters(), sac.log_alpha, sac.target_entropy), strict=True
    ):
        assert torch.equal(before, after)
    assert list(result.metrics) == ["train/critic_loss", "train/q_mean", "train/alpha"]


def test_the_actor_is_stepped_in_every_actor_delay_th_update() -> None:
    data = ReplayDataModule(
        env_config(Clock, kwargs={"length": 4, "discrete": False}),
        **{"total_env_steps": 18, "steps_per_epoch": 9, "learning_starts": 10, "batch_size": 8},
    )
    module = fit(
        data, actor=ActorConfig(hidden_sizes=(8,)), critic=CriticConfig(hidden_sizes=(8,)), actor_delay=3
    )
    steps = [
        {float(state["step"]) for state in optimizer.state.values()}
        for optimizer in module.trainer.optimizers
    ]
    assert steps == [{8.0}, {2.0}, {2.0}]  # critics, actor, α: of 8 updates the third and the sixth


def test_each_update_s_target_is_the_minimum_of_a_subset_drawn_afresh(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    pessimism = RandomSubset(2)
    critic = CriticConfig(hidden_sizes=(4,), num_critics=3, pessimism=pessimism)
    sac, batch, noise = sac_of("tanh_normal", critic=critic), batch_of("tanh_normal"), noise_of("tanh_normal")
    sets: list[tuple[int, ...]] = []

    def seen(q: Tensor) -> Tensor:
        sets.append(tuple(sorted(int((every == each).all(1).nonzero()) for each in q[:, 0])))
        return q.amin(0)

    actions = sac.head.weighted_actions(sac.actor(batch.next_obs), noise)
    assert sac.target_critic is not None
    every = sac.value_head.mean(sac.target_critic.features_of_policy(batch.next_obs, actions))[:, 0]
    monkeypatch.setattr(RandomSubset, "target_value", lambda self, q: seen(q))
    with torch.no_grad():
        for _ in range(600):
            sac.critic_loss(batch, noise, ALPHA)
    counts = [sets.count(pair) for pair in ((0, 1), (0, 2), (1, 2))]
    assert sum(counts) == 600
    assert all(abs(count - 200) < 4 * 11.5 for count in counts)  # √(600 · ⅓ · ⅔) = 11.5


def test_a_reset_before_the_sixth_update_leaves_the_weights_of_the_seed_s_stream_and_one_step() -> None:
    data = ReplayDataModule(
        env_config(Clock, kwargs={"length": 4, "discrete": False}),
        **{"total_env_steps": 16, "steps_per_epoch": 16, "learning_starts": 10, "batch_size": 8},
    )
    nets = {"hidden_sizes": (8,), "lr": 1e-3}
    options = {"actor": ActorConfig(**nets), "critic": CriticConfig(**nets), "reset_every": 5, "seed": 6}
    module = fit(data, **options)
    generator = torch_generator(Streams.of(6).init_after(1))
    fresh = SAC(
        *data.specs,
        module.sac.head,
        module.sac.temperature,
        *map(options.get, ("actor", "critic")),
        generator=generator,
    )
    for name in ("actor", "critic"):  # Adam's first step moves no weight by more than the learning rate
        pairs = zip(getattr(module.sac, name).parameters(), getattr(fresh, name).parameters(), strict=True)
        assert 0.0 < max(float((a - b).detach().abs().max()) for a, b in pairs) < 1.01e-3
    assert module.sac.target_critic is not None
    pairs = zip(module.sac.target_critic.parameters(), fresh.critic.parameters(), strict=True)
    assert max(float((a - b).detach().abs().max()) for a, b in pairs) < 1.01e-3 * 0.005  # one step of Polyak
    states = [state for optimizer in module.trainer.optimizers for state in optimizer.state.values()]
    assert {float(state["step"]) for state in states} == {1.0}
    assert int(module.grad_steps) == 6 and len(data.experience.replay) == 16


def test_a_critic_far_from_its_target_critic_gets_the_clipped_loss() -> None:
    batch, noise = batch_of("categorical"), noise_of("categorical")
    critic = CriticConfig(hidden_sizes=(16, 16), q_clip=1e-3)
    sac = sac_of("categorical", critic=critic)
    loss, *_ = sac.critic_loss(batch, noise, ALPHA)
    assert sac.target_critic is not None
    actions = sac.head.weighted_actions(sac.actor(batch.next_obs), noise)
    value = losses.soft_value(q_of_policy(sac.target_critic, sac, batch.next_obs, actions), actions, ALPHA)
    y = batch.reward + batch.discount * value
    q, old = (each.features(batch.obs, batch.action).squeeze(-1) for each in (sac.critic, sac.target_critic))
    near = torch.minimum(torch.maximum(q, old - 1e-3), old + 1e-3)
    expected = 0.5 * torch.maximum((q - y) ** 2, (near - y) ** 2).mean(1).sum()
    torch.testing.assert_close(loss, expected)
    with pytest.raises(ConfigError, match=r"critic\.q_clip=0\.001: is for discrete actions"):
        sac_of("hybrid", critic=critic)


def test_the_entropy_penalty_is_added_to_the_actors_loss_of_choices() -> None:
    batch, noise = batch_of("categorical"), noise_of("categorical")
    batch = batch._replace(log_prob=-torch.rand(8))
    sac = sac_of("categorical", actor=ActorConfig(hidden_sizes=(16, 16), entropy_penalty=0.5))
    loss, _ = sac.actor_loss(batch, noise, ALPHA)
    plain, _ = sac.actor_loss(batch._replace(log_prob=torch.full((8,), torch.nan)), noise, ALPHA)
    prob = sac.actor(batch.obs).softmax(-1)
    entropy = -(prob * prob.log()).sum(-1)
    torch.testing.assert_close(loss, plain + 0.25 * (-batch.log_prob - entropy).square().mean())
    for head in ("hybrid", "sampled"):
        with pytest.raises(
            ConfigError, match=r"actor\.entropy_penalty=0\.5: is for discrete actions that are"
        ):
            sac_of(head, actor=ActorConfig(entropy_penalty=0.5))


@every_head
def test_bfloat16_products_leave_densities_and_losses_in_float32(head: str) -> None:
    sac, batch, noise = sac_of(head), batch_of(head, 64), noise_of(head, 64)
    for loss_of, gradient_of in ((sac.critic_loss, critic_gradient), (sac.actor_loss, actor_gradient)):
        exact, exact_gradient = loss_of(batch, noise, ALPHA), gradient_of(sac, batch, noise)
        with torch.autocast("cpu", torch.bfloat16):
            half = loss_of(batch, noise, ALPHA)
            half_gradient = gradient_of(sac, batch, noise)
        assert all(each.dtype == torch.float32 for each in half)
        assert all(g.dtype == torch.float32 and torch.isfinite(g).all() for g in half_gradient)
        # bfloat16 has 8 bits: near, and (or autocast did nothing) not equal
        torch.testing.assert_close(half[0], exact[0], rtol=0.05, atol=0.05)
        assert not all(torch.equal(a, b) for a, b in zip(half_gradient, exact_gradient, strict=True))
    with torch.autocast("cpu", torch.bfloat16):
        actions = sac.head.weighted_actions(sac.actor(batch.obs), noise)
        assert actions.log_prob.dtype == actions.weight.dtype == torch.float32
        assert q_of_policy(sac.critic, sac, batch.obs, actions).dtype == torch.float32


@every_head
def test_an_update_in_bfloat16_is_near_to_one_in_float32_and_not_equal(head: str) -> None:
    weights = []
    for bfloat16 in (False, True):
        torch.manual_seed(0)
        sac = sac_of(head, bfloat16=bfloat16)
        sac.update(batch_of(head, 64), torch.stack((noise_of(head, 64), noise_of(head, 64))))
        weights.append(torch.cat([weight.detach().flatten() for weight in sac.parameters()]))
    assert not torch.equal(*weights)
    # Adam's first step has the size of the learning rate, 3e-4, whatever the gradient's size.
    torch.testing.assert_close(*weights, rtol=0.0, atol=6.1e-4)


class Images(Clock):
    """The clock's count as an image."""

    def __init__(self) -> None:
        super().__init__()
        self.observation_space = spaces.Box(0, 255, (8, 8, 3), np.uint8)

    def _obs(self) -> Any:
        return np.full((8, 8, 3), 50 * self.count, np.uint8)


def test_a_shared_encoder_is_learned_by_the_critics_alone() -> None:
    encoder = Cnn(channels=(4,), kernels=(3,), strides=(2,), features=5, shared=True)
    small: dict[str, Any] = {"hidden_sizes": (8,), "encoder": encoder}
    data = ReplayDataModule(env_config(Images), total_env_steps=12, steps_per_epoch=12, learning_starts=10)
    sac = fit(data, actor=ActorConfig(**small), critic=CriticConfig(**small), random_shift=1).sac
    before = SACModule(*data.specs, actor=ActorConfig(**small), critic=CriticConfig(**small)).sac
    for ours, critics, old in zip(
        *(each.encoder.parameters() for each in (sac.actor, sac.critic, before.actor)), strict=True
    ):
        assert torch.equal(ours, critics) and not torch.equal(ours, old)
        assert not ours.requires_grad
    with pytest.raises(ConfigError, match=r"encoder\.shared=True: needs the same encoder"):
        SACModule(*data.specs, critic=CriticConfig(**small))


def stepped_with(module: SACModule, optimizer: int) -> list[Tensor]:
    """The gradients of the first update, as Adam remembers them: its mean is then 0.1 of each."""
    return [state["exp_avg"] / 0.1 for state in module.trainer.optimizers[optimizer].state.values()]


def test_an_update_steps_the_critics_first_and_the_actor_sees_them_stepped() -> None:
    config = env_config(Clock, kwargs={"length": 4, "discrete": False})
    data = ReplayDataModule(
        config, total_env_steps=11, steps_per_epoch=11, learning_starts=10, batch_size=8, seed=6
    )
    small = {"hidden_sizes": (8,)}
    options: dict[str, Any] = {"actor": ActorConfig(**small), "critic": CriticConfig(**small), "seed": 6}
    fresh, trained = SACModule(*data.specs, **options), fit(data, **options)
    # The one update's mini-batch and noise, drawn again from the streams of the seed
    replay = data.experience.replay
    replay.generator.manual_seed(Streams.of(6).replay)
    batch, alpha = replay.sample(8), torch.tensor(1.0)
    for_critic, for_actor = torch.randn(2, 8, 1, generator=torch_generator(Streams.of(6).update))
    loss, *_ = fresh.sac.critic_loss(batch, for_critic, alpha)
    expected = torch.autograd.grad(loss, list(fresh.sac.critic.parameters()))
    torch.testing.assert_close(stepped_with(trained, 0), list(expected))
    fresh.sac.critic.load_state_dict(trained.sac.critic.state_dict())
    loss, _ = fresh.sac.actor_loss(batch, for_actor, alpha)
    expected = torch.autograd.grad(loss, list(fresh.sac.actor.parameters()))
    torch.testing.assert_close(stepped_with(trained, 1), list(expected))


class Waits(TorchDispatchMode):
    """Fails where a number leaves its tensor: on a GPU that would wait for everything before it."""

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        assert func not in (torch.ops.aten._local_scalar_dense.default, torch.ops.aten.item.default), func
        moved = (kwargs or {}).get("device")
        assert moved is None or torch.device(moved).type == "cpu"
        return func(*args, **(kwargs or {}))


@every_head
def test_an_update_never_waits_for_the_device(head: str) -> None:
    sac = sac_of(head)
    with Waits():
        for _ in range(2):
            batch = batch_of(head)
            sac.update(batch, torch.stack((noise_of(head), noise_of(head))))
        with pytest.raises(AssertionError):
            float(torch.ones(()))  # the mode sees it
