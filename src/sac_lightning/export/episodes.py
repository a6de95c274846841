"""Episodes out of a journal's rows.

The journal keeps transitions in the order of collection, the envs of a vector env in turn; neither an env's
number nor a truncation is stored. What is certain is this: two rows are joined into one episode only if the
first is not terminal and its next_obs is, bit for bit, the obs of the same env's next row.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np

from sac_lightning.spaces import Array

CHUNK = 4096  # rows compared at once
Beginning = Literal["reset", "unknown"]
End = Literal["terminated", "truncated", "checkpoint"]


class Rows(NamedTuple):
    """Transitions `first` … `first + M - 1` of a run, and where its N envs were after the last.

    `present` is each env's newest obs [N, *obs], `running` whether its episode goes on [N], `resetting`
    whether its next step only resets (NEXT_STEP).
    """

    obs: Array
    action: Array
    reward: Array
    next_obs: Array
    terminated: Array
    first: int
    present: Array
    running: Array
    resetting: Array
    next_step_autoreset: bool


@dataclass(frozen=True)
class Episode:
    """The rows of one episode, in order, and what is known of its ends."""

    rows: Array
    env: int
    begins: Beginning
    ends: End


def episodes(rows: Rows) -> list[Episode]:
    """All rows as episodes, in the order in which they begin."""
    envs = env_of_rows(rows)
    found = [episode for env in range(len(rows.present)) for episode in _of_env(rows, envs, env)]
    return sorted(found, key=lambda episode: int(episode.rows[0]))


def env_of_rows(rows: Rows) -> Array:
    """[M]: the number of the env that each row came from."""
    count, num_envs = len(rows.reward), len(rows.present)
    if rows.next_step_autoreset and num_envs > 1:
        return _walk_back(rows)
    return (rows.first + np.arange(count)) % num_envs  # every turn stored one row of each env


def _walk_back(rows: Rows) -> Array:
    """Turn by turn from the last: an env has no row of the turn in which it was reset.

    `want` is the next_obs that an env's row must have to lead to what came after it. A row that has
    another belongs to an env before this one, which must then have been reset, so that in the turn
    before it has a row again, whatever its next_obs.
    """
    envs = np.empty(len(rows.reward), dtype=np.int64)
    want: list[bytes | None] = [
        None if resetting else obs.tobytes()
        for obs, resetting in zip(rows.present, rows.resetting, strict=True)
    ]
    row = len(envs) - 1
    while row >= 0:
        for env in reversed(range(len(want))):
            if row < 0:
                break
            leads = not rows.terminated[row] and rows.next_obs[row].tobytes() == want[env]
            if want[env] is None or leads:
                envs[row] = env
                want[env] = rows.obs[row].tobytes()
                row -= 1
            else:
                want[env] = None
    return envs


def _of_env(rows: Rows, envs: Array, env: int) -> Iterator[Episode]:
    own = np.flatnonzero(envs == env)
    if not len(own):
        return
    cuts = np.flatnonzero(~_joined(rows, own)) + 1
    pieces = np.split(own, cuts)
    for number, piece in enumerate(pieces):
        begins: Beginning = "unknown" if number == 0 and rows.first > 0 else "reset"
        ends: End = "truncated"
        if rows.terminated[piece[-1]]:
            ends = "terminated"
        elif number == len(pieces) - 1 and rows.running[env]:
            ends = "checkpoint"
        yield Episode(piece, env, begins, ends)


def _joined(rows: Rows, own: Array) -> Array:
    """[len(own) - 1]: whether row k and k + 1 of one env belong to one episode."""
    same = np.empty(len(own) - 1, dtype=bool)
    for start in range(0, len(same), CHUNK):
        end = min(start + CHUNK, len(same))
        before, after = rows.next_obs[own[start:end]], rows.obs[own[start + 1 : end + 1]]
        same[start:end] = (_bytes(before) == _bytes(after)).all(-1)
    joined: Array = same & ~rows.terminated[own[:-1]]
    return joined


def _bytes(obs: Array) -> Array:
    """[B, bytes]: a NaN equals itself, and 0 is not −0."""
    return np.ascontiguousarray(obs).reshape(len(obs), -1).view(np.uint8)
