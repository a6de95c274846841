"""Hindsight experience replay: transitions are replayed with goals that were reached later."""

from collections.abc import Callable, Iterable
from typing import Annotated, Any, ClassVar, Literal

import numpy as np
import torch
from torch import Tensor

from sac_lightning.core.errors import require
from sac_lightning.core.fields import Number, check_arguments
from sac_lightning.replay.buffer import BatchIndex, ReplayBuffer, Storage
from sac_lightning.replay.episodes import NO_ROW
from sac_lightning.spaces import ActionSpec, Array, ObsSpec

KEYS = ("achieved_goal", "desired_goal")
NEEDED = (
    "needs an env with compute_reward(achieved, desired, info) and Dict observations with achieved_goal and "
    "desired_goal, numbers or bits of one shape"
)


class HerReplay(ReplayBuffer):
    """Gives a share of the drawn transitions another goal, and its reward, as they are drawn     (1707.01495)

    The goal is one that the same episode achieved, as far as it is in the buffer: `future` takes it from this
    transition or a later one, `final` from the last one, `episode` from any, with equal probabilities. The
    reward is the env's `compute_reward(achieved [M, *goal], desired [M, *goal], {})`, with what the next
    observation has achieved. `terminated` is that of `compute_terminated`, called for each transition, where
    the env has that method; else it stays as it was. Wrappers of rewards have no effect on these rewards.

    Deviation: an episode that still runs gives goals too.

    Args:
        goal: which goals are taken.
        share: probability of another goal; 0.8 are four for each original one.
        capacity, gamma, storage: as for ReplayBuffer; there are no n-step returns.
    """

    makes_transitions: ClassVar[bool] = True

    @check_arguments("replay")
    def __init__(
        self,
        capacity: int | None = None,
        n_step: int = 1,
        gamma: float | str = 0.99,
        *,
        goal: Literal["future", "final", "episode"] = "future",
        share: Annotated[float, Number("[0, 1]")] = 0.8,
        storage: Storage = "memory",
    ) -> None:
        super().__init__(capacity, n_step, gamma, storage=storage)
        require(n_step == 1, "replay.n_step", n_step, "must be 1: the rewards between have other goals")
        self.goal, self.share = goal, share
        self.compute_reward: Callable[..., Any] | None = None
        self.compute_terminated: Callable[..., Any] | None = None

    def follow_env(self, env: Any, obs: ObsSpec, action: ActionSpec) -> None:
        """Takes the env's `compute_reward`, and `compute_terminated` if there is one.

        Raises ConfigError for an env without goals.
        """
        self._find_goals(obs)
        found = env.has_wrapper_attr("compute_reward")
        require(found, "replay", "her", f"{NEEDED}; this env has no compute_reward")
        self.compute_reward = env.get_wrapper_attr("compute_reward")
        if env.has_wrapper_attr("compute_terminated"):
            self.compute_terminated = env.get_wrapper_attr("compute_terminated")

    def _find_goals(self, obs: ObsSpec) -> None:
        places, start = {}, 0
        for part in obs.parts:
            places[part.name] = part, slice(start, start + part.size)
            start += part.size
        ok = all(key in places and places[key][0].is_number for key in KEYS)
        ok = ok and places[KEYS[0]][0].shape == places[KEYS[1]][0].shape
        found = ", ".join(places) or f"a Box of {obs.shape}"
        require(ok, "replay", "her", f"{NEEDED}; this env has {found}")
        (self._part, self._achieved), (_, self._desired) = places[KEYS[0]], places[KEYS[1]]

    def allocate(self, capacity: int, obs: ObsSpec, action: ActionSpec, **options: Any) -> None:
        self._find_goals(obs)
        super().allocate(capacity, obs, action, **options)
        self._forget_episodes(options.get("num_envs", 1))

    def _forget_episodes(self, num_envs: int) -> None:
        # The steps of each env are counted by themselves. Of each row: its env, its step there, and the first
        # and the last step of its episode, NO_ROW while that goes on.
        self._env, self._step, self._first, self._last = np.full((4, self.capacity), NO_ROW)
        self._row = np.full((num_envs, self.capacity), NO_ROW)  # of step i of an env, at i mod capacity
        # Of each env: its steps so far, the first one of its present episode, and the first in the buffer.
        self._steps, self._begun, self._oldest = np.zeros((3, num_envs), np.int64)

    # --- writing -------------------------------------------------------------------------------------

    def add(self, *args: Any, **fields: Any) -> None:
        first = self.added
        super().add(*args, **fields)
        self._record(np.arange(first, self.added))

    def end_episodes(self) -> None:
        super().end_episodes()
        self._end(range(len(self._steps)))

    def _record(self, numbers: Array) -> None:
        """Notes to which episodes these transitions belong, in the order in which they were added."""
        rows = torch.from_numpy(numbers % self.capacity).to(self.device)
        done = (self.store.terminated[rows] | self.store.truncated[rows]).tolist()
        for row, env, ends in zip(rows.tolist(), self.store.env[rows].tolist(), done, strict=True):
            if self._env[row] != NO_ROW:  # an older transition has made room
                self._oldest[self._env[row]] = self._step[row] + 1
            step = self._steps[env]
            self._env[row], self._step[row] = env, step
            self._first[row], self._last[row] = self._begun[env], NO_ROW
            self._row[env, step % self.capacity] = row
            self._steps[env] += 1
            if ends:
                self._end([env])

    def _end(self, envs: Iterable[int]) -> None:
        for env in envs:
            steps = np.arange(max(self._begun[env], self._oldest[env]), self._steps[env])
            self._last[self._row[env, steps % self.capacity]] = self._steps[env] - 1
            self._begun[env] = self._steps[env]

    def load_state_dict(self, state: dict[str, Any]) -> None:
        super().load_state_dict(state)
        self._forget_episodes(len(self._steps))
        begin = self.added - len(self)
        for end in [*(each for each in state["breaks"] if begin < each < self.added), self.added]:
            self._record(np.arange(begin, end))
            if end in state["breaks"]:
                self._end(range(len(self._steps)))
            begin = end

    # --- reading -------------------------------------------------------------------------------------

    def draw(self, batches: int, batch_size: int) -> BatchIndex:
        drawn = super().draw(batches, batch_size)
        count = batches * batch_size
        if count > self.scratch:
            raise RuntimeError(f"{count} transitions at once: `allocate` made {self.scratch} scratch rows")
        uniform = torch.rand((2, count), generator=self.generator, device=self.device, dtype=torch.float64)
        relabelled, place = uniform.cpu().numpy()
        index = drawn.index.reshape(-1).cpu().numpy().copy()  # `last_index` keeps the rows of the ring
        chosen = np.flatnonzero(relabelled < self.share)
        self._write_relabelled(index[chosen], self._goal_rows(index[chosen], place[chosen]))
        index[chosen] = self.capacity + np.arange(len(chosen))
        rows = torch.from_numpy(index).view(batches, batch_size).to(self.device)
        return BatchIndex(rows, drawn.weight)

    def _goal_rows(self, rows: Array, place: Array) -> Array:
        """Returns the rows whose next observations achieve the new goals of `rows`.

        `place` are numbers in [0, 1) that choose among the possible ones.
        """
        env = self._env[rows]
        last = np.where(self._last[rows] == NO_ROW, self._steps[env] - 1, self._last[rows])
        first = {
            "future": self._step[rows],
            "final": last,
            "episode": np.maximum(self._first[rows], self._oldest[env]),
        }[self.goal]
        step = first + (place * (last - first + 1)).astype(np.int64)
        goal_rows: Array = self._row[env, step % self.capacity]
        return goal_rows

    def _write_relabelled(self, rows: Array, goal_rows: Array) -> None:
        """Writes the transitions `rows` with other goals into the first scratch rows."""
        assert self.compute_reward is not None, "`follow_env` comes first"
        scratch = slice(self.capacity, self.capacity + len(rows))
        source, goals = (torch.from_numpy(each).to(self.device) for each in (rows, goal_rows))
        for column in self.all_rows:
            column[scratch] = column[source]
        goal = self.store.next_obs[goals][:, self._achieved]
        for column in (self.all_rows.obs, self.all_rows.next_obs):
            column[scratch, self._desired] = goal
        self.all_rows.log_prob[scratch] = torch.nan  # of the action at another obs
        pair = self._as_goal(self.all_rows.next_obs[scratch, self._achieved]), self._as_goal(goal)
        reward = np.asarray(self.compute_reward(*pair, {}), np.float32)
        if reward.shape != (len(rows),):
            shapes = f"compute_reward returned shape {reward.shape} for goals of shape {pair[0].shape}"
            raise ValueError(f"{shapes}; it must return one reward for each row")
        self.all_rows.reward[scratch] = torch.from_numpy(reward).to(self.device)
        if self.compute_terminated is not None:
            ends = [bool(self.compute_terminated(*each, {})) for each in zip(*pair, strict=True)]
            self.all_rows.terminated[scratch] = torch.tensor(ends, device=self.device, dtype=torch.bool)

    def _as_goal(self, numbers: Tensor) -> Array:
        goal = numbers.cpu().numpy().reshape(-1, *self._part.shape)
        return goal if self._part.dtype == "bool" else goal.astype(self._part.dtype)
