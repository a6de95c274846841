"""A SAC of every head, ready for updates without a Trainer, and random transitions for it."""

from typing import Any

import numpy as np
import torch
from torch import Tensor

from sac_lightning.algorithm.sac import SAC
from sac_lightning.entropy import LearnedTemperature, TemperatureRule
from sac_lightning.heads import (
    ActionHead,
    Categorical,
    Hybrid,
    MultiCategorical,
    Normal,
    SampledMultiCategorical,
    TanhNormal,
)
from sac_lightning.networks import ActorConfig, CriticConfig
from sac_lightning.optim import OptimizerStep
from sac_lightning.replay import BatchIndex, ReplayBuffer
from sac_lightning.spaces import (
    ActionSpec,
    BoxAction,
    DiscreteAction,
    HybridAction,
    MultiDiscreteAction,
    ObsSpec,
)
from sac_lightning.types import Batch, WeightedActions


class Scaled(TanhNormal):
    """A head from outside, with an operation at which PyTorch 2.13 ends the process if called from C++."""

    def weighted_actions(self, features: Tensor, noise: Tensor) -> WeightedActions:
        (norm,) = torch._foreach_norm([features.mean()])
        return super().weighted_actions(features / (1.0 + norm), noise)


OBS = ObsSpec((3,), "float32")
SPACES: dict[str, tuple[ActionSpec, ActionHead]] = {
    "tanh_normal": (BoxAction((-1.0,) * 2, (1.0,) * 2, (2,)), TanhNormal(2)),
    "normal": (BoxAction((-float("inf"),) * 2, (float("inf"),) * 2, (2,)), Normal(2)),
    "categorical": (DiscreteAction(4), Categorical(4)),
    "multi_categorical": (MultiDiscreteAction((2, 3), (0, 0), (2,)), MultiCategorical((2, 3))),
    "sampled": (MultiDiscreteAction((17, 17), (0, 0), (2,)), SampledMultiCategorical((17, 17))),
    "scaled": (BoxAction((-1.0,) * 2, (1.0,) * 2, (2,)), Scaled(2)),
    "hybrid": (HybridAction(3, BoxAction((-1.0,) * 2, (1.0,) * 2, (2,))), Hybrid(3, 2)),
}


def sac_of(
    head: str,
    temperature: TemperatureRule | None = None,
    actor: ActorConfig | None = None,
    critic: CriticConfig | None = None,
    bfloat16: bool = False,
    device: str = "cpu",
    **options: Any,
) -> SAC:
    """A SAC whose targets lag behind its critics, as they do once it has learned something."""
    small = {"hidden_sizes": (16, 16)}
    actor, critic = actor or ActorConfig(**small), critic or CriticConfig(**small)
    action, its_head = SPACES[head]
    rule = temperature or LearnedTemperature()
    generator = torch.Generator().manual_seed(int(torch.randint(1000, ())))
    sac = SAC(OBS, action, its_head, rule, actor, critic, generator=generator, **options).to(device)
    if sac.target_critic is not None:
        with torch.no_grad():
            for weight in sac.target_critic.parameters():
                weight.mul_(0.7)
    owners: list[tuple[Any, Any]] = [(critic, sac.critic.parameters()), (actor, sac.actor.parameters())]
    if rule.learned:
        owners.append((rule, [sac.log_alpha]))
    steps = [
        OptimizerStep(owner.optimizer, owner.optimizer.build(weights, owner.lr)) for owner, weights in owners
    ]
    sac.prepare(steps, bfloat16=bfloat16)
    return sac


def batch_of(head: str, size: int = 8, gamma: float = 0.9) -> Batch:
    """Random transitions, a third of which end an episode."""
    rng = np.random.default_rng(torch.randint(1000, (1,)).numpy())
    action = torch.from_numpy(SPACES[head][0].random(rng, size))
    discount = gamma * (1.0 - (torch.rand(size) < 0.3).float())
    obs, next_obs, log_prob = torch.randn(size, 3), torch.randn(size, 3), torch.full((size,), torch.nan)
    return Batch(
        obs, action, torch.randn(size), next_obs, discount, torch.ones(size), torch.arange(size), log_prob
    )


def replay_of(
    head: str, size: int = 24, gamma: float = 0.9, device: str = "cpu", storage: Any = "memory"
) -> ReplayBuffer:
    """A buffer with random transitions of one env."""
    action = SPACES[head][0]
    rng = np.random.default_rng(torch.randint(1000, (1,)).numpy())
    replay = ReplayBuffer(gamma=gamma, storage=storage)
    replay.allocate(size, OBS, action, device=device)
    obs, next_obs = (rng.standard_normal((size, 3)).astype("f") for _ in range(2))
    ends, reward = rng.random(size) < 0.3, rng.standard_normal(size)
    replay.add(obs, action.random(rng, size), reward, next_obs, ends, env=np.zeros(size, np.int16))
    return replay


def index_of(replay: ReplayBuffer, size: int = 8) -> BatchIndex:
    """Some rows, one of them perhaps twice."""
    return BatchIndex(torch.randint(len(replay), (size,)), torch.ones(size))


def noise_of(head: str, size: int = 8) -> Tensor:
    """Noise of one action for each state."""
    return torch.randn(size, SPACES[head][1].noise_size)


def same(one: Any, other: Any) -> bool:
    """Whether plain data and tensors are equal, but for the names of the journal's files."""
    if isinstance(one, dict):
        return all(same(one[key], other[key]) for key in one if key != "journal")
    if isinstance(one, list | tuple):
        return len(one) == len(other) and all(map(same, one, other))
    return torch.equal(one, other) if isinstance(one, torch.Tensor) else bool(one == other)
