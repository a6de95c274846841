"""SACModule: Soft Actor-Critic as a LightningModule with manual optimization."""

import logging
from collections.abc import Iterable, Mapping
from os import PathLike
from pathlib import Path
from typing import Any, Self, cast

import torch
from pytorch_lightning import LightningModule
from torch import Tensor, nn
from torch.optim import Adam, Optimizer
from torch.optim.lr_scheduler import LRScheduler

from sac_lightning.algorithm.diagnostics import Diagnostics
from sac_lightning.algorithm.policy import Policy
from sac_lightning.algorithm.sac import SAC
from sac_lightning.collect.evaluation import Evaluation
from sac_lightning.collect.loaders import Iteration
from sac_lightning.compile.update import CompiledUpdate
from sac_lightning.core.finite import check_weights, naming_update
from sac_lightning.core.hardware import keep_freed_memory
from sac_lightning.core.rng import global_rng_state, restore_global_rng
from sac_lightning.core.seeding import Streams, continue_generator, torch_generator
from sac_lightning.core.spec import PlainSpec, from_spec
from sac_lightning.entropy import EntropySetting, LearnedTemperature, TemperatureRule
from sac_lightning.heads import ActionHead, head_for
from sac_lightning.networks import (
    Actor,
    ActorConfig,
    Critic,
    CriticConfig,
    ObsNormalization,
    RawObs,
    RawReward,
    RewardNormalization,
)
from sac_lightning.optim import OptimizerStep, step_schedules
from sac_lightning.private.lightning import count_updates, take_back_epoch
from sac_lightning.spaces import ActionSpec, Array, ObsSpec
from sac_lightning.training import loops
from sac_lightning.training.checkpoint import FORMAT, check_format
from sac_lightning.training.checks import check_log_every, check_trainer
from sac_lightning.training.metrics import Metrics, MetricWindow, in_units
from sac_lightning.types import PackedMetrics, SampleInfo

log = logging.getLogger(__name__)
CHECKPOINT_KEY = "sac_lightning"


class SACModule(LightningModule):
    """Trains a `SAC` by manual optimization, with Lightning's checkpoints, loggers and callbacks.

    `trainer.global_step` counts gradient updates; `env_steps` and `grad_steps` are counters of our own, saved
    with the weights. All arguments but the numbers may be given as the plain dicts that a checkpoint holds.

    Args:
        obs: shape and dtype of an observation.
        action: the action space; `ReplayDataModule.specs` returns both.
        head: what the actor's outputs mean as a policy; None for the one that fits `action`.
        temperature: the entropy rule; None for a learned α.
        actor: network and optimizer of the actor.
        critic: networks and optimizer of the critics, value head, pessimism and target network.
        obs_normalization: how observations are normalised; None for raw ones.
        reward_normalization: how rewards are normalised; None for raw ones.
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
        seed: int = 0,
        compile: bool = False,
        log_every_n_env_steps: int = 250,
    ) -> None:
        super().__init__()
        log_every_n_env_steps = check_log_every(log_every_n_env_steps)
        self.automatic_optimization = False
        self.obs_spec = from_spec(ObsSpec, obs)
        self.action_spec = from_spec(ActionSpec, action)
        head = head_for(self.action_spec) if head is None else from_spec(ActionHead, head)
        temperature = LearnedTemperature() if temperature is None else temperature
        parts: dict[str, Any] = {
            "head": head,
            "temperature": from_spec(TemperatureRule, temperature),
            "actor": from_spec(ActorConfig, ActorConfig() if actor is None else actor),
            "critic": from_spec(CriticConfig, CriticConfig() if critic is None else critic),
            "obs_normalization": from_spec(ObsNormalization, obs_normalization or RawObs()),
            "reward_normalization": from_spec(RewardNormalization, reward_normalization or RawReward()),
        }
        self.actor_config: ActorConfig = parts["actor"]
        self.critic_config: CriticConfig = parts["critic"]
        self.seed, self.compile_update = seed, compile
        described: dict[str, Any] = {"obs": self.obs_spec, "action": self.action_spec, **parts}
        hyperparameters = {key: value.to_spec() for key, value in described.items()}
        numbers = {"seed": seed, "compile": compile, "log_every_n_env_steps": log_every_n_env_steps}
        self.save_hyperparameters({**hyperparameters, **numbers})
        generator = torch_generator(Streams.of(seed).init)
        self.sac = SAC(self.obs_spec, self.action_spec, **parts, generator=generator)
        self.latest: Metrics = {}
        self._log_every = log_every_n_env_steps
        self._window = MetricWindow(log_every_n_env_steps)
        self._noise_generator: torch.Generator | None = None
        self._resumed: dict[str, Any] | None = None
        self._optimization: tuple[list[Optimizer], list[LRScheduler]] | None = None
        self._compiled: CompiledUpdate | None = None

    # --- the parts of the algorithm ------------------------------------------------------------------

    @property
    def actor(self) -> Actor:
        """The actor's network."""
        return self.sac.actor

    @property
    def critic(self) -> Critic:
        """The critics' networks."""
        return self.sac.critic

    @property
    def target_critic(self) -> Critic | None:
        """The target critics; None without them."""
        return self.sac.target_critic

    @property
    def head(self) -> ActionHead:
        """What the actor's outputs mean as a policy."""
        return self.sac.head

    @property
    def temperature(self) -> TemperatureRule:
        """The entropy rule."""
        return self.sac.temperature

    @property
    def entropy(self) -> EntropySetting:
        """What the entropy rule means for this action space."""
        return self.sac.entropy_setting

    @property
    def log_alpha(self) -> nn.Parameter:
        """log α, [] or one for each action dimension [A]."""
        return self.sac.log_alpha

    @property
    def target_entropy(self) -> Tensor:
        """H̄, [], in nats of the unit action box."""
        return self.sac.target_entropy

    @property
    def env_steps(self) -> Tensor:
        """Env steps of the run so far, []."""
        return self.sac.env_steps

    @property
    def grad_steps(self) -> Tensor:
        """Gradient updates of the run so far, []."""
        return self.sac.grad_steps

    # --- acting --------------------------------------------------------------------------------------

    @property
    def policy(self) -> Policy:
        """The present policy; it shares this module's weights."""
        return Policy(self.actor, self.head, self.obs_spec, self.action_spec, self.sac.normalize_obs)

    @property
    def can_fuse_action(self) -> bool:
        """Whether an update of this fit can choose the next action as well."""
        return self._compiled is not None and self._compiled.can_act

    def act(self, obs: Any, deterministic: bool = False, generator: torch.Generator | None = None) -> Array:
        """The env's action for one obs `[*obs]`, or its actions for a batch `[B, *obs]`: see Policy.act."""
        return self.policy.act(obs, deterministic, generator)

    @classmethod
    def load_from_checkpoint(cls, checkpoint_path: Any, *args: Any, **options: Any) -> Self:
        """The module of a checkpoint, ready to act, without an env. Reads data, never a pickled program."""
        options = {"map_location": "cpu", "weights_only": True, **options}
        if isinstance(checkpoint_path, str | PathLike) and Path(checkpoint_path).is_file():
            check_format(Path(checkpoint_path))
        module: Self = super().load_from_checkpoint(checkpoint_path, *args, **options)
        check_weights(module.sac)
        return module.eval()

    # --- Lightning's hooks ---------------------------------------------------------------------------

    def configure_optimizers(self) -> tuple[list[Optimizer], list[LRScheduler]]:
        """Critic, actor and, where α is learned, log_alpha, each with an Adam of its own.

        A fit that continues the last one on its data module keeps theirs.
        """
        if self._optimization is not None and loops.continues(self.trainer, int(self.env_steps)):
            return self._optimization
        owners: list[tuple[Any, Any]] = [
            (self.critic_config, self.critic.parameters()),
            (self.actor_config, self.actor.parameters()),
        ]
        if self.temperature.learned:
            owners.append((self.temperature, [self.log_alpha]))
        optimizers: list[Optimizer] = [
            owner.optimizer.build(parameters, owner.lr) for owner, parameters in owners
        ]
        updates = loops.total_updates(self.trainer)
        schedulers = [
            owner.optimizer.schedule(optimizer, updates)
            for (owner, _), optimizer in zip(owners, optimizers, strict=True)
        ]
        self._optimization = optimizers, [each for each in schedulers if each is not None]
        return self._optimization

    def setup(self, stage: str) -> None:
        """Refuse what this module cannot do, before anything runs."""
        if stage == "fit":
            check_trainer(self.trainer.precision, self.trainer.world_size)
        for logger in self.trainer.loggers:
            loops.log_at_env_steps(logger, lambda: int(self.env_steps))

    def teardown(self, stage: str) -> None:
        """Give the loggers back as they were."""
        for logger in self.trainer.loggers:
            loops.log_at_given_steps(logger)

    def on_fit_start(self) -> None:
        """The noise for this device, and what the run that is continued had drawn."""
        keep_freed_memory()
        self.train()  # `load_from_checkpoint` gives a module that is to act
        if self.trainer.ckpt_path is None:
            self._resumed = None
            if not loops.continues(self.trainer, int(self.env_steps)):
                self._forget_run()
            self.env_steps.fill_(loops.env_steps(self.trainer))
        self._window.every = 1 if loops.fast_dev_run(self.trainer) else self._log_every
        self._diagnostics = Diagnostics(self.sac)
        if self._noise_generator is None:
            self._noise_generator = torch_generator(Streams.of(self.seed).update, self.device)
        if self._resumed is not None:
            continue_generator(self._noise_generator, self._resumed["noise_generator"], warn=True)
            self._window.load_state_dict(self._resumed["window"], self.device)
            self.latest.update(self._resumed["latest"])
        if self.entropy.warning:
            log.warning(self.entropy.warning)

    def on_train_start(self) -> None:
        """Weights and optimizers are where they stay. The global random states come back last."""
        loops.start_epoch(self.trainer)
        configs = (self.critic_config, self.actor_config, self.temperature)
        self._steps = [
            OptimizerStep(config.optimizer, cast(Adam, optimizer))
            for config, optimizer in zip(cast(Any, configs), self.trainer.optimizers, strict=False)
        ]
        self.sac.prepare(self._steps, bfloat16=self.trainer.precision == "bf16-mixed")
        self._schedules = self._listed_schedules()
        replay = loops.replay(self.trainer)
        self._compiled = CompiledUpdate(self.sac, replay) if self.compile_update else None
        if self._resumed is not None:
            restore_global_rng(self._resumed["global_rng"])
            self._resumed = None

    def _listed_schedules(self) -> list[LRScheduler]:
        schedulers: Any = self.lr_schedulers()
        listed = schedulers if isinstance(schedulers, list) else [schedulers]
        return [scheduler for scheduler in listed if scheduler is not None]

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """What Lightning does not save. Raises NotFiniteError where weights or optimizers are not finite."""
        check_weights(self.sac, checkpoint.get("optimizer_states", []))
        if self._noise_generator is None:
            return
        checkpoint[CHECKPOINT_KEY] = {
            "format": FORMAT,
            "noise_generator": self._noise_generator.get_state(),
            "window": self._window.state_dict(),
            "global_rng": global_rng_state(),
            "latest": dict(self.latest),
            "run_id": next((each.run_id for each in self.loggers if hasattr(each, "run_id")), None),
        }

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Keep what `on_save_checkpoint` wrote for a fit that resumes; loading the weights calls this too."""
        self._resumed = checkpoint.get(CHECKPOINT_KEY)

    def _forget_run(self) -> None:
        """Keep the weights alone: this fit begins a run of its own."""
        self.grad_steps.zero_()
        self.latest.clear()
        self._window, self._noise_generator = MetricWindow(self._log_every), None

    def training_step(self, iterations: Iterable[Iteration], batch_idx: int) -> None:
        """Updates as often as each iteration asks; each was collected after the updates of the one before."""
        updates = 0
        try:
            with self._acting_in_float32(), naming_update(self.grad_steps, self.env_steps):
                for iteration in iterations:
                    self._count(iteration)
                    if iteration.index is not None:
                        noise = self._noise(iteration)  # [G, 2, B, noise]
                        for index, drawn in zip(iteration.mini_batches(), noise.unbind(), strict=True):
                            for step in self._steps:
                                step.follow_lr()
                            if self._compiled is not None:
                                result = self._compiled(index, drawn, iteration.fused_action)
                            else:
                                result = self.sac.update(iteration.replay.gather(index), drawn)
                            iteration.replay.report(index.index, result.td_error)
                            self._window.add(result.metrics)
                            if self._schedules:
                                step_schedules(self._schedules)
                        self._diagnose(iteration, noise[-1, 1])
                    self._log_row(iteration)
                    updates += iteration.updates
                self._window.check()
        finally:
            count_updates(self.trainer, updates)

    def _acting_in_float32(self) -> torch.autocast:
        """Lightning would cast the actor for every obs. An update casts what it wants."""
        return torch.autocast(self.device.type, enabled=False)

    def _count(self, iteration: Iteration) -> None:
        """Takes over the env steps of an iteration, and what they add to the running statistics."""
        self.env_steps.fill_(iteration.env_steps)
        if self.sac.normalize_obs is not None:
            self.sac.normalize_obs.statistics.add(iteration.replay.newest_obs(iteration.stored))
        if self.sac.normalize_reward is not None:
            returns = torch.as_tensor(iteration.discounted_returns, device=self.device)
            self.sac.normalize_reward.statistics.add(returns)

    def _noise(self, iteration: Iteration) -> Tensor:
        assert iteration.index is not None
        assert self._noise_generator is not None
        shape = (iteration.updates, 2, iteration.index.index.shape[1])
        return self.head.draw_noise(shape, self._noise_generator, self.device)

    def _diagnose(self, iteration: Iteration, noise: Tensor) -> None:
        """Looks at the last mini-batch, once a row of the log."""
        if self._window.diagnosed:
            return
        info = SampleInfo(*(field[-1] for field in iteration.replay.info()))
        *_, index = iteration.mini_batches()
        batch = iteration.replay.gather(index)
        self._window.add(PackedMetrics.of(self._diagnostics.of(batch, noise, info)))

    def _log_row(self, iteration: Iteration) -> None:
        self._window.add_episodes(iteration.finished)
        if self._window.due(iteration.env_steps):
            row = self._window.close(iteration.env_steps)
            self.log_metrics(in_units(row, self.entropy.offset), iteration.env_steps)

    def on_train_epoch_start(self) -> None:
        """Time training alone."""
        self._window.start_clock(int(self.env_steps))

    def on_train_epoch_end(self) -> None:
        """Takes an epoch back that a stop cut short: the next fit completes it."""
        loops.stop_at_the_end(self.trainer)
        if loops.epoch_is_unfinished(self.trainer):
            take_back_epoch(self.trainer)

    def validation_step(self, evaluations: Iterable[Evaluation | None], batch_idx: int) -> None:
        """Logs an evaluation, which the loader runs."""
        check_weights(self.sac)
        with self._acting_in_float32(), naming_update(self.grad_steps, self.env_steps):
            (evaluation,) = evaluations
        if evaluation is None:  # interrupted: callbacks must not judge the metrics of the one before
            self.trainer.sanity_checking = True
            return
        metrics = {
            "eval/return_mean": evaluation.return_mean,
            "eval/return_std": evaluation.return_std,
            "eval/episodes": float(len(evaluation.returns)),
        }
        self.log_dict(metrics, logger=False, batch_size=1)  # for ModelCheckpoint and EarlyStopping
        self.log_metrics(metrics, int(self.env_steps))

    def log_metrics(self, metrics: Mapping[str, float], env_steps: int) -> None:
        """Gives a row of metrics to all loggers, against env steps, and keeps it in `latest`."""
        self.latest.update(metrics)
        for logger in self.loggers:
            logger.log_metrics(dict(metrics), step=env_steps)
