"""Which transitions follow each other in an episode, found from the rows of a buffer."""

from collections.abc import Sequence

import numpy as np

from sac_lightning.spaces import Array

NO_ROW = -1


def next_rows(rows: Array, env: Array, over: Array) -> Array:
    """Returns the row of each transition's next one in its episode, NO_ROW where there is none, [M].

    Args:
        rows: of the transitions, in the order of collection, [M].
        env: of each, [M].
        over: whether it is the last of its episode, [M].
    """
    following = np.full(len(rows), NO_ROW)
    order = np.argsort(env, kind="stable")
    before, after = order[:-1], order[1:]
    goes_on = (env[before] == env[after]) & ~over[before]
    following[before[goes_on]] = rows[after[goes_on]]
    return following


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
