"""Noise of actions that is held for several env steps, so that exploration keeps its direction for a time."""

from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from sac_lightning.core.errors import require, whole

EXPONENT = 2  # of the zeta law
LONGEST = 1000


def check_noise_hold(longest: int) -> None:
    """Raises ConfigError unless noise can be held for up to `longest` env steps."""
    allowed = f"must be a whole number from 1 to {LONGEST}: env steps"
    require(1 <= whole(longest) <= LONGEST, "noise_hold_max", longest, allowed)


class HeldNoise:
    """Holds the noise of each env for k of its steps, P(k) ∝ k⁻² up to `longest`     (FlashSAC, 2604.04539)

    The law is the zeta law of εz-greedy exploration (2006.01782), cut off at `longest`. The end of an episode
    ends the hold. Each action still has the policy's probability: only its noise depends on the one before.

    Args:
        longest: the most env steps of a hold; 1 for new noise at every step.
        num_envs: E.
    """

    def __init__(self, longest: int, num_envs: int) -> None:
        check_noise_hold(longest)
        weight = np.arange(1, longest + 1, dtype=np.float64) ** -EXPONENT
        self._prob = weight / weight.sum()
        self._left = np.zeros(num_envs, dtype=np.int64)
        self._noise = torch.empty(0)

    def next(self, fresh: Float[Tensor, "E M"], rng: np.random.Generator) -> Float[Tensor, "E M"]:
        """Returns the noise of the next step of every env.

        Args:
            fresh: new noise, for the envs whose hold has ended.
            rng: draws how long they hold it.
        """
        if len(self._prob) == 1:
            return fresh
        ended = self._left == 0
        if ended.all():
            self._noise = fresh
        elif ended.any():
            self._noise = torch.where(torch.from_numpy(ended).to(fresh.device)[:, None], fresh, self._noise)
        if ended.any():
            self._left[ended] = 1 + rng.choice(len(self._prob), size=int(ended.sum()), p=self._prob)
        self._left -= 1
        return self._noise

    def end(self, envs: Bool[np.ndarray, " E"]) -> None:
        """Ends the hold of some envs: their next step has new noise."""
        self._left[envs] = 0

    def end_all(self) -> None:
        """Ends the hold of all envs."""
        self._left[:] = 0

    def state_dict(self) -> dict[str, Any] | None:
        """Returns the noise that is held, and for how long, as plain data; None where none ever is."""
        if len(self._prob) == 1:
            return None
        return {"left": torch.from_numpy(self._left.copy()), "noise": self._noise.clone()}

    def load_state_dict(self, state: dict[str, Any] | None, device: torch.device) -> None:
        """Restores what `state_dict` returned, on `device`."""
        if state is not None:
            self._left, self._noise = state["left"].numpy().copy(), state["noise"].to(device)
