"""All that an export needs to know of an action space, one class for each: see `exported_action`."""

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from gymnasium import spaces
from torch import Tensor, nn

from sac_lightning.algorithm.policy import Policy
from sac_lightning.core.errors import ConfigError
from sac_lightning.heads import Categorical, Hybrid
from sac_lightning.heads.discrete import FactoredCategorical
from sac_lightning.spaces import (
    ActionSpec,
    Array,
    BoxAction,
    DiscreteAction,
    HybridAction,
    MultiDiscreteAction,
)


class ExportedAction(nn.Module, ABC):
    """Computes `action.to_env` in tensor operations, and describes and compares the env's actions.

    `forward` maps actions `[B, ...]` as the actor returns them to what `env.step` takes.
    """

    @abstractmethod
    def describe(self) -> dict[str, Any]:
        """Returns the space as JSON values."""

    @abstractmethod
    def space(self) -> spaces.Space[Any]:
        """Returns the space of the actions, as they were given to the env."""

    def difference(self, policy: Policy, obs: Array, found: Array, expected: Array) -> Array:
        """Returns how far `found` is from the policy's `expected` mode for `obs`, [B]: infinite if invalid.

        A number counts in the unit action box, against max(1, |action|) if it is unbounded; a choice by the
        gap between its logit and the best one.
        """
        return np.where((found == expected).reshape(len(obs), -1).all(-1), 0.0, np.inf)


class ExportedBox(ExportedAction):
    """Scales in float64, rounds to the env's dtype and clips to its bounds: BoxAction."""

    scale: Tensor
    centre: Tensor
    low: Tensor
    high: Tensor

    def __init__(self, action: BoxAction) -> None:
        super().__init__()
        self.action = action
        self.shape, self.dtype = action.shape, getattr(torch, action.dtype)
        for name in ("scale", "centre"):
            self.register_buffer(name, torch.tensor(getattr(action, name), dtype=torch.float64))
        self.bounds = [np.asarray(end, action.dtype) for end in (action.low, action.high)]
        for name, bound in zip(("low", "high"), self.bounds, strict=True):
            self.register_buffer(name, torch.tensor(bound.astype(np.float64)))

    def forward(self, action: Tensor) -> Tensor:
        """Maps [B, A] in the unit box to [B, *shape] within the bounds."""
        scaled = action.double() * self.scale + self.centre
        if self.dtype != torch.float64:
            scaled = scaled.float().to(self.dtype).double()  # to float16 by float32, as NumPy's side does
        # Not every runtime compares float16; in float64 its numbers and bounds are the same.
        clipped = torch.minimum(torch.maximum(scaled, self.low), self.high)
        return clipped.to(self.dtype).reshape(-1, *self.shape)

    def describe(self) -> dict[str, Any]:
        """Returns bounds, shape and dtype; JSON has no infinity, so None stands for a missing bound."""
        low, high = (
            [x if math.isfinite(x) else None for x in end] for end in (self.action.low, self.action.high)
        )
        shape = list(self.shape)
        return {"kind": "box", "shape": shape, "low": low, "high": high, "dtype": self.action.dtype}

    def space(self) -> spaces.Space[Any]:
        low, high = (bound.reshape(self.shape) for bound in self.bounds)
        return spaces.Box(low, high, self.shape, low.dtype.type)

    def difference(self, policy: Policy, obs: Array, found: Array, expected: Array) -> Array:
        action, (low, high) = self.action, self.bounds
        flat, wanted = (each.reshape(len(found), -1).astype(np.float64) for each in (found, expected))
        bounded = np.isfinite(low) & np.isfinite(high)
        unit = np.where(bounded, action.scale, np.maximum(1.0, np.abs(wanted)))
        difference = np.abs(flat - wanted)
        if action.dtype == "float16":  # its next number is no difference: it is a thousandth away
            step = np.spacing(np.maximum(abs(flat), abs(wanted)).astype(np.float16))
            difference = np.maximum(difference - step, 0.0)
        within = ((flat >= low) & (flat <= high)).all(-1)
        return np.where(within, (difference / unit).max(-1), np.inf)


class ExportedDiscrete(ExportedAction):
    """Counts from the env's `start`: DiscreteAction."""

    def __init__(self, action: DiscreteAction) -> None:
        super().__init__()
        self.action = action
        self.start, self.dtype = action.start, getattr(torch, action.dtype)

    def forward(self, action: Tensor) -> Tensor:
        """Maps [B] indices to [B] env actions."""
        return (action.long() + self.start).to(self.dtype)

    def describe(self) -> dict[str, Any]:
        return {"kind": "discrete", "n": self.action.n, "start": self.start, "dtype": self.action.dtype}

    def space(self) -> spaces.Space[Any]:
        return spaces.Discrete(self.action.n, start=self.start)

    def difference(self, policy: Policy, obs: Array, found: Array, expected: Array) -> Array:
        if not isinstance(policy.head, Categorical):
            return super().difference(policy, obs, found, expected)
        return _logit_gap(policy, obs, found[:, None] - self.start, (self.action.n,))


class ExportedMultiDiscrete(ExportedAction):
    """Counts each choice from its `start`: MultiDiscreteAction."""

    starts: Tensor

    def __init__(self, action: MultiDiscreteAction) -> None:
        super().__init__()
        self.action = action
        self.sizes, self.shape, self.enumerable = action.sizes, action.shape, action.enumerable
        self.dtype = getattr(torch, action.dtype)
        self.register_buffer("starts", torch.tensor(action.starts))

    def forward(self, action: Tensor) -> Tensor:
        """Maps [B] joint indices, or [B, Σ sizes] one-hot vectors, to [B, *shape] env actions."""
        if self.enumerable:
            choices: list[Tensor] = []
            for size in reversed(self.sizes):
                choices.insert(0, action % size)
                action = action // size
        else:
            choices = [part.argmax(dim=-1) for part in torch.split(action, list(self.sizes), dim=-1)]
        return (torch.stack(choices, dim=-1) + self.starts).to(self.dtype).reshape(-1, *self.shape)

    def describe(self) -> dict[str, Any]:
        lists = {"sizes": list(self.sizes), "starts": list(self.action.starts), "shape": list(self.shape)}
        return {"kind": "multi_discrete", **lists, "dtype": self.action.dtype}

    def space(self) -> spaces.Space[Any]:
        sizes, starts = (np.reshape(each, self.shape) for each in (self.sizes, self.action.starts))
        return spaces.MultiDiscrete(sizes, start=starts, dtype=np.dtype(self.action.dtype).type)

    def difference(self, policy: Policy, obs: Array, found: Array, expected: Array) -> Array:
        if not isinstance(policy.head, FactoredCategorical):
            return super().difference(policy, obs, found, expected)
        choices = found.reshape(len(obs), -1) - np.asarray(self.action.starts)
        return _logit_gap(policy, obs, choices, self.sizes)


class ExportedHybrid(ExportedAction):
    """Puts the choice before the numbers within their bounds: HybridAction."""

    def __init__(self, action: HybridAction) -> None:
        super().__init__()
        self.action, self.n = action, action.n
        self.numbers = ExportedBox(action.numbers)

    def forward(self, action: Tensor) -> Tensor:
        """Maps [B, n + A] to [B, 1 + A]."""
        choice = action[:, : self.n].argmax(dim=-1, keepdim=True)
        return torch.cat((choice.to(self.numbers.dtype), self.numbers(action[:, self.n :])), dim=-1)

    def describe(self) -> dict[str, Any]:
        numbers = self.numbers.describe()
        del numbers["shape"]
        return {**numbers, "kind": "hybrid", "n": self.n}

    def space(self) -> spaces.Space[Any]:
        """Returns a flat Box: the env's own Tuple or Dict is not in a checkpoint."""
        numbers = self.action.numbers
        dtype = np.dtype(numbers.dtype).type
        low, high = np.array([[0.0, *numbers.low], [self.n - 1, *numbers.high]], dtype)
        return spaces.Box(low, high, dtype=dtype)

    def difference(self, policy: Policy, obs: Array, found: Array, expected: Array) -> Array:
        """Returns the gap of the chosen logit, or the difference of the numbers if that is larger."""
        if not isinstance(policy.head, Hybrid):
            return super().difference(policy, obs, found, expected)
        numbers = self.numbers.difference(policy, obs, found[:, 1:], expected[:, 1:])
        # If two choices tie, each has numbers of its own; none of them may be out of bounds.
        compared = (found[:, 0] == expected[:, 0]) | np.isinf(numbers)
        gap = _logit_gap(policy, obs, found[:, :1], (self.n,))
        return np.maximum(gap, np.where(compared, numbers, 0.0))


def exported_action(action: ActionSpec) -> ExportedAction:
    """Returns the exported form of `action`. Raises ConfigError for a class that is not in EXPORTED."""
    for cls, exported in EXPORTED.items():
        if isinstance(action, cls):
            made: ExportedAction = exported(action)
            return made
    raise ConfigError("run", type(action).__name__, "actions of this space cannot be exported")


EXPORTED: dict[type[ActionSpec], Any] = {
    BoxAction: ExportedBox,
    DiscreteAction: ExportedDiscrete,
    MultiDiscreteAction: ExportedMultiDiscrete,
    HybridAction: ExportedHybrid,
}


def _logit_gap(policy: Policy, obs: Array, choices: Array, sizes: Sequence[int]) -> Array:
    """Returns the gap [B] between the logits of `choices` [B, D] and the best."""
    index = choices.astype(np.int64)
    if not ((index >= 0) & (index < np.asarray(sizes))).all():
        return np.full(len(obs), np.inf)
    with torch.inference_mode():
        features = policy.features(torch.as_tensor(obs, device=policy.device)).double().cpu().numpy()
    gap = np.zeros(len(obs))
    # Logits come first in the actor's output.
    for d, part in enumerate(np.split(features[:, : sum(sizes)], np.cumsum(sizes)[:-1], axis=-1)):
        gap = np.maximum(gap, part.max(-1) - np.take_along_axis(part, index[:, d, None], axis=-1)[:, 0])
    return gap
