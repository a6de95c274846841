"""SACModule: Soft Actor-Critic as a LightningModule with manual optimization."""

import logging
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from importlib.metadata import version
from typing import Any, Self, TypeVar, cast

import torch
from torch import Tensor
from torch.optim import Adam, Optimizer
from torch.optim.lr_scheduler import LRScheduler

from sac_lightning.algorithm.diagnostics import Diagnostics
from sac_lightning.algorithm.policy import Policy
from sac_lightning.algorithm.sac import SAC
from sac_lightning.collect.evaluation import Evaluation
from sac_lightning.collect.loaders import Iteration
from sac_lightning.compile.update import CompiledUpdate
from sac_lightning.core.checkpoint import FORMAT, check_format
from sac_lightning.core.fields import Whole
from sac_lightning.core.finite import check_weights, naming_update
from sac_lightning.core.hardware import flush_denormals
from sac_lightning.core.ranks import Ranks, own_state, seed_of_rank
from sac_lightning.core.seeding import (
    Streams,
    continue_generator,
    global_rng_state,
    restore_global_rng,
    torch_generator,
)
from sac_lightning.core.spec import Described, PlainSpec, from_spec
from sac_lightning.entropy import LearnedTemperature, TemperatureRule
from sac_lightning.heads import ActionHead, head_for
from sac_lightning.networks import (
    ActorConfig,
    CriticConfig,
    ObsNormalization,
    RawObs,
    RawReward,
    RewardNormalization,
)
from sac_lightning.optim import OptimizerStep, step_schedules
from sac_lightning.private.lightning import count_updates, take_back_epoch
from sac_lightning.replay import BatchIndex
from sac_lightning.spaces import ActionSpec, Array, ObsSpec
from sac_lightning.training import loops
from sac_lightning.training.lightning_package import LightningModule
from sac_lightning.training.metrics import Metrics, MetricWindow, in_units, mean_of_rows
from sac_lightning.training.trainer_options import check_count, check_trainer, ranks_of
from sac_lightning.types import PackedMetrics

log = logging.getLogger(__name__)
T = TypeVar("T", bound=Described)
CHECKPOINT_KEY = "sac_lightning"
CRITICS = ("sac.critic.", "sac.target_critic.")


class SACModule(LightningModule):
    """Trains a `SAC` by manual optimization, with Lightning's checkpoints, loggers and callbacks.

    The algorithm is `module.sac`, with its networks, entropy rule and counters. `trainer.global_step` counts
    gradient updates. All arguments but the numbers may be the plain dicts that a checkpoint contains.

    Args:
        obs: shape and dtype of an observation.
        action: the action space; `ReplayDataModule.specs` returns both.
        head: what the actor's outputs mean as a policy; None for the one that fits `action`.
        temperature: the entropy rule; None for a learned α.
        actor: network and optimizer of the actor.
        critic: networks and optimizer of the critics, value head, pessimism and target network.
        obs_normalization: how observations are normalised; None for raw ones.
        reward_normalization: how rewards are normalised; None for raw ones.
        actor_delay: actor and temperature are stepped in every update whose number is a multiple of it, at
            least 1. Critics and target critics are stepped in every update.
        reset_every: updates between two resets of all networks, α and their optimizers, at least 1; None for
            no reset. A reset comes before the next update, so a run never ends with one.
        random_shift: pixels by which updates move images at random, the augmentation of DrQ, which takes 4; 0
            for none.
        seed: of the initial weights and of the noise of updates, at least 0.
        compile: whether the update runs as one compiled graph.
        log_every_n_env_steps: env steps between two rows of the log, at least 1.
    """

    def __init__(
        self,
        obs: ObsSpec | PlainSpec,
        action: ActionSpec | PlainSpec,
        head: ActionHead | PlainSpec | None = None,
        temperature: TemperatureRule | PlainSpec | None = None,
        actor: ActorConfig | PlainSpec | None = None,
        critic: CriticConfig | PlainSpec | None = None,
        obs_normalization: ObsNormalization | PlainSpec | None = None,
        reward_normalization: RewardNormalization | PlainSpec | None = None,
        *,
        actor_delay: int = 1,
        reset_every: int | None = None,
        random_shift: int = 0,
        seed: int = 0,
        compile: bool = False,
        log_every_n_env_steps: int = 250,
    ) -> None:
        super().__init__()
        loops.warn_of_other_package()
        log_every_n_env_steps = check_count("log_every_n_env_steps", log_every_n_env_steps)
        actor_delay = check_count("actor_delay", actor_delay)
        reset_every = None if reset_every is None else check_count("reset_every", reset_every)
        random_shift = int(Whole("[0, 100]", "pixels").check("random_shift", random_shift))
        self.automatic_optimization = False
        self.obs_spec = from_spec(ObsSpec, obs)
        self.action_spec = from_spec(ActionSpec, action)
        parts: dict[str, Any] = {
            "head": from_spec(ActionHead, head_for(self.action_spec) if head is None else head),
            "temperature": _part(TemperatureRule, temperature, LearnedTemperature),
            "actor": _part(ActorConfig, actor, ActorConfig),
            "critic": _part(CriticConfig, critic, CriticConfig),
            "obs_normalization": _part(ObsNormalization, obs_normalization, RawObs),
            "reward_normalization": _part(RewardNormalization, reward_normalization, RawReward),
        }
        described: dict[str, Any] = {"obs": self.obs_spec, "action": self.action_spec, **parts}
        numbers = {
            "actor_delay": actor_delay,
            "reset_every": reset_every,
            "random_shift": random_shift,
            "seed": seed,
            "compile": compile,
            "log_every_n_env_steps": log_every_n_env_steps,
        }
        self.save_hyperparameters({**{key: value.to_spec() for key, value in described.items()}, **numbers})
        self._make_sac = partial(
            SAC,
            self.obs_spec,
            self.action_spec,
            **parts,
            actor_delay=actor_delay,
            random_shift=random_shift,
        )
        self.sac = self._make_sac(generator=torch_generator(Streams.of(seed).init))
        self._reset_every = reset_every
        self.actor_config: ActorConfig = parts["actor"]
        self.critic_config: CriticConfig = parts["critic"]
        self.seed, self.compile_update = seed, compile
        self.latest: Metrics = {}
        self._log_every = log_every_n_env_steps
        self._window = MetricWindow(log_every_n_env_steps)
        self._noise_generator: torch.Generator | None = None
        self._resumed: dict[str, Any] | None = None
        self._optimization: tuple[list[Optimizer], list[LRScheduler]] | None = None
        self._compiled: CompiledUpdate | None = None
        self._counts = 0, 0
        self._ranks: Ranks | None = None
        self._flushed_before = False

    @property
    def env_steps(self) -> Tensor:
        """Env steps of the run so far, []."""
        return self.sac.env_steps

    @property
    def grad_steps(self) -> Tensor:
        """Gradient updates of the run so far, []."""
        return self.sac.grad_steps

    @property
    def policy(self) -> Policy:
        """The present policy; it shares this module's weights."""
        sac = self.sac
        return Policy(sac.actor, sac.head, self.obs_spec, self.action_spec, sac.normalize_obs)

    @property
    def can_fuse_action(self) -> bool:
        """Whether an update of this fit can choose the next action as well."""
        return self._compiled is not None and self._compiled.can_act

    def act(self, obs: Any, deterministic: bool = False, generator: torch.Generator | None = None) -> Array:
        """Return the action for one obs `[*obs]`, or the actions for a batch `[B, *obs]`: see Policy.act."""
        return self.policy.act(obs, deterministic, generator)

    @classmethod
    def load_from_checkpoint(cls, checkpoint_path: Any, *args: Any, **options: Any) -> Self:
        """Load the module of a checkpoint, ready to act, without an env.

        A checkpoint is data: a pickled program is refused, and so is one that names a function to be called.
        `checkpoint_path` is a path or an open file.
        """
        options = {"map_location": "cpu", "weights_only": True, **options}
        check_format(checkpoint_path)
        module: Self = super().load_from_checkpoint(checkpoint_path, *args, **options)
        check_weights(module.sac)
        return module.eval()

    def configure_optimizers(self) -> tuple[list[Optimizer], list[LRScheduler]]:
        """Make an optimizer for the critics, one for the actor and, where α is learned, one for log_alpha.

        A fit that continues the last one on its data module keeps the optimizers.
        """
        if self._optimization is not None and loops.continues(self.trainer, int(self.env_steps)):
            return self._optimization
        # The actor's encoder is frozen where it follows the critics'.
        learned = [each for each in self.sac.actor.parameters() if each.requires_grad]
        parameters = [self.sac.critic.parameters(), learned, [self.sac.log_alpha]]
        updates = loops.total_updates(self.trainer)
        optimizers: list[Optimizer] = []
        schedules: list[LRScheduler] = []
        for config, owned in zip(self._optimized, parameters, strict=False):
            optimizer = config.optimizer.build(owned, config.lr)
            schedule = config.optimizer.schedule(optimizer, updates)
            optimizers.append(optimizer)
            schedules += [] if schedule is None else [schedule]
        self._optimization = optimizers, schedules
        return self._optimization

    @property
    def _optimized(self) -> list[Any]:
        """What says `lr` and `optimizer` of the critics, of the actor and of a learned α, in this order."""
        learned = [self.sac.temperature] if self.sac.temperature.learned else []
        return [self.critic_config, self.actor_config, *learned]

    def setup(self, stage: str) -> None:
        """Raise ConfigError for a Trainer that this module does not support."""
        if stage == "fit":
            check_trainer(self.trainer, compiled=self.compile_update)
        self._ranks = ranks_of(self.trainer)
        self._flushed_before = flush_denormals()
        for logger in self.trainer.loggers:
            loops.log_at_env_steps(logger, lambda: int(self.env_steps))
        loops.wait_no_longer(self.trainer)
        loops.wait_for_metrics(self.trainer)

    def teardown(self, stage: str) -> None:
        """Undo what `setup` did to this thread, to loggers and callbacks."""
        flush_denormals(self._flushed_before)
        loops.wait_no_longer(self.trainer)
        for logger in self.trainer.loggers:
            loops.log_at_given_steps(logger)

    def on_fit_start(self) -> None:
        """Start or resume the counters, the metrics and the noise of updates."""
        self.train()  # `load_from_checkpoint` returns a module in eval mode
        if self.trainer.ckpt_path is None:
            self._resumed = None
            if not loops.continues(self.trainer, int(self.env_steps)):
                self._start_new_run()
            self.env_steps.fill_(loops.env_steps(self.trainer))
        self._window.every = 1 if loops.fast_dev_run(self.trainer) else self._log_every
        self._diagnostics = Diagnostics(self.sac)
        if self._noise_generator is None:
            own = Streams.of(seed_of_rank(self.seed, self.trainer.global_rank))
            self._noise_generator = torch_generator(own.update, self.device)
        if self._resumed is not None:
            self._resumed = dict(own_state(self._resumed, self._ranks))
            continue_generator(self._noise_generator, self._resumed["noise_generator"], warn=True)
            self._window.load_state_dict(self._resumed["window"], self.device)
            self.latest.update(self._resumed["latest"])
        if self.sac.entropy_setting.warning:
            log.warning(self.sac.entropy_setting.warning)

    def on_train_start(self) -> None:
        """Prepare updates: weights and optimizers now stay where they are. Restores global states last."""
        loops.start_epoch(self.trainer)
        self._steps = [
            OptimizerStep(config.optimizer, cast(Adam, optimizer))
            for config, optimizer in zip(self._optimized, self.trainer.optimizers, strict=True)
        ]
        bfloat16 = self.trainer.precision == "bf16-mixed"
        self.sac.prepare(self._steps, bfloat16=bfloat16, ranks=self._ranks)
        schedulers: Any = self.lr_schedulers() or []
        self._schedules = schedulers if isinstance(schedulers, list) else [schedulers]
        replay = loops.replay(self.trainer)
        self.critic_config.check_replay(replay.needs_huber_loss)
        raw = self.sac.normalize_obs is None and self.sac.normalize_reward is None
        replay.check_normalization(is_raw=raw)
        self._compiled = CompiledUpdate(self.sac, replay) if self.compile_update else None
        # Counted here: reading the tensor in each update would wait for a GPU.
        self._update = int(self.grad_steps)
        self._keep_counts()
        if self._resumed is not None:
            restore_global_rng(self._resumed["global_rng"])
            self._resumed = None

    def on_train_end(self) -> None:
        """Put the counters back: a callback that averages weights (EMAWeightAveraging) averages them too."""
        self._restore_counts()

    def on_validation_start(self) -> None:
        """Keep the counters: such a callback exchanges all buffers during an evaluation."""
        self._keep_counts()

    def on_validation_epoch_start(self) -> None:
        """Put the counters back, after the exchange; the exchange at the end brings them back as they are."""
        self._restore_counts()

    def _keep_counts(self) -> None:
        self._counts = int(self.env_steps), int(self.grad_steps)

    def _restore_counts(self) -> None:
        for buffer, count in zip((self.env_steps, self.grad_steps), self._counts, strict=True):
            buffer.fill_(count)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Add what Lightning does not save. Raises NotFiniteError for weights or optimizers not finite."""
        check_weights(self.sac, checkpoint.get("optimizer_states", []))
        for name in ("env_steps", "grad_steps"):  # averaged ones, where a callback puts the averages there
            checkpoint["state_dict"][f"sac.{name}"] = getattr(self, name).clone()
        if self._noise_generator is None:
            return
        state = {
            "format": FORMAT,
            "noise_generator": self._noise_generator.get_state(),
            "window": self._window.state_dict(),
            "global_rng": global_rng_state(),
            "latest": dict(self.latest),
            "run_id": next((each.run_id for each in self.loggers if hasattr(each, "run_id")), None),
        }
        checkpoint[CHECKPOINT_KEY] = state if self._ranks is None else self._ranks.states(state)

    def policy_checkpoint(self) -> dict[str, Any]:
        """Return a small checkpoint for `torch.save`: without critics and optimizers, to play or export.

        `load_from_checkpoint` loads it; the critics are new ones then. No fit resumes from it.
        """
        state = {key: value for key, value in self.state_dict().items() if not key.startswith(CRITICS)}
        return {
            "pytorch-lightning_version": version("pytorch-lightning"),
            "epoch": 0,
            "global_step": int(self.grad_steps),
            "state_dict": state,
            "hyper_parameters": dict(self.hparams),
            CHECKPOINT_KEY: {"format": FORMAT, "policy_only": True},
        }

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Keep what `on_save_checkpoint` wrote for a fit that resumes; loading the weights calls this too."""
        self._resumed = checkpoint.get(CHECKPOINT_KEY)
        if self._resumed is not None and self._resumed.get("policy_only", False):
            critics = {key: value for key, value in self.state_dict().items() if key.startswith(CRITICS)}
            checkpoint["state_dict"] = {**critics, **checkpoint["state_dict"]}
            self._resumed = None

    def _start_new_run(self) -> None:
        """Reset everything but the weights: this fit starts a new run."""
        self.grad_steps.zero_()
        self.latest.clear()
        self._window, self._noise_generator = MetricWindow(self._log_every), None

    def training_step(self, iterations: Iterable[Iteration], batch_idx: int) -> None:
        """Updates as often as each iteration asks; each was collected after the updates of the one before."""
        updates = 0
        try:
            with self._without_autocast(), naming_update(self.grad_steps, self.env_steps):
                for iteration in iterations:
                    self._add_env_steps(iteration)
                    if iteration.index is not None:
                        draws = self._draw_noise(iteration)  # [G, 2, B, noise]
                        for index, noise in zip(iteration.mini_batches(), draws.unbind(), strict=True):
                            for step in self._steps:
                                step.follow_lr()
                            self._reset_where_due()
                            self._update += 1
                            with_actor = self.sac.is_actor_due(self._update)
                            if self._compiled is not None:
                                result = self._compiled(index, noise, iteration.fused_action, with_actor)
                            else:
                                result = self.sac.update(iteration.replay.gather(index), noise, with_actor)
                            iteration.replay.report(index.index, result.td_error)
                            self._window.add(result.metrics)
                            if self._schedules:
                                step_schedules(self._schedules)
                        if not self._window.diagnosed:
                            self._diagnose(iteration, index, noise[1])
                    self._log_row(iteration)
                    updates += iteration.updates
                self._window.check()
            self._counts = loops.env_steps(self.trainer), self._update
        finally:
            count_updates(self.trainer, updates)

    def _reset_where_due(self) -> None:
        resets, rest = divmod(self._update, self._reset_every or self._update + 1)
        if resets and not rest:
            self.sac.reset(
                self._make_sac(generator=torch_generator(Streams.of(self.seed).init_after(resets)))
            )

    def _without_autocast(self) -> torch.autocast:
        """Lightning would cast the actor for every obs; an update casts what it wants itself."""
        return torch.autocast(self.device.type, enabled=False)

    def _add_env_steps(self, iteration: Iteration) -> None:
        """Count the env steps of an iteration and add them to the running statistics."""
        self.env_steps.fill_(iteration.env_steps)
        if iteration.policy_lag is not None:
            lag = torch.tensor([float(iteration.policy_lag)], device=self.device)
            self._window.add(PackedMetrics(("time/policy_lag",), lag))
        if not iteration.stored and self._ranks is None:
            return
        others = () if self._ranks is None else (self._ranks,)
        if self.sac.normalize_obs is not None:
            newest = iteration.replay.newest_obs(iteration.stored)
            self.sac.normalize_obs.statistics.add(newest, *others)
        if self.sac.normalize_reward is not None:
            returns = torch.as_tensor(iteration.discounted_returns, device=self.device)
            self.sac.normalize_reward.statistics.add(returns, *others)

    def _draw_noise(self, iteration: Iteration) -> Tensor:
        assert iteration.index is not None
        assert self._noise_generator is not None
        shape = (iteration.updates, 2, iteration.index.index.shape[1])
        return self.sac.head.draw_noise(shape, self._noise_generator, self.device)

    def _diagnose(self, iteration: Iteration, index: BatchIndex, noise: Tensor) -> None:
        """Add the diagnostics of the iteration's last mini-batch."""
        batch = iteration.replay.gather(index)
        # Each rank counts the transitions of its own envs.
        age = iteration.replay.age()[-1] * (1 if self._ranks is None else self._ranks.size)
        self._window.add(PackedMetrics.of(self._diagnostics.of(batch, noise, age)))

    def _log_row(self, iteration: Iteration) -> None:
        self._window.add_episodes(iteration.finished)
        if self._window.due(iteration.env_steps):
            row = self._window.close(iteration.env_steps)
            if self._ranks is not None:
                row = mean_of_rows(self._ranks.gather(row))
            self.log_metrics(in_units(row, self.sac.entropy_setting.offset), iteration.env_steps)

    def on_train_epoch_start(self) -> None:
        """Time training alone."""
        self._window.start_clock(int(self.env_steps))

    def on_train_epoch_end(self) -> None:
        """End a complete run; do not count an epoch that a stop cut short: the next fit completes it.

        Raises RanksDiffer where networks, statistics or optimizers are not the same on all ranks.
        """
        if self._ranks is not None:
            optimizers = {
                f"optimizer {i}, tensor {j}": tensor
                for i, step in enumerate(self._steps)
                for j, tensor in enumerate(step.state)
            }
            self._ranks.check_equal({**self.sac.state_dict(prefix="sac."), **optimizers})
        loops.stop_at_the_end(self.trainer)
        if loops.epoch_is_unfinished(self.trainer):
            take_back_epoch(self.trainer)

    def validation_step(self, evaluations: Iterable[Evaluation | None], batch_idx: int) -> None:
        """Log an evaluation, which the loader runs."""
        self._log_evaluation(evaluations, "eval")

    def test_step(self, evaluations: Iterable[Evaluation | None], batch_idx: int) -> None:
        """Log an evaluation on other episodes, as `test/...`."""
        self._log_evaluation(evaluations, "test")

    def predict_step(self, obs: Any, batch_idx: int) -> Array:
        """Return the deterministic actions [B, ...] for a batch of observations [B, *obs]."""
        # A TensorDataset gives a list, ReplayDataModule an iterator.
        (batch,) = obs if isinstance(obs, list | tuple | Iterator) else (obs,)
        return self.act(batch.cpu() if isinstance(batch, Tensor) else batch, deterministic=True)

    def _log_evaluation(self, evaluations: Iterable[Evaluation | None], prefix: str) -> None:
        check_weights(self.sac)
        with self._without_autocast(), naming_update(self.grad_steps, self.env_steps):
            (evaluation,) = evaluations
        if evaluation is None:  # interrupted: callbacks must not judge the metrics of the one before
            self.trainer.sanity_checking = True
            return
        metrics = {
            f"{prefix}/return_mean": evaluation.return_mean,
            f"{prefix}/return_std": evaluation.return_std,
            f"{prefix}/episodes": float(len(evaluation.returns)),
        }
        if self.trainer.state.fn == "fit":
            self.log_metrics(metrics, int(self.env_steps))
        else:  # `trainer.validate` and `trainer.test` return what loggers get
            self.log_dict(metrics, batch_size=1, sync_dist=self._ranks is not None)

    def log_metrics(self, metrics: Mapping[str, float], env_steps: int) -> None:
        """Log a row at `env_steps` to all loggers, keep it in `latest`, and show it to callbacks.

        ModelCheckpoint and EarlyStopping can monitor all of it, from the first row on that has the metric.
        """
        self.latest.update(metrics)
        # Not by `log_dict`, which takes half a millisecond for each number.
        self.trainer.callback_metrics.update({key: torch.tensor(each) for key, each in metrics.items()})
        for logger in self.loggers:
            logger.log_metrics(dict(metrics), step=env_steps)


def _part(base: type[T], value: T | PlainSpec | None, default: Callable[[], T]) -> T:
    """Return `value` as an object of `base`, or the default for None."""
    return default() if value is None else from_spec(base, value)
