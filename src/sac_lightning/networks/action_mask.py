"""Action masks: the actor gives no probability to actions that the env does not allow in a state."""

import math

import torch
from jaxtyping import Bool, Float, Shaped
from torch import Tensor, nn

from sac_lightning.spaces import ObsSpec
from sac_lightning.types import Scalar

# exp of it is 0, and 0 times it is 0: with −∞ an entropy would be NaN.
FORBIDDEN = -1e8


class ActionMask(nn.Module):
    """Reads the allowed actions from the rows of `obs`, and takes all others out of a policy's logits.

    It is made where a part of `obs` is a mask. Of a choice without any allowed action, as behind an episode's
    end, all actions are allowed.
    """

    def __init__(self, obs: ObsSpec) -> None:
        super().__init__()
        place = [len(part.mask_of) > 0 for part in obs.parts].index(True)
        self._sizes = list(obs.parts[place].mask_of)
        self._start = sum(part.size for part in obs.parts[:place])

    def allowed(self, obs: Shaped[Tensor, "*batch O"]) -> Bool[Tensor, "*batch L"]:
        """Returns which values of each choice are allowed."""
        bits = obs[..., self._start : self._start + sum(self._sizes)] > 0.5
        parts = torch.split(bits, self._sizes, dim=-1)
        return torch.cat([part | ~part.any(dim=-1, keepdim=True) for part in parts], dim=-1)

    def forward(
        self, features: Float[Tensor, "*batch F"], obs: Shaped[Tensor, "*batch O"]
    ) -> Float[Tensor, "*batch F"]:
        """Returns a head's features, whose first numbers are the logits of its choices."""
        logits, rest = features.tensor_split([sum(self._sizes)], dim=-1)
        return torch.cat((torch.where(self.allowed(obs), logits, FORBIDDEN), rest), dim=-1)

    def share(self, obs: Shaped[Tensor, "B O"]) -> Scalar:
        """Returns E_s[ Σ_d log n_d(s) ] / Σ_d log n_d, for n_d(s) allowed values of choice d.

        It is the largest entropy of the allowed actions, on average, as a share of that of all actions.
        """
        parts = torch.split(self.allowed(obs), self._sizes, dim=-1)
        nats = torch.stack([part.float().sum(dim=-1).log() for part in parts]).sum(dim=0)
        return nats.mean() / math.fsum(math.log(size) for size in self._sizes)
