"""Envs, collector and replay buffer together, saved and continued as one."""

import logging
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

import torch

from sac_lightning.collect.collector import Collector
from sac_lightning.collect.held_noise import check_noise_hold
from sac_lightning.collect.ray_actors import RayActors, RayOptions
from sac_lightning.collect.ray_collector import RayCollector
from sac_lightning.collect.torch_collector import TorchCollector, check_torch
from sac_lightning.core.errors import ConfigError, require
from sac_lightning.core.locking import FolderInUse, FolderLock
from sac_lightning.core.seeding import Streams
from sac_lightning.envs import EnvConfig
from sac_lightning.envs.snapshot.state import Guarantee, capture, guarantee, obstacle, restore
from sac_lightning.envs.torch_vector import TorchVectorEnv
from sac_lightning.replay import Journal, ReplayBuffer
from sac_lightning.spaces import ActionSpec, ObsSpec

log = logging.getLogger(__name__)


class Experience:
    """Owns the replay buffer of a run, and the envs and the collector that fill it.

    Args:
        env: which env.
        num_envs: how many, at least 1.
        specs: sizes of obs and action.
        replay: a buffer that is not allocated yet.
        capacity: its rows.
        most_drawn: the most transitions that one `draw` is asked for.
        seed: of the run.
        device: where the buffer's rows lie.
        journal_dir: folder of the replay journal, and of the files of storage=memmap. Every `state_dict`
            first writes the new transitions there. With None a state contains no transitions, and a run
            continued from it starts with an empty buffer.
        learning_starts, overlap, noise_hold_max: as for Collector.
        ray: says which actors step the envs; None to step them in this process.
    """

    def __init__(
        self,
        env: EnvConfig,
        num_envs: int,
        specs: tuple[ObsSpec, ActionSpec],
        *,
        replay: ReplayBuffer,
        capacity: int,
        most_drawn: int,
        seed: int,
        device: torch.device,
        journal_dir: Path | None,
        learning_starts: int,
        overlap: bool = False,
        noise_hold_max: int = 1,
        ray: RayOptions | None = None,
    ) -> None:
        obs, action = specs
        self._device = device
        self._streams = streams = Streams.of(seed)
        build: Any = env.build_vector
        if ray is not None:
            acting: dict[str, Any] = {"action": action, "noise_hold_max": noise_hold_max}
            build = partial(RayActors, env, ray, seed=streams.env, gamma=replay.gamma, **acting)
        self._build_envs = partial(build, num_envs)
        self._lock = None if journal_dir is None else _locked(journal_dir)
        self._open = True
        self._closed_at: dict[str, Any] | None = None  # the envs' state when `close` was called
        self.envs: Any = self._build_envs()  # a CheckedVectorEnv, a TorchVectorEnv or RayActors
        # What resuming promises for these envs; asked now, for workers that have ended do not answer.
        self.guarantee: Guarantee = guarantee(self.envs)
        self.replay = replay
        all_envs = num_envs * (1 if ray is None else ray.actors)
        options: dict[str, Any] = {"num_envs": all_envs, "seed": streams.replay, "device": device}
        options["folder"] = journal_dir
        if replay.makes_transitions:
            options["scratch"] = most_drawn
        replay.allocate(capacity, obs, action, **options)
        self.collector: Collector | TorchCollector | RayCollector
        if ray is not None:
            self.collector = RayCollector(self.envs, replay, learning_starts=learning_starts, ray=ray)
            if self.guarantee == "exact" and not ray.deterministic:
                self.guarantee = "unordered"
        else:
            of_tensors = isinstance(self.envs, TorchVectorEnv)
            own = {"device": device} if of_tensors else {"next_step_autoreset": env.autoreset == "next_step"}
            kind: Any = TorchCollector if of_tensors else Collector
            self.collector = kind(
                self.envs,
                action,
                replay,
                env_seed=streams.env,
                action_seed=streams.action,
                learning_starts=learning_starts,
                overlap=overlap,
                noise_hold_max=noise_hold_max,
                **own,
            )
        self.journal = Journal(journal_dir) if journal_dir is not None else None

    def state_dict(self) -> dict[str, Any]:
        """Returns plain data from which `load_state_dict` continues."""
        return {
            "collector": self.collector.state_dict(),  # first: it waits for a pending step
            "envs": capture(self.envs),
            "replay": self.replay.state_dict(),
            "journal": None if self.journal is None else list(self.journal.save(self.replay)),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continues from `state`. Raises DamagedFile when the journal is not what was written."""
        collector = state["collector"]
        envs = None if self.guarantee == "episode-restart" else state["envs"]
        if envs is not None:
            restore(self.envs, envs)
        else:
            self._restart_episodes(collector["env_steps"])
            log.warning("resume: episode-restart (%s has no state that can be saved)", obstacle(self.envs))
        self.collector.load_state_dict(collector, self._device, envs_restored=envs is not None)
        replay = state["replay"]
        if self.journal is None or state["journal"] is None:
            log.warning("the checkpoint has no replay journal: the buffer starts empty")
            replay = self.replay.empty_state(replay)
        else:
            self.journal.load(self.replay, state["journal"], replay["added"])
        self.replay.load_state_dict(replay)
        if envs is None:
            self.replay.end_episodes()

    def close(self) -> None:
        """Closes the envs; `reopen` continues their episodes where their state can be saved."""
        if not self._open:
            return
        self._open = False
        try:
            self.collector.wait()
            self._closed_at = capture(self.envs)
        except Exception as error:
            log.warning("the envs' state could not be kept (%s): a later fit starts new episodes", error)
        self.collector.close()
        self.envs.close()
        self._unlock()

    def abandon(self) -> None:
        """Closes the envs after an exception, which may have come in the middle of a step."""
        if self._open:
            self._open, self._closed_at = False, None
            self.collector.close(wait=False)
            with suppress(Exception):
                self.envs.abandon()
            self._unlock()

    def reopen(self) -> None:
        """Makes the envs again for a later fit, unless they are still open."""
        if self._open:
            return
        if self.journal is not None:
            self._lock = _locked(self.journal.directory)
        self.envs = self._build_envs()
        self.collector.reopen(self.envs)
        if self._closed_at is not None:
            self.envs.reset(seed=self._streams.env)
            restore(self.envs, self._closed_at)
        else:
            self._restart_episodes(self.collector.env_steps)
            self.replay.end_episodes()
        self._open, self._closed_at = True, None

    def _unlock(self) -> None:
        if self._lock is not None:
            self._lock.release()

    def _restart_episodes(self, env_steps: int) -> None:
        # The first reset would play the run's first episode again; this seed belongs to this moment.
        self.collector.restart_episodes(self._streams.env + env_steps)
        self.envs.env_steps = env_steps


def check_collector(
    env: EnvConfig, num_envs: int, collect_steps: int, overlap: bool, noise_hold_max: int, ray: RayOptions
) -> None:
    """Raises ConfigError for options of a collector that do not go together."""
    ray.check(env, num_envs, overlap)
    allowed = (
        "must be 1 with overlap: one step of the envs is under way while the updates of an iteration run"
    )
    require(not overlap or collect_steps == 1, "collect_steps", collect_steps, allowed)
    check_noise_hold(noise_hold_max)
    if env.vectorization == "torch":
        check_torch(num_envs, overlap)


def _locked(journal_dir: Path) -> FolderLock:
    """Returns the lock of a journal, for as long as envs are open: two fits would prune each other's rows."""
    journal_dir.mkdir(parents=True, exist_ok=True)
    lock = FolderLock(journal_dir)
    try:
        lock.acquire()
    except FolderInUse:
        allowed = "is in use by another fit: wait until it has ended, or name another folder"
        raise ConfigError("journal_dir", journal_dir, allowed) from None
    return lock
