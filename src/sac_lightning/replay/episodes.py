"""Which transitions follow each other in an episode."""

from collections.abc import Sequence

import numpy as np
import torch

from sac_lightning.spaces import Array

NO_ROW = -1


class NextRows:
    """Keeps, for n-step returns, the row of each transition's next one in its episode.

    Args:
        rows: of the buffer.
        num_envs: envs that are stepped at once.
        device: where the buffer lies.
    """

    def __init__(self, rows: int, num_envs: int, device: torch.device) -> None:
        self.tensor = torch.full((rows,), NO_ROW, device=device)  # NO_ROW where there is none (yet)
        self._newest = np.full(num_envs, NO_ROW)  # of each env, if its episode continues

    def add(self, rows: Array, env: Array, done: Array) -> None:
        """Records a step of some envs: their rows, and whether their episodes end with it, [M] each."""
        before = self._newest[env]
        known = (before != NO_ROW) & ~np.isin(before, rows)  # a small ring may have just overwritten it
        self.tensor[torch.from_numpy(rows)] = NO_ROW
        self._write(before[known], rows[known])
        self._newest[env] = np.where(done, NO_ROW, rows)

    def end_episodes(self) -> None:
        """Records that the next step of every env starts another episode."""
        self._newest[:] = NO_ROW

    def link(self, rows: Array, env: Array, done: Array) -> None:
        """Records transitions of many steps, in the order of collection.

        Args:
            rows: of the transitions, [M].
            env: of each, [M].
            done: whether it is the last of its episode, [M].
        """
        following = np.full(len(rows), NO_ROW)
        order = np.argsort(env, kind="stable")
        before, after = order[:-1], order[1:]
        continues = (env[before] == env[after]) & ~done[before]
        following[before[continues]] = rows[after[continues]]
        self._write(rows, following)

    def restore(self, capacity: int, rows: Array, env: Array, done: Array) -> None:
        """Records all transitions of a ring in place of those before; arguments as for `link`."""
        self.tensor[:capacity] = NO_ROW
        self.link(rows, env, done)
        self.end_episodes()
        self._newest[env] = np.where(done, NO_ROW, rows)  # the last of equal indices counts

    def _write(self, rows: Array, following: Array) -> None:
        self.tensor[torch.from_numpy(rows)] = torch.from_numpy(following).to(self.tensor.device)


def broken_off(numbers: Array, env: Array, breaks: Sequence[int]) -> Array:
    """Returns which transitions are the last of their env before one of `breaks`, [M].

    Args:
        numbers: of the transitions, rising, [M].
        env: of each, [M].
        breaks: numbers before which the episodes of all envs were broken off.
    """
    found = np.zeros(len(numbers), np.bool_)
    for which in np.unique(env):
        own = np.flatnonzero(env == which)
        last = np.searchsorted(numbers[own], breaks) - 1
        found[own[last[last >= 0]]] = True
    return found
