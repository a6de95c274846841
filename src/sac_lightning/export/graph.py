"""The policy's mode as one module of plain tensor operations, from an observation to the env's action."""

import copy
import math
from typing import Any

import torch
from torch import Tensor, nn

from sac_lightning.errors import ConfigError
from sac_lightning.heads import ActionHead
from sac_lightning.policy import Policy
from sac_lightning.spaces import ActionSpec, BoxAction, DiscreteAction

FORMAT = 1


class PolicyGraph(nn.Module):
    """obs [B, *obs] -> actions [B, ...] as `env.step` takes them; weights and bounds are its own copies."""

    def __init__(self, policy: Policy) -> None:
        super().__init__()
        self.actor = copy.deepcopy(policy.actor).cpu().requires_grad_(False)
        self.head: ActionHead = policy.head
        self.to_env = env_action(policy.action)
        self.eval()

    def forward(self, obs: Tensor) -> Tensor:
        """The mode, in the env's units."""
        actions: Tensor = self.to_env(self.head.mode(self.actor(obs)))
        return actions


class BoxToEnv(nn.Module):
    """BoxAction.to_env: scaled and clipped in float64, as NumPy does it, then rounded to float32."""

    scale: Tensor
    centre: Tensor
    low: Tensor
    high: Tensor

    def __init__(self, action: BoxAction) -> None:
        super().__init__()
        self.shape = action.shape
        for name in ("scale", "centre", "low", "high"):
            self.register_buffer(name, torch.tensor(getattr(action, name), dtype=torch.float64))

    def forward(self, action: Tensor) -> Tensor:
        """[B, A] in the unit box -> [B, *shape] within the bounds."""
        scaled = action.double() * self.scale + self.centre
        clipped = torch.minimum(torch.maximum(scaled, self.low), self.high)
        return clipped.float().reshape(-1, *self.shape)


class DiscreteToEnv(nn.Module):
    """DiscreteAction.to_env: the index from `start` on."""

    def __init__(self, action: DiscreteAction) -> None:
        super().__init__()
        self.start = action.start

    def forward(self, action: Tensor) -> Tensor:
        """[B] indices -> [B] env actions."""
        return action.long() + self.start


def env_action(action: ActionSpec) -> nn.Module:
    """`action.to_env` as tensor operations. Raises ConfigError for an action space of one's own."""
    if isinstance(action, BoxAction):
        return BoxToEnv(action)
    if isinstance(action, DiscreteAction):
        return DiscreteToEnv(action)
    raise ConfigError("run", type(action).__name__, "actions of this space cannot be exported")


def describe(policy: Policy, **about: Any) -> dict[str, Any]:
    """What a reader of the file needs to know of its input and output, as JSON can hold it."""
    told: dict[str, Any] = {"format": FORMAT, "obs_shape": list(policy.obs.shape)}
    told |= {"obs_dtype": policy.obs.dtype, "head": policy.head.name(), **about}
    action = policy.action
    if isinstance(action, BoxAction):
        # JSON has no infinity: null stands for a missing bound.
        bounds = {"low": action.low, "high": action.high}
        finite = {key: [x if math.isfinite(x) else None for x in ends] for key, ends in bounds.items()}
        told["action"] = {"kind": "box", "shape": list(action.shape), **finite}
    elif isinstance(action, DiscreteAction):
        told["action"] = {"kind": "discrete", "n": action.n, "start": action.start}
    return told
