"""ReplayDataModule: envs and their replay buffer as a LightningDataModule."""

import logging
import math
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import torch
from torch import Tensor

from sac_lightning.algorithm.policy import Policy
from sac_lightning.collect.collector import Collector, Episode
from sac_lightning.collect.evaluation import (
    EVAL_SEED,
    NO_TIME_LIMIT,
    Evaluation,
    EvaluationStopped,
    Evaluator,
    check_max_steps,
    has_time_limit,
)
from sac_lightning.collect.experience import Experience
from sac_lightning.collect.held_noise import check_noise_hold
from sac_lightning.collect.loaders import Iteration, SizedLoader
from sac_lightning.collect.ray_actors import RayOptions
from sac_lightning.collect.ray_collector import RayCollector
from sac_lightning.collect.torch_collector import check_torch
from sac_lightning.core.errors import as_whole, number, require, whole
from sac_lightning.core.fields import Whole, check_arguments
from sac_lightning.core.ranks import Ranks, own_state, seed_of_rank
from sac_lightning.envs import EnvConfig, action_spec, env_config, obs_spec
from sac_lightning.envs.guard import Env
from sac_lightning.private.lightning import settle_epochs
from sac_lightning.replay import ReplayBuffer, check_fits
from sac_lightning.replay.memory import GIB
from sac_lightning.spaces import ActionSpec, Array, ObsSpec
from sac_lightning.training.lightning_package import LightningDataModule, Trainer
from sac_lightning.training.loops import allow_uneven_epochs, fast_dev_run
from sac_lightning.training.trainer_options import (
    StepOptions,
    check_share,
    fast_dev_run_sizes,
    ranks_of,
)

log = logging.getLogger(__name__)
UPDATES_PER_BATCH = 32
MOST_UPDATES = 1000  # per env step; published work stays below a hundred


class ReplayDataModule(LightningDataModule):
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

    trainer: Any  # None outside of a fit

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
        super().__init__()
        self.env = env_config(env)
        self.total_env_steps, self.steps_per_epoch = total_env_steps, steps_per_epoch
        self.learning_starts, self.num_envs, self.collect_steps = learning_starts, num_envs, collect_steps
        self.overlap, self.noise_hold_max = overlap, as_whole(noise_hold_max)
        self.ray = RayOptions(
            actors=actors,
            address=address,
            publish_every=publish_every,
            deterministic=deterministic,
            updates_due=self.updates_due,
        )
        self.utd_ratio, self.batch_size = utd_ratio, batch_size
        self.eval_episodes, self.eval_envs, self.eval_seed = eval_episodes, eval_envs, eval_seed
        self.eval_max_steps = check_max_steps("eval_max_steps", eval_max_steps)
        self.seed, self.device = seed, torch.device(device)
        self.journal_dir = None if journal_dir is None else Path(journal_dir)
        self.replay = ReplayBuffer() if replay is None else replay
        asked = self.replay.requested_capacity
        self.capacity = min(1_000_000, total_env_steps) if asked is None else asked
        self._check_together()
        updates = max(1.0, utd_ratio * self._steps_per_iteration)
        self.iterations_per_batch = iterations_per_batch or max(1, int(UPDATES_PER_BATCH // updates))
        self.env.check()
        if self.replay.requested_gamma == "auto":
            self.replay.follow_time_limit(self.env.time_limit)
        self._ranks: Ranks | None = None
        self._specs: tuple[ObsSpec, ActionSpec] | None = None
        self.experience: Experience | None = None
        self.evaluator: Evaluator | None = None
        self._loader: SizedLoader[Iteration] | None = None
        self._options: StepOptions | None = None
        self._ending, self._has_time_limit = False, True
        self.stop_requested: Callable[[], bool] = bool  # False; asked at every step of an evaluation
        self.evaluation_due = False  # a stop interrupted the present epoch's evaluation
        self._warm_up = self.learning_starts  # of the present fit
        self._offline_steps, self._offline_done = self.replay.offline_steps, 0  # updates on prior data
        self._offline_at_once = UPDATES_PER_BATCH

    def _check_together(self) -> None:
        allowed = f"must be a number above 0 and at most {MOST_UPDATES}: gradient updates per env step"
        require(0.0 < number(self.utd_ratio) <= MOST_UPDATES, "utd_ratio", self.utd_ratio, allowed)
        steps, per_epoch = self._steps_per_iteration, self.steps_per_epoch
        allowed = f"must be at least num_envs · collect_steps = {steps}"
        require(steps <= per_epoch, "steps_per_epoch", per_epoch, allowed)
        allowed = f"must be a whole number of at least num_envs={self.num_envs}"
        require(whole(self.capacity) >= self.num_envs, "replay.capacity", self.capacity, allowed)
        total, first = self.total_env_steps, self.learning_starts
        allowed = f"must be at least learning_starts={first}, or nothing is ever learned"
        require(total >= first, "total_env_steps", total, allowed)
        self.ray.check(self.env, self.num_envs, self.overlap)
        ok = not self.overlap or self.collect_steps == 1
        allowed = (
            "must be 1 with overlap: one step of the envs is under way while the updates of an iteration run"
        )
        require(ok, "collect_steps", self.collect_steps, allowed)
        check_noise_hold(self.noise_hold_max)
        allowed = f"must be memory with device={self.device}: files are for device=cpu"
        ok = self.replay.storage == "memory" or self.device.type == "cpu"
        require(ok, "replay.storage", self.replay.storage, allowed)
        if self.env.vectorization == "torch":
            check_torch(self.num_envs, self.overlap)

    def check_ranks(self, ranks: int) -> None:
        """Raise ConfigError unless envs and mini-batches can be shared out over so many processes."""
        ok = self.ray.actors == 0 or ranks == 1
        require(ok, "collector.actors", self.ray.actors, "must be 0 with several devices")
        check_share("num_envs", self.num_envs, ranks)
        check_share("batch_size", self.batch_size, ranks)

    @property
    def specs(self) -> tuple[ObsSpec, ActionSpec]:
        """Spaces of obs and actions, read once from an env that is closed again."""
        if self._specs is None:
            with closing(self.env.build()) as probe:
                self._specs = obs_spec(probe.observation_space), action_spec(probe.action_space)
                self._has_time_limit = has_time_limit(probe)
                self.replay.follow_env(probe, *self._specs)
        return self._specs

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

    def updates_due(self, env_steps: int) -> int:
        """Return the gradient updates due after `env_steps` env steps; the warm-up has none.

        Those on prior data come before the first env step.
        """
        return self._offline_steps + math.floor(self.utd_ratio * max(0, env_steps - self._warm_up) + 1e-9)

    def setup(self, stage: str) -> None:
        """Make the envs and allocate the buffer; for `validate` and `test` the evaluation envs alone."""
        self._ranks, ranks = ranks_of(self.trainer), 1
        if self._ranks is not None:
            ranks = self._ranks.size
            if stage == "fit":
                self.check_ranks(ranks)
            if self.device.type == "cuda":
                self.device = self.trainer.strategy.root_device
        obs, _ = self.specs
        tries = fast_dev_run(self.trainer)
        self.teardown("validate")
        if self.eval_episodes:
            episodes = min(tries or self.eval_episodes, self.eval_episodes)
            # Tests have episodes of their own: evaluations may have chosen the best checkpoint.
            first = self.eval_seed + (self.eval_episodes if stage == "test" else 0)
            seeds = range(first, first + episodes)[self._rank :: ranks]
            at_once = math.ceil(self.eval_envs / ranks)
            self.evaluator = Evaluator(self.env.build, seeds, at_once, self.eval_max_steps) if seeds else None
            if self.eval_max_steps is None and not self._has_time_limit:
                log.warning(NO_TIME_LIMIT, self.env.id, "eval_max_steps=1000")
        if stage != "fit":
            return
        self._ending, self._options = False, None
        if self.trainer is not None:  # a program may load a buffer without one
            allow_uneven_epochs(self.trainer)
        self._warm_up, self._offline_steps = self.learning_starts, self.replay.offline_steps
        if tries:
            self._warm_up, self._offline_steps = min(self._warm_up, self._steps_per_iteration), 0
        if self.experience is None:
            planned = self.check_memory(ranks)
            if self.replay.requested_gamma == "auto":
                log.info(
                    "gamma=auto: %g, for episodes of %s env steps", self.replay.gamma, self.env.time_limit
                )
            once = ", images stored once" if self.replay.frames_of(obs, self.device) else ""
            where = self.replay.files_in(self.journal_dir) or self.device
            log.info("replay buffer: %d rows, %.3f GiB on %s%s", self.capacity, planned / GIB, where, once)
            self.experience = Experience(
                self.env,
                self.num_envs // ranks,
                self.specs,
                replay=self.replay,
                capacity=math.ceil(self.capacity / ranks),
                most_drawn=self._own_batch_size * math.ceil(1 + self.utd_ratio * self._steps_per_iteration),
                learning_starts=self.learning_starts,
                seed=seed_of_rank(self.seed, self._rank),
                device=self.device,
                journal_dir=self.journal_dir and rank_folder(self.journal_dir, self._rank),
                overlap=self.overlap,
                noise_hold_max=self.noise_hold_max,
                ray=self.ray if self.ray.actors else None,
            )
            log.info("resume: %s", self.experience.guarantee)
        else:
            self.experience.reopen()
        if self.evaluator is not None and self.trainer is not None and self.trainer.limit_val_batches:
            self.evaluator.prepare()  # fails now, not after a whole epoch
        self.experience.collector.learning_starts = math.ceil(self._warm_up / ranks)

    def train_dataloader(self) -> SizedLoader[Iteration]:
        """Return the rest of the present epoch, or one empty batch where only its evaluation is left."""
        if self._options is None:
            settle_epochs(self.trainer)
            self._options = StepOptions.of(self.trainer)
            if self.utd_ratio * self._steps_per_iteration > 1.0:
                self._options.check(self._global_steps(self.total_env_steps))
        done = 0 if self._options.limits_epochs else self.env_steps % self.steps_per_epoch
        epoch_ends = self.env_steps - done + self.steps_per_epoch
        steps = self._global_steps(min(epoch_ends, self.total_env_steps))
        sizes = self._options.batch_sizes(self.iterations_per_batch, steps)
        # Its options may name any update; otherwise an iteration is as long as a batch.
        self._offline_at_once = 1 if self._options.every or self._options.max_steps else UPDATES_PER_BATCH
        sizes = [1] * math.ceil(self._offline_left / self._offline_at_once) + sizes
        if tries := fast_dev_run(self.trainer):
            sizes = fast_dev_run_sizes(tries, self.utd_ratio * self._steps_per_iteration)
        if self.evaluation_due and self.eval_episodes and self.trainer.limit_val_batches:
            sizes = [0]
        self._loader = SizedLoader(sizes, self._iterate)
        if self._ending:
            self._loader.stop()
        return self._loader

    def _global_steps(self, end: int) -> Iterator[int]:
        """Yield `trainer.global_step` now and after each iteration until `end` env steps."""
        begin = self.trainer.global_step + self._offline_left - self.updates_due(self.env_steps)
        every = self._steps_per_iteration
        return (begin + self.updates_due(now) for now in range(self.env_steps, end + every, every))

    def end_epoch_early(self) -> None:
        """End the present epoch after the running iteration, and any later one before its first."""
        self._ending = True
        if self._loader is not None:
            self._loader.stop()

    @property
    def epoch_cut_short(self) -> bool:
        """Whether a stop left env steps of the present epoch, or its evaluation, undone."""
        return self.evaluation_due or (self._loader is not None and self._loader.cut_short)

    def val_dataloader(self) -> SizedLoader[Evaluation | None] | list[Any]:
        """Return a loader of one evaluation of the present policy; no loader where evaluation is off."""
        return SizedLoader([1], self._evaluate) if self.eval_episodes else []

    def test_dataloader(self) -> SizedLoader[Evaluation | None] | list[Any]:
        """Return a loader of one evaluation, on the episodes after those of `val_dataloader`."""
        return self.val_dataloader()

    def predict_dataloader(self) -> SizedLoader[Array]:
        """Return one batch: the observations [T, *obs] of one episode with deterministic actions."""
        return SizedLoader([1], self._observe)

    def transfer_batch_to_device(self, batch: Any, device: torch.device, dataloader_idx: int) -> Any:
        """Return `batch`: the buffer is already on the device of the networks."""
        return batch

    def teardown(self, stage: Literal["fit", "validate", "test", "predict"] | str) -> None:
        if self.evaluator is not None:
            self.evaluator.close()
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
        counts = {"evaluation_due": self.evaluation_due, "offline_done": self._offline_done}
        state = {**self.experience.state_dict(), **counts}
        return state if self._ranks is None else self._ranks.states(state)

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue from a checkpoint; Lightning calls this after `setup`, for `validate` as well."""
        if self.experience is not None and (self.trainer is None or self.trainer.state.fn == "fit"):
            state = dict(own_state(state, self._ranks))
            self.experience.load_state_dict(state)
            self.evaluation_due = state.get("evaluation_due", False)
            self._offline_done = state.get("offline_done", 0)

    def _iterate(self) -> Iteration:
        assert self.experience is not None
        collector = self.experience.collector
        replay = self.experience.replay
        before, stored = self.env_steps, replay.added
        policy = self._policy
        if offline := self._offline_left > 0:
            finished: list[Episode] = []
            discounted_returns: Array | Tensor = np.zeros(0)
            updates = self._count_offline()
        else:
            finished = collector.collect(policy, self.collect_steps)
            discounted_returns = collector.discounted_returns
            updates = self.updates_due(self.env_steps) - self.updates_due(before)
        fused_action = None
        if updates and self._fuses_action and isinstance(collector, Collector):
            fused_action = collector.fuse_action(policy, taken=not offline)
        return Iteration(
            env_steps=self.env_steps,
            finished=finished,
            stored=replay.added - stored,
            discounted_returns=discounted_returns,
            replay=replay,
            updates=updates,
            index=replay.draw(updates, self._own_batch_size) if updates else None,
            fused_action=fused_action,
            policy_lag=collector.policy_lag if isinstance(collector, RayCollector) else None,
        )

    @property
    def offline_done(self) -> int:
        """Updates on prior data so far, before the first env step."""
        return self._offline_done

    @property
    def _offline_left(self) -> int:
        return max(0, self._offline_steps - self._offline_done)

    def _count_offline(self) -> int:
        """Return how many updates on prior data are next; log every tenth of them."""
        updates = min(self._offline_left, self._offline_at_once)
        tenth = 10 * self._offline_done // self._offline_steps
        self._offline_done += updates
        if 10 * self._offline_done // self._offline_steps > tenth:
            log.info("prior data: %d of %d offline updates", self._offline_done, self._offline_steps)
        return updates

    def _evaluate(self) -> Evaluation | None:
        """Run an evaluation; return None where a stop interrupted it."""
        evaluation: Evaluation | None = Evaluation((), ())  # of a rank for which there is no episode
        try:
            if self.evaluator is not None:
                evaluation = self.evaluator.run(self._policy, self._stops)
        except EvaluationStopped:
            evaluation = None
        if self._ranks is not None:
            evaluation = self._evaluation_of(self._ranks, evaluation)
        self.evaluation_due = evaluation is None
        return evaluation

    def _evaluation_of(self, ranks: Ranks, own: Evaluation | None) -> Evaluation | None:
        """Return the episodes of all ranks, in the order of their seeds; None where one was interrupted."""
        shares = ranks.gather(None if own is None else [list(own.returns), list(own.lengths)])
        if None in shares:
            return None
        order = [(i % ranks.size, i // ranks.size) for i in range(sum(len(each[0]) for each in shares))]
        returns, lengths = (tuple(shares[rank][k][i] for rank, i in order) for k in range(2))
        return Evaluation(returns, lengths)

    def _observe(self) -> Array:
        """Play the first evaluation episode; return its observations [T, *obs]."""
        policy = self._policy
        seen: list[Array] = []
        with closing(self.env.build()) as env:
            obs, done = env.reset(seed=self.eval_seed)[0], False
            while not done and len(seen) != self.eval_max_steps:
                seen.append(obs)
                obs, _, terminated, truncated, _ = env.step(policy.act(obs, deterministic=True))
                done = terminated or truncated
        return np.stack(seen)

    def _stops(self) -> bool:
        return self.trainer.state.fn == "fit" and (self._ending or self.stop_requested())

    @property
    def _fuses_action(self) -> bool:
        """Whether an update also chooses the next action: of several updates only the last would count."""
        one = self.utd_ratio * self._steps_per_iteration <= 1.0 and not self.overlap
        return one and getattr(self.trainer.lightning_module, "can_fuse_action", False)

    @property
    def _policy(self) -> Policy:
        policy: Policy = self.trainer.lightning_module.policy
        return policy

    @property
    def _rank(self) -> int:
        return 0 if self._ranks is None else self._ranks.rank

    @property
    def _num_ranks(self) -> int:
        return 1 if self._ranks is None else self._ranks.size

    @property
    def _own_batch_size(self) -> int:
        return self.batch_size // self._num_ranks

    @property
    def _steps_per_iteration(self) -> int:
        return self.num_envs * self.collect_steps


def rank_folder(folder: Path, rank: int) -> Path:
    """Return where the rank's own journal is, inside `folder`, which is that of rank 0."""
    return folder / f"rank{rank}" if rank else folder


def data_of(trainer: Trainer) -> ReplayDataModule:
    """Return the data module of a trainer that is in `fit`."""
    data: ReplayDataModule = vars(trainer)["datamodule"]
    return data
