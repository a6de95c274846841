"""The replay buffer: the last transitions, sampled uniformly."""

import math
import tempfile
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, NamedTuple, Self

import numpy as np
import torch
from jaxtyping import Float, Int, Shaped
from torch import Tensor

from sac_lightning.core.errors import ConfigError, number, require
from sac_lightning.core.fields import Whole, check_arguments
from sac_lightning.core.seeding import continue_generator
from sac_lightning.replay.episodes import NO_ROW, NextRows, broken_off
from sac_lightning.replay.ring import RingStorage, Rows, as_array
from sac_lightning.spaces import ActionSpec, ObsSpec
from sac_lightning.types import Batch

Storage = Literal["memory", "memmap"]


class BatchIndex(NamedTuple):
    """Says which transitions a mini-batch has: `[B]`, or `[G, B]` for the mini-batches of an iteration."""

    # Rows of the buffer.
    index: Int[Tensor, "*batch"]  # type: ignore[assignment]  # hides the method tuple.index
    weight: Float[Tensor, "*batch"]  # in the critic's loss


class ReplayBuffer:
    """Samples uniformly. Observations keep their dtype (uint8 stays uint8) and any shape.

    Images (uint8, three sizes or more) in the memory of the CPU are stored once: a `next_obs` is mostly
    another row's `obs`.

    `added` counts all transitions ever stored; transition i lies in row i mod capacity until it is
    overwritten. To sample otherwise, subclass this and override `report` and `draw`, which leaves its rows
    in `last_index` for `age`.

    Args:
        capacity: rows; None for as many as the run has env steps, at most a million.
        n_step: rewards of a transition's target, fewer where the episode ends before.
        gamma: discount per step, in [0, 1); or "auto": `follow_time_limit` sets it.
        frame_stack: frames along the first axis of an observation, as FrameStackObservation stacks them. Each
            is then stored once, not once for each observation that shows it.
        storage: where the rows lie: in `memory`, or in files (`memmap`) for buffers beyond it.
    """

    # Whether `draw` makes transitions, for which `allocate` gets scratch rows.
    makes_transitions: ClassVar[bool] = False
    # Whether its priorities belong to a Huber loss.
    needs_huber_loss: ClassVar[bool] = False
    # Gradient updates before the first env step, and the transitions for them, which lie behind the ring.
    offline_steps: int = 0
    prior_rows: int = 0

    @check_arguments("replay")
    def __init__(
        self,
        capacity: Annotated[int | None, Whole("[1, inf)")] = None,
        n_step: Annotated[int, Whole("[1, 100]")] = 1,
        gamma: float | str = 0.99,
        *,
        frame_stack: Annotated[int, Whole("[1, 100]")] = 1,
        storage: Storage = "memory",
    ) -> None:
        ok = gamma == "auto" or 0.0 <= number(gamma) < 1.0
        require(ok, "gamma", gamma, "must be a number in [0, 1), or auto")
        self.requested_capacity, self.n_step, self.requested_gamma = capacity, n_step, gamma
        self.frame_stack, self.storage = frame_stack, storage
        self.gamma = math.nan if gamma == "auto" else float(gamma)
        self.capacity = self.added = 0  # until `allocate`

    def follow_time_limit(self, env_steps: int | None) -> None:
        """Sets gamma="auto" to (T/5 − 1) / (T/5), within [0.95, 0.995]     (SimbaV2, 2502.15280; XQC)

        A fifth of an episode is then as far as the critics look ahead. Raises ConfigError without a limit.

        Args:
            env_steps: T, the time limit of an episode; None where the env has none.
        """
        allowed = "needs an env with a time limit: give a number in [0, 1), or set env.max_episode_steps"
        require(env_steps is not None, "replay.gamma", "auto", allowed)
        assert env_steps is not None
        self.gamma = min(max(1.0 - 5.0 / env_steps, 0.95), 0.995)

    def follow_env(self, env: Any, obs: ObsSpec, action: ActionSpec) -> None:
        """Takes from an env what sampling needs of it, before `allocate`; uniform replay needs nothing.

        Args:
            env: an env of the run, with its wrappers, which is closed afterwards.
            obs: shape and dtype of its observations.
            action: its action space.
        """
        allowed = f"must divide the first size of the observations, whose shape is {obs.shape}"
        require((*obs.shape, 1)[0] % self.frame_stack == 0, "replay.frame_stack", self.frame_stack, allowed)

    def check_normalization(self, is_raw: bool) -> None:
        """Raises ConfigError for updates before the first env step, with which running statistics begin."""
        allowed = "must be 0 with normalization, whose statistics begin with the first env step"
        require(is_raw or not self.offline_steps, "replay.offline_steps", self.offline_steps, allowed)

    # --- memory --------------------------------------------------------------------------------------

    def frames_of(self, obs: ObsSpec, device: torch.device) -> int:
        """Returns into how many frames an observation is divided to be stored once; 0 where it is not."""
        is_image = obs.dtype == "uint8" and len(obs.shape) >= 3
        may = device.type == "cpu" and not (self.makes_transitions or self.prior_rows)
        return self.frame_stack if may and (is_image or self.frame_stack > 1) else 0

    def files_in(self, folder: Path | None) -> Path | None:
        """Returns the folder of the files of storage=memmap: None means the system's temporary one."""
        return (folder or Path(tempfile.gettempdir())) if self.storage == "memmap" else None

    def allocate(
        self,
        capacity: int,
        obs: ObsSpec,
        action: ActionSpec,
        *,
        num_envs: int = 1,
        seed: int = 0,
        device: torch.device | str = "cpu",
        scratch: int = 0,
        folder: Path | None = None,
    ) -> None:
        """Makes an empty buffer.

        Args:
            capacity: rows.
            obs: shape and dtype of an observation.
            action: the action space.
            num_envs: envs that are stepped at once.
            seed: of the sampler.
            device: where the rows lie.
            scratch: rows behind the ring, for a `draw` that makes transitions of its own; there are also
                `prior_rows`.
            folder: of the files, with storage=memmap; they have no name, and none is left behind.
        """
        require(not math.isnan(self.gamma), "gamma", "auto", "needs `follow_time_limit` first: give a number")
        self.capacity, self.device, self.added = capacity, torch.device(device), 0
        self.scratch, extra_rows = scratch, scratch + self.prior_rows
        frames, folder = self.frames_of(obs, self.device), self.files_in(folder)
        self._ring = RingStorage(capacity, extra_rows, obs, action, self.device, frames, folder)
        # What `gather` reads, and the ring without the rows behind it.
        self.all_rows, self.store, self.frames = self._ring.all_rows, self._ring.store, self._ring.frames
        self._next = NextRows(capacity + extra_rows if self.n_step > 1 else 0, num_envs, self.device)
        self.next_row = self._next.tensor
        self._breaks: list[int] = []
        self.last_index = torch.zeros(0, 0, dtype=torch.int64)
        self._ones = torch.ones(0, 0)
        self.generator = torch.Generator(device=self.device).manual_seed(seed)

    def __len__(self) -> int:
        return min(self.added, self.capacity)

    @classmethod
    def of(cls, capacity: int, obs: ObsSpec, action: ActionSpec, **options: Any) -> Self:
        """Returns an allocated buffer of `capacity` rows: see `allocate` for the arguments."""
        made = cls(capacity)
        made.allocate(capacity, obs, action, **options)
        return made

    # --- writing -------------------------------------------------------------------------------------

    def add(
        self,
        obs: Rows,
        action: Rows,
        reward: Rows,
        next_obs: Rows,
        terminated: Rows,
        truncated: Rows | None = None,
        env: Rows | None = None,
        log_prob: Rows | None = None,
    ) -> None:
        """Stores M transitions, each argument `[M, ...]`; the oldest make room.

        They are arrays, or tensors, which best lie on the buffer's device.
        """
        count = len(reward)
        if count > self.capacity:
            allowed = f"must have room for a step of all envs: at least {count}"
            raise ConfigError("replay.capacity", self.capacity, allowed)
        truncated = np.zeros(count, np.bool_) if truncated is None else truncated
        env = np.arange(count, dtype=np.int16) if env is None else env
        log_prob = np.full(count, np.nan, np.float32) if log_prob is None else log_prob
        new = (obs, action, reward, next_obs, terminated, truncated, env, log_prob)
        self._ring.write(new, self.added)
        if self.n_step > 1:
            rows = (self.added + np.arange(count)) % self.capacity
            self._next.add(rows, as_array(env), as_array(terminated) | as_array(truncated))
        self.added += count

    def end_episodes(self) -> None:
        """Records that the next step of every env starts another episode, though the last one did not end."""
        self._next.end_episodes()
        self._breaks.append(self.added)

    # --- reading -------------------------------------------------------------------------------------

    def draw(self, batches: int, batch_size: int) -> BatchIndex:
        """Returns which transitions `batches` mini-batches have, `[G, B]`; valid until the next `add`.

        Raises RuntimeError where the buffer is empty.
        """
        if not self.added:
            raise RuntimeError("the replay buffer is empty: add transitions before sampling")
        shape = batches, batch_size
        return self._drawn(torch.randint(len(self), shape, generator=self.generator, device=self.device))

    def _drawn(self, index: Int[Tensor, "G B"]) -> BatchIndex:
        """Returns these rows with weights of 1, and keeps them for `age`."""
        self.last_index = index
        if self._ones.shape != index.shape:
            self._ones = torch.ones(index.shape, device=self.device)
        return BatchIndex(index, self._ones)

    @property
    def rows(self) -> list[Tensor]:
        """Returns the tensors that `gather` reads; `add` changes them in place."""
        return [*self._ring.tensors, self.next_row]

    def gather(self, batch: BatchIndex) -> Batch:
        """Returns the transitions of one mini-batch: R = Σ_j γʲ r_j and discount γᵏ (1 − terminated) over
        the k ≤ n_step steps that follow in the episode and are in the buffer.

        A compiled update contains this, so it uses tensor operations alone.
        """
        store, index = self.all_rows, batch.index
        reward = store.reward.index_select(0, index)
        discount = self.gamma * (~store.terminated.index_select(0, index)).float()
        last = index
        for _ in range(self.n_step - 1):
            following = self.next_row.index_select(0, last)
            continues = following != NO_ROW
            last = torch.where(continues, following, last)
            reward = reward + torch.where(continues, discount * store.reward.index_select(0, last), 0.0)
            bootstraps = (~store.terminated.index_select(0, last)).float()
            discount = torch.where(continues, discount * self.gamma * bootstraps, discount)
        return Batch(
            obs=store.obs.index_select(0, index),
            action=store.action.index_select(0, index),
            reward=reward,
            next_obs=store.next_obs.index_select(0, last),
            discount=discount,
            weight=batch.weight,
            index=index,
            log_prob=store.log_prob.index_select(0, index),
        )

    def newest_obs(self, count: int) -> Tensor:
        """Returns the obs of the last `count` transitions, [count, *obs]."""
        rows = torch.arange(self.added - count, self.added, device=self.device) % self.capacity
        return self.store.obs[rows]

    def sample(self, batch_size: int) -> Batch:
        """Returns one mini-batch, drawn with replacement."""
        batch = self.draw(1, batch_size)
        return self.gather(BatchIndex(batch.index[0], batch.weight[0]))

    def report(self, index: Int[Tensor, " B"], td_error: Float[Tensor, " B"]) -> None:
        """Takes the TD errors of a mini-batch after its update; uniform replay needs none."""

    def age(self) -> Shaped[Tensor, "G B"]:
        """Returns the env steps since each transition of the last `draw` was stored. Call it before `add`."""
        return (self.added - 1 - self.last_index) % self.capacity

    # --- state ---------------------------------------------------------------------------------------

    def state_dict(self) -> dict[str, Any]:
        """Returns the sampler's random state and the count; the transitions themselves are the journal's."""
        return {"added": self.added, "generator": self.generator.get_state(), "breaks": list(self._breaks)}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restores what `state_dict` returned, once the rows are there."""
        self.added = state["added"]
        continue_generator(self.generator, state["generator"])
        self._breaks = list(state["breaks"])
        if self.n_step > 1:  # the rows know their env and where episodes end
            numbers = np.arange(self.added - len(self), self.added)
            rows = numbers % self.capacity
            env = self.store.env.cpu().numpy()[rows]
            done = (self.store.terminated | self.store.truncated).cpu().numpy()[rows]
            self._next.restore(self.capacity, rows, env, done | broken_off(numbers, env, self._breaks))

    def empty_state(self, state: dict[str, Any]) -> dict[str, Any]:
        """Returns `state` without transitions, for a checkpoint that was saved without a journal."""
        return {**state, "added": 0, "breaks": []}
