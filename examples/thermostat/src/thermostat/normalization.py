"""Normalizations of your own, of observations and of rewards."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from sac_lightning.core.ranks import Ranks
from sac_lightning.networks import ObsNormalization, RewardNormalization
from sac_lightning.networks.normalization import RunningStatistics
from sac_lightning.spaces import ObsSpec


@dataclass(frozen=True)
class Centred(ObsNormalization):
    """Takes the running mean from each observation."""

    def build(self, obs: ObsSpec) -> nn.Module:
        """Returns the module."""
        return CentredObs(obs)


class CentredObs(nn.Module):
    """[B, *obs] -> [B, *obs]."""

    def __init__(self, obs: ObsSpec) -> None:
        super().__init__()
        self.statistics = RunningStatistics(obs.shape)  # training adds every observation

    def forward(self, obs: Tensor) -> Tensor:
        """Returns centred observations."""
        return (obs - self.statistics.mean).float()


@dataclass(frozen=True)
class LargestReturn(RewardNormalization):
    """Divides rewards by the largest |discounted return| of training so far, at least 1."""

    def build(self) -> nn.Module:
        """Returns the module."""
        return ScaledByLargest()


class ScaledByLargest(nn.Module):
    """[B] -> [B]."""

    def __init__(self) -> None:
        super().__init__()
        self.statistics = Largest()

    def forward(self, reward: Tensor) -> Tensor:
        """Returns scaled rewards."""
        return reward / self.statistics.value


class Largest(nn.Module):
    """The largest absolute value seen so far: a buffer, so it is saved with the weights."""

    value: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("value", torch.ones(()))

    def add(self, values: Tensor, ranks: Ranks | None = None) -> None:
        """Takes the discounted returns of one iteration, [M]; changes the buffer in place."""
        largest = torch.cat((values.abs().to(self.value), self.value.view(1))).amax()
        self.value.copy_(largest if ranks is None else torch.stack(ranks.rows(largest)).amax())
