"""A replay buffer of your own."""

import torch

from sac_lightning.core.errors import require, whole
from sac_lightning.replay import BatchIndex, ReplayBuffer


class RecentReplay(ReplayBuffer):
    """Replays the newest `window` transitions alone, uniformly."""

    def __init__(
        self, capacity: int | None = None, n_step: int = 1, gamma: float = 0.99, *, window: int = 10_000
    ) -> None:
        super().__init__(capacity, n_step, gamma)
        ok = whole(window) >= 1
        require(ok, "replay.window", window, "must be a whole number of at least 1")
        self.window = int(window)

    def draw(self, batches: int, batch_size: int) -> BatchIndex:
        """Returns rows and weights of `batches` mini-batches, [G, B]."""
        shape, newest = (batches, batch_size), min(len(self), self.window)
        back = torch.randint(newest, shape, generator=self.generator, device=self.device)
        self.last_index = (self.added - 1 - back) % self.capacity
        return BatchIndex(self.last_index, torch.ones(shape, device=self.device))
