"""The way from the actor's own form of an action to the env's, as tensor operations."""

import numpy as np
import torch
from torch import Tensor, nn

from sac_lightning.core.errors import ConfigError
from sac_lightning.spaces import (
    ActionSpec,
    BoxAction,
    DiscreteAction,
    HybridAction,
    MultiDiscreteAction,
)


class BoxToEnv(nn.Module):
    """BoxAction.to_env: scaled in float64, rounded to the env's dtype, clipped to its bounds."""

    scale: Tensor
    centre: Tensor
    low: Tensor
    high: Tensor

    def __init__(self, action: BoxAction) -> None:
        super().__init__()
        self.shape, self.dtype = action.shape, getattr(torch, action.dtype)
        for name in ("scale", "centre"):
            self.register_buffer(name, torch.tensor(getattr(action, name), dtype=torch.float64))
        for name in ("low", "high"):
            ends = np.asarray(getattr(action, name), action.dtype)
            self.register_buffer(name, torch.tensor(ends.astype(np.float64)))

    def forward(self, action: Tensor) -> Tensor:
        """[B, A] in the unit box -> [B, *shape] within the bounds."""
        scaled = action.double() * self.scale + self.centre
        if self.dtype != torch.float64:
            scaled = scaled.float().to(self.dtype).double()  # to float16 by float32, as NumPy's side does
        # Not every runtime compares float16; in float64 its numbers and bounds are the same.
        clipped = torch.minimum(torch.maximum(scaled, self.low), self.high)
        return clipped.to(self.dtype).reshape(-1, *self.shape)


class DiscreteToEnv(nn.Module):
    """DiscreteAction.to_env: the index from `start` on."""

    def __init__(self, action: DiscreteAction) -> None:
        super().__init__()
        self.start, self.dtype = action.start, getattr(torch, action.dtype)

    def forward(self, action: Tensor) -> Tensor:
        """[B] indices -> [B] env actions."""
        return (action.long() + self.start).to(self.dtype)


class MultiDiscreteToEnv(nn.Module):
    """MultiDiscreteAction.to_env: each choice from its `start` on."""

    starts: Tensor

    def __init__(self, action: MultiDiscreteAction) -> None:
        super().__init__()
        self.sizes, self.shape, self.enumerable = action.sizes, action.shape, action.enumerable
        self.dtype = getattr(torch, action.dtype)
        self.register_buffer("starts", torch.tensor(action.starts))

    def forward(self, action: Tensor) -> Tensor:
        """[B] joint indices, or [B, Σ sizes] one-hot vectors -> [B, *shape] env actions."""
        choices = self._digits(action) if self.enumerable else self._largest(action)
        return (torch.stack(choices, dim=-1) + self.starts).to(self.dtype).reshape(-1, *self.shape)

    def _digits(self, index: Tensor) -> list[Tensor]:
        choices = []
        for size in reversed(self.sizes):
            choices.append(index % size)
            index = index // size
        return choices[::-1]

    def _largest(self, one_hot: Tensor) -> list[Tensor]:
        return [part.argmax(dim=-1) for part in torch.split(one_hot, list(self.sizes), dim=-1)]


class HybridToEnv(nn.Module):
    """HybridAction.to_env: the choice, then the numbers within their bounds."""

    def __init__(self, action: HybridAction) -> None:
        super().__init__()
        self.n = action.n
        self.numbers = BoxToEnv(action.numbers)

    def forward(self, action: Tensor) -> Tensor:
        """[B, n + A] -> [B, 1 + A]."""
        choice = action[:, : self.n].argmax(dim=-1, keepdim=True)
        return torch.cat((choice.to(self.numbers.dtype), self.numbers(action[:, self.n :])), dim=-1)


def env_action(action: ActionSpec) -> nn.Module:
    """`action.to_env` as tensor operations. Raises ConfigError for an action space of one's own."""
    if isinstance(action, BoxAction):
        return BoxToEnv(action)
    if isinstance(action, DiscreteAction):
        return DiscreteToEnv(action)
    if isinstance(action, MultiDiscreteAction):
        return MultiDiscreteToEnv(action)
    if isinstance(action, HybridAction):
        return HybridToEnv(action)
    raise ConfigError("run", type(action).__name__, "actions of this space cannot be exported")
