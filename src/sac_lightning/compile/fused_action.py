"""The next action of every env, chosen in the compiled graph of the update before it."""

from typing import Self

import torch
from jaxtyping import Float, Shaped
from torch import Tensor


class FusedAction:
    """Observations and noise from which an update chooses actions, and the actions once they are chosen.

    They are chosen by the updated policy, as when acting separately. Separately, an action takes several
    times as long, since an update leaves nothing of the policy in the processor's caches.
    """

    def __init__(self, obs: Shaped[Tensor, "E *obs"], noise: Float[Tensor, "E M"]) -> None:
        self.obs, self.noise = obs, noise
        self.chosen: tuple[Tensor, Tensor] | None = None

    def choose(self, action: Shaped[Tensor, "E *A"], log_prob: Float[Tensor, " E"]) -> None:
        """Takes the actions and their log-densities."""
        self.chosen = action, log_prob

    def state_dict(self) -> list[Tensor]:
        """Returns the chosen actions, if there are any."""
        return [each.contiguous() for each in self.chosen or ()]

    @classmethod
    def of_state(cls, state: list[Tensor]) -> Self:
        """Restores the chosen actions."""
        fused = cls(torch.empty(0), torch.empty(0, 0))
        if state:
            action, log_prob = (tensor.clone() for tensor in state)
            fused.choose(action, log_prob)
        return fused
