"""The next action of every env, chosen in the graph of the update before it."""

from typing import Self

import torch
from jaxtyping import Float, Shaped
from torch import Tensor


class Ahead:
    """What an update that also acts is given, and what it has chosen.

    The policy is that of after the update, as when acting by itself. But between two updates the
    processor's caches are full of the update: an action by itself takes several times what it adds to one.
    """

    def __init__(self, obs: Shaped[Tensor, "E *obs"], noise: Float[Tensor, "E M"]) -> None:
        self.obs, self.noise = obs, noise
        self.chosen: tuple[Tensor, Tensor] | None = None

    def choose(self, action: Shaped[Tensor, "E *A"], log_prob: Float[Tensor, " E"]) -> None:
        """The actions, and their log-densities."""
        self.chosen = action, log_prob

    def state_dict(self) -> list[Tensor]:
        """What was chosen, if anything was."""
        return [each.contiguous() for each in self.chosen or ()]

    @classmethod
    def of_state(cls, state: list[Tensor]) -> Self:
        """What gave `state`, as far as acting needs it."""
        ahead = cls(torch.empty(0), torch.empty(0, 0))
        if state:
            action, log_prob = (tensor.clone() for tensor in state)
            ahead.choose(action, log_prob)
        return ahead
