"""The policy's mode as one module of plain tensor operations, from an observation to the env's action."""

import copy
import math
from typing import Any

from torch import Tensor, nn

from sac_lightning.algorithm.policy import Policy
from sac_lightning.export.env_action import env_action
from sac_lightning.heads import ActionHead
from sac_lightning.spaces import (
    ActionSpec,
    BoxAction,
    DiscreteAction,
    HybridAction,
    MultiDiscreteAction,
)

FORMAT = 1


class PolicyGraph(nn.Module):
    """obs [B, *obs] -> actions [B, ...] as `env.step` takes them; weights and bounds are its own copies."""

    def __init__(self, policy: Policy) -> None:
        super().__init__()
        self.actor = copy.deepcopy(policy.actor).cpu().requires_grad_(False)
        self.normalize_obs = copy.deepcopy(policy.normalize_obs)
        self.head: ActionHead = policy.head
        self.to_env = env_action(policy.action)
        self.eval()

    def forward(self, obs: Tensor) -> Tensor:
        """The mode, in the env's units."""
        if self.normalize_obs is not None:
            obs = self.normalize_obs(obs)
        actions: Tensor = self.to_env(self.head.mode(self.actor(obs)))
        return actions


def describe(policy: Policy, **about: Any) -> dict[str, Any]:
    """What a reader of the file needs to know of its input and output, as JSON can hold it."""
    told: dict[str, Any] = {"format": FORMAT, "obs_shape": list(policy.obs.shape)}
    told |= {"obs_dtype": policy.obs.dtype, "head": policy.head.name(), **about}
    told["action"] = _action(policy.action)
    return told


def _action(action: ActionSpec) -> dict[str, Any]:
    if isinstance(action, HybridAction):
        ends = {"low": list(action.numbers.low), "high": list(action.numbers.high)}
        return {"kind": "hybrid", "n": action.n, **ends, "dtype": action.numbers.dtype}
    assert isinstance(action, BoxAction | DiscreteAction | MultiDiscreteAction)
    about = {"dtype": action.dtype}
    if isinstance(action, BoxAction):
        # JSON has no infinity: null stands for a missing bound.
        bounds = {"low": action.low, "high": action.high}
        finite = {key: [x if math.isfinite(x) else None for x in ends] for key, ends in bounds.items()}
        return {"kind": "box", "shape": list(action.shape), **finite, **about}
    if isinstance(action, DiscreteAction):
        return {"kind": "discrete", "n": action.n, "start": action.start, **about}
    lists = {"sizes": list(action.sizes), "starts": list(action.starts)}
    return {"kind": "multi_discrete", "shape": list(action.shape), **lists, **about}
