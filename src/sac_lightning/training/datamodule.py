"""ReplayDataModule: envs and their replay buffer as a LightningDataModule."""

import logging
import math
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import torch
from torch import Tensor

from sac_lightning.collect.collector import Collector, Episode
from sac_lightning.collect.evaluation import EVAL_SEED
from sac_lightning.collect.experience import Experience, check_collector
from sac_lightning.collect.loaders import Iteration, SizedLoader
from sac_lightning.collect.ray_actors import RayOptions
from sac_lightning.collect.ray_collector import RayCollector
from sac_lightning.core.errors import as_whole, require, whole
from sac_lightning.core.fields import Whole, check_arguments
from sac_lightning.core.ranks import own_state, seed_of_rank
from sac_lightning.envs import EnvConfig
from sac_lightning.envs.guard import Env
from sac_lightning.replay import ReplayBuffer, check_fits
from sac_lightning.replay.memory import GIB
from sac_lightning.spaces import ActionSpec, Array, ObsSpec
from sac_lightning.training.evaluation_data import EvaluationDataModule
from sac_lightning.training.lightning_package import Trainer
from sac_lightning.training.loops import allow_uneven_epochs
from sac_lightning.training.schedule import Schedule
from sac_lightning.training.trainer_options import check_share, rank_folder

log = logging.getLogger(__name__)


class ReplayDataModule(EvaluationDataModule):
    """Collects with the module's newest policy and yields the mini-batches that are due.

    One iteration of the loop is `num_envs * collect_steps` env steps and the updates that are due after them.
    One epoch is `steps_per_epoch` env steps, rounded up to whole iterations; one validation batch is one
    evaluation. The run ends with `total_env_steps`, even where the Trainer's `max_epochs` is larger. A fit
    that begins within an epoch completes it first; a later fit continues with the same replay buffer.

    Args:
        env: a config, the id of a registered env, an env, or a function that makes one.
        total_env_steps: env steps of the whole run, at least `learning_starts`.
        steps_per_epoch: env steps between two evaluations and checkpoints, at least one iteration.
        learning_starts: env steps with random actions before the first update.
        num_envs: envs that collect side by side; with actors, the envs of each actor.
        collect_steps: steps of each env in one iteration; with actors, in one block of one actor.
        iterations_per_batch: iterations in one training batch of Lightning; None for about 32 updates, so
            that Lightning's own work, a millisecond a batch, does not count. A batch has fewer where a
            step-based option of the Trainer needs it.
        overlap: step the envs in a thread while updates run, with the policy before these updates. Faster
            for slow envs; needs collect_steps=1.
        noise_hold_max: the most env steps for which an env's action noise is held, 1 for new noise at every
            step. Holds of k steps have probability ∝ k⁻² (FlashSAC: 16).
        actors: Ray actors that step envs of their own beside the updates (docs/scale.md); 0 for none.
        address: HOST:PORT of the Ray cluster of the actors; None for one that the fit starts here.
        publish_every: gradient updates after which the actors get new weights.
        deterministic: whether the blocks of actors are stored in a fixed order, so that a run resumes bit for
            bit; else as they come, which waits for no slow actor.
        utd_ratio: gradient updates for each env step after `learning_starts`, above 0 and at most 1000.
        batch_size: transitions in one mini-batch.
        replay: the replay buffer; None for a uniform one.
        eval_episodes: episodes of one evaluation; 0 disables evaluation, for an env that can exist once.
        eval_envs: the most envs that an evaluation makes for itself.
        eval_seed: episode i of an evaluation starts from `reset(seed=eval_seed + i)`, whatever `seed` is.
        eval_max_steps: the most steps of an evaluation's episode; None for the env's own end.
        seed: of the envs, the random actions and the sampled mini-batches, at least 0.
        device: where the replay buffer lies.
        journal_dir: the folder of the replay journal; None for none: a checkpoint then has no transitions.
    """

    @check_arguments()
    def __init__(
        self,
        env: EnvConfig | str | Env | Callable[..., Env],
        *,
        total_env_steps: Annotated[int, Whole("[1, inf)")] = 10_000,
        steps_per_epoch: Annotated[int, Whole("[1, inf)")] = 1_000,
        learning_starts: Annotated[int, Whole("[0, inf)")] = 1_000,
        num_envs: Annotated[int, Whole("[1, inf)")] = 1,
        collect_steps: Annotated[int, Whole("[1, inf)")] = 1,
        iterations_per_batch: Annotated[int | None, Whole("[1, inf)")] = None,
        overlap: bool = False,
        noise_hold_max: int = 1,
        actors: Annotated[int, Whole("[0, inf)")] = 0,
        address: str | None = None,
        publish_every: Annotated[int, Whole("[1, inf)")] = 10,
        deterministic: bool = False,
        utd_ratio: float = 1.0,
        batch_size: Annotated[int, Whole("[1, inf)")] = 256,
        replay: ReplayBuffer | None = None,
        eval_episodes: Annotated[int, Whole("[0, inf)")] = 10,
        eval_envs: Annotated[int, Whole("[1, inf)")] = 10,
        eval_seed: Annotated[int, Whole("[0, inf)")] = EVAL_SEED,
        eval_max_steps: int | None = None,
        seed: Annotated[int, Whole("[0, inf)")] = 0,
        device: torch.device | str = "cpu",
        journal_dir: Path | str | None = None,
    ) -> None:
        super().__init__(env, eval_episodes, eval_envs, eval_seed, eval_max_steps)
        self.total_env_steps, self.steps_per_epoch = total_env_steps, steps_per_epoch
        self.learning_starts, self.num_envs, self.collect_steps = learning_starts, num_envs, collect_steps
        self.overlap, self.noise_hold_max = overlap, as_whole(noise_hold_max)
        self.batch_size, self.seed, self.device = batch_size, seed, torch.device(device)
        self.journal_dir = None if journal_dir is None else Path(journal_dir)
        self.replay = ReplayBuffer() if replay is None else replay
        asked = self.replay.requested_capacity
        self.capacity = min(1_000_000, total_env_steps) if asked is None else asked
        self.schedule = Schedule(
            total_env_steps=total_env_steps,
            steps_per_epoch=steps_per_epoch,
            learning_starts=learning_starts,
            num_envs=num_envs,
            collect_steps=collect_steps,
            utd_ratio=utd_ratio,
            iterations_per_batch=iterations_per_batch,
            offline_updates=self.replay.offline_steps,
        )
        self.ray = RayOptions(
            actors=actors,
            address=address,
            publish_every=publish_every,
            deterministic=deterministic,
            updates_due=self.schedule.updates_due,
        )
        allowed = f"must be a whole number of at least num_envs={num_envs}"
        require(whole(self.capacity) >= num_envs, "replay.capacity", self.capacity, allowed)
        check_collector(self.env, num_envs, collect_steps, overlap, self.noise_hold_max, self.ray)
        allowed = f"must be memory with device={self.device}: files are for device=cpu"
        ok = self.replay.storage == "memory" or self.device.type == "cpu"
        require(ok, "replay.storage", self.replay.storage, allowed)
        self.env.check()
        if self.replay.requested_gamma == "auto":
            self.replay.follow_time_limit(self.env.time_limit)
        self.experience: Experience | None = None
        self._loader: SizedLoader[Iteration] | None = None

    def check_ranks(self, ranks: int) -> None:
        """Raise ConfigError unless envs and mini-batches can be shared out over so many processes."""
        ok = self.ray.actors == 0 or ranks == 1
        require(ok, "collector.actors", self.ray.actors, "must be 0 with several devices")
        check_share("num_envs", self.num_envs, ranks)
        check_share("batch_size", self.batch_size, ranks)

    def _read(self, env: Env, obs: ObsSpec, action: ActionSpec) -> None:
        self.replay.follow_env(env, obs, action)

    def check_memory(self, ranks: int = 1) -> int:
        """Return the bytes that the buffers of `ranks` need. Raise ConfigError where they are not free."""
        obs, action = self.specs
        frames, prior_rows = self.replay.frames_of(obs, self.device), self.replay.prior_rows
        folder = self.replay.files_in(self.journal_dir)
        return check_fits(self.capacity, obs, action, self.device, prior_rows, frames, folder, ranks)

    @property
    def max_epochs(self) -> int:
        """Epochs of the whole run, for the Trainer."""
        return math.ceil(self.total_env_steps / self.steps_per_epoch)

    @property
    def env_steps(self) -> int:
        """Env steps taken so far."""
        return self.experience.collector.env_steps * self._num_ranks if self.experience else 0

    def setup(self, stage: str) -> None:
        """Make the envs and allocate the buffer; for `validate` and `test` the evaluation envs alone."""
        if stage == "fit" and self.trainer is not None:
            self.check_ranks(self.trainer.world_size)
        super().setup(stage)
        if self._ranks is not None and self.device.type == "cuda":
            self.device = self.trainer.strategy.root_device
        if stage != "fit":
            return
        self._ending = False
        if self.trainer is not None:  # a program may load a buffer without one
            allow_uneven_epochs(self.trainer)
        self.schedule.total_env_steps = self.total_env_steps  # a later fit may have more
        self.schedule.start_fit(self.trainer)
        if self.experience is None:
            self.experience = self._make_experience()
        else:
            self.experience.reopen()
        if self.evaluator is not None and self.trainer is not None and self.trainer.limit_val_batches:
            self.evaluator.prepare()  # fails now, not after a whole epoch
        self.experience.collector.learning_starts = math.ceil(self.schedule.warm_up / self._num_ranks)

    def _make_experience(self) -> Experience:
        planned, batch_size = self.check_memory(self._num_ranks), self.batch_size // self._num_ranks
        if self.replay.requested_gamma == "auto":
            log.info("gamma=auto: %g, for episodes of %s env steps", self.replay.gamma, self.env.time_limit)
        once = ", images stored once" if self.replay.frames_of(self.specs[0], self.device) else ""
        where = self.replay.files_in(self.journal_dir) or self.device
        log.info("replay buffer: %d rows, %.3f GiB on %s%s", self.capacity, planned / GIB, where, once)
        experience = Experience(
            self.env,
            self.num_envs // self._num_ranks,
            self.specs,
            replay=self.replay,
            capacity=math.ceil(self.capacity / self._num_ranks),
            most_drawn=batch_size * math.ceil(1 + self.schedule.updates_per_iteration),
            learning_starts=self.learning_starts,
            seed=seed_of_rank(self.seed, self._rank),
            device=self.device,
            journal_dir=self.journal_dir and rank_folder(self.journal_dir, self._rank),
            overlap=self.overlap,
            noise_hold_max=self.noise_hold_max,
            ray=self.ray if self.ray.actors else None,
        )
        log.info("resume: %s", experience.guarantee)
        return experience

    def train_dataloader(self) -> SizedLoader[Iteration]:
        """Return the rest of the present epoch, or one empty batch where only its evaluation is left."""
        sizes = self.schedule.batch_sizes(self.trainer, self.env_steps)
        if self.evaluation_due and self.eval_episodes and self.trainer.limit_val_batches:
            sizes = [0]
        self._loader = SizedLoader(sizes, self._iterate)
        if self._ending:
            self._loader.stop()
        return self._loader

    def end_epoch_early(self) -> None:
        """End the present epoch after the running iteration, and any later one before its first."""
        self._ending = True
        if self._loader is not None:
            self._loader.stop()

    @property
    def epoch_cut_short(self) -> bool:
        """Whether a stop left env steps of the present epoch, or its evaluation, undone."""
        return self.evaluation_due or (self._loader is not None and self._loader.cut_short)

    def teardown(self, stage: Literal["fit", "validate", "test", "predict"] | str) -> None:
        super().teardown(stage)
        if stage == "fit" and self.experience is not None:
            self.experience.close()

    def on_exception(self, exception: BaseException) -> None:
        """Abandon all envs: one may be in the middle of a step. A later fit makes new ones."""
        with suppress(Exception):
            self.teardown("validate")
        if self.experience is not None:
            self.experience.abandon()

    def state_dict(self) -> dict[str, Any]:
        """Return what a checkpoint needs of envs, replay buffer and evaluation."""
        if self.experience is None:
            return {}
        counts = {"evaluation_due": self.evaluation_due, "offline_done": self.schedule.offline_done}
        state = {**self.experience.state_dict(), **counts}
        return state if self._ranks is None else self._ranks.states(state)

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue from a checkpoint; Lightning calls this after `setup`, for `validate` as well."""
        if self.experience is not None and (self.trainer is None or self.trainer.state.fn == "fit"):
            state = dict(own_state(state, self._ranks))
            self.experience.load_state_dict(state)
            self.evaluation_due = state.get("evaluation_due", False)
            self.schedule.offline_done = state.get("offline_done", 0)

    def _iterate(self) -> Iteration:
        assert self.experience is not None
        collector, replay, policy = self.experience.collector, self.replay, self._policy
        before, stored = self.env_steps, replay.added
        finished: list[Episode] = []
        discounted_returns: Array | Tensor = np.zeros(0)
        if offline := self.schedule.offline_left > 0:
            updates = self.schedule.count_offline()
        else:
            finished = collector.collect(policy, self.collect_steps)
            discounted_returns = collector.discounted_returns
            updates = self.schedule.updates_due(self.env_steps) - self.schedule.updates_due(before)
        fused_action = None
        # Of several updates only the last one would choose the next action.
        fuses = self.schedule.updates_per_iteration <= 1.0 and not self.overlap
        can_fuse = getattr(self.trainer.lightning_module, "can_fuse_action", False)
        if updates and fuses and can_fuse and isinstance(collector, Collector):
            fused_action = collector.fuse_action(policy, taken=not offline)
        return Iteration(
            env_steps=self.env_steps,
            finished=finished,
            stored=replay.added - stored,
            discounted_returns=discounted_returns,
            replay=replay,
            updates=updates,
            index=replay.draw(updates, self.batch_size // self._num_ranks) if updates else None,
            fused_action=fused_action,
            policy_lag=collector.policy_lag if isinstance(collector, RayCollector) else None,
        )


def data_of(trainer: Trainer) -> ReplayDataModule:
    """Return the data module of a trainer that is in `fit`."""
    data: ReplayDataModule = vars(trainer)["datamodule"]
    return data
