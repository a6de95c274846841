"""SACModule: Soft Actor-Critic as a LightningModule with manual optimization."""

import logging
from collections.abc import Iterable, Mapping
from typing import Any, Self, cast

import torch
from pytorch_lightning import LightningModule
from torch import Tensor, nn
from torch.optim import Adam, Optimizer
from torch.optim.lr_scheduler import LRScheduler

from sac_lightning import loops
from sac_lightning.checkpoint import NEWEST_FORMAT
from sac_lightning.checks import check_numbers, check_trainer
from sac_lightning.diagnostics import Diagnostics
from sac_lightning.entropy import Auto, TemperatureRule, entropy_setting
from sac_lightning.evaluation import Evaluation
from sac_lightning.finite import check_weights, naming_update
from sac_lightning.hardware import keep_freed_memory
from sac_lightning.heads import ActionHead, head_for
from sac_lightning.loaders import Iteration
from sac_lightning.loggers import log_at_env_steps, log_at_given_steps
from sac_lightning.measured import Measured
from sac_lightning.metrics import Metrics, MetricWindow, in_units
from sac_lightning.networks import Actor, ActorConfig, CriticConfig, CriticEnsemble
from sac_lightning.optim import step_schedules
from sac_lightning.policy import Policy
from sac_lightning.rng import global_rng_state, restore_global_rng
from sac_lightning.seeding import Streams, continue_generator, torch_generator
from sac_lightning.spaces import ActionSpec, Array, ObsSpec
from sac_lightning.spec import PlainSpec, from_spec
from sac_lightning.types import Origin
from sac_lightning.update import Parts, Update

log = logging.getLogger(__name__)
CHECKPOINT_KEY = "sac_lightning"


class SACModule(LightningModule):
    """Actor, critics and temperature, and the order in which an update steps them.

    `obs`, `action`, `head`, `temperature`, `actor` and `critic` may be given as the plain dicts that a
    checkpoint holds. `trainer.global_step` counts gradient updates; `env_steps` and `grad_steps` are
    counters of our own, saved with the weights.
    """

    env_steps: Tensor
    grad_steps: Tensor
    target_entropy: Tensor  # of the unit action box
    target_memory: Tensor  # what a target rule remembers

    def __init__(
        self,
        obs: ObsSpec | PlainSpec,
        action: ActionSpec | PlainSpec,
        head: ActionHead | PlainSpec | None = None,
        temperature: TemperatureRule | PlainSpec | None = None,
        actor: ActorConfig | PlainSpec | None = None,
        critic: CriticConfig | PlainSpec | None = None,
        *,
        gamma: float = 0.99,
        tau: float = 0.005,
        seed: int = 0,
        compile: bool = False,
        log_every_n_env_steps: int = 250,
    ) -> None:
        super().__init__()
        log_every_n_env_steps = check_numbers(gamma, tau, log_every_n_env_steps)
        self.automatic_optimization = False
        self.obs_spec = from_spec(ObsSpec, obs)
        self.action_spec = from_spec(ActionSpec, action)
        self.head = head_for(self.action_spec) if head is None else from_spec(ActionHead, head)
        self.temperature = from_spec(TemperatureRule, Auto() if temperature is None else temperature)
        self.actor_config = from_spec(ActorConfig, ActorConfig() if actor is None else actor)
        self.critic_config = from_spec(CriticConfig, CriticConfig() if critic is None else critic)
        self.gamma, self.tau, self.seed, self.compile_update = gamma, tau, seed, compile
        self.save_hyperparameters(self._plain_hyperparameters(log_every_n_env_steps))
        self._build_networks()
        self._build_temperature()
        self.register_buffer("env_steps", torch.zeros((), dtype=torch.int64))
        self.register_buffer("grad_steps", torch.zeros((), dtype=torch.int64))
        self.latest: Metrics = {}
        self._log_every = log_every_n_env_steps
        self._window = MetricWindow(log_every_n_env_steps)
        self._noise_generator: torch.Generator | None = None
        self._resumed: dict[str, Any] | None = None
        self._configured: tuple[list[Optimizer], list[LRScheduler]] | None = None

    def _plain_hyperparameters(self, log_every: int) -> PlainSpec:
        described: dict[str, Any] = {"obs": self.obs_spec, "action": self.action_spec, "head": self.head}
        described |= {
            "temperature": self.temperature,
            "actor": self.actor_config,
            "critic": self.critic_config,
        }
        numbers = {"gamma": self.gamma, "tau": self.tau, "seed": self.seed, "compile": self.compile_update}
        plain = {key: value.to_spec() for key, value in described.items()}
        return {**plain, **numbers, "log_every_n_env_steps": log_every}

    def _build_networks(self) -> None:
        generator = torch_generator(Streams.of(self.seed).init)
        self.actor = Actor(self.obs_spec, self.head, self.actor_config, generator)
        self.critic = CriticEnsemble(self.obs_spec, self.head, self.critic_config, generator)
        self.target_critic = CriticEnsemble(self.obs_spec, self.head, self.critic_config, generator)
        self.target_critic.load_state_dict(self.critic.state_dict())
        self.target_critic.requires_grad_(False)

    def _build_temperature(self) -> None:
        self.entropy = entropy_setting(self.temperature, self.head, self.action_spec)
        self.log_alpha = nn.Parameter(self.entropy.log_alpha, requires_grad=self.temperature.learned)
        self.register_buffer("target_entropy", torch.tensor(self.entropy.target))
        memory = torch.tensor(self.entropy.memory)
        self.register_buffer("target_memory", memory, persistent=bool(self.entropy.memory))

    # --- acting --------------------------------------------------------------------------------------

    @property
    def policy(self) -> Policy:
        """The present policy; it shares this module's weights."""
        return Policy(self.actor, self.head, self.obs_spec, self.action_spec)

    @property
    def acts_ahead(self) -> bool:
        """Whether an update of this fit can choose the next action as well."""
        return self._learn.acts_ahead

    def act(self, obs: Any, deterministic: bool = False, generator: torch.Generator | None = None) -> Array:
        """The env's action for one obs `[*obs]`, or its actions for a batch `[B, *obs]`: see Policy.act."""
        return self.policy.act(obs, deterministic, generator)

    @classmethod
    def load_from_checkpoint(cls, checkpoint_path: Any, *args: Any, **options: Any) -> Self:
        """The module of a checkpoint, ready to act, without an env. Reads data, never a pickled program."""
        options = {"map_location": "cpu", "weights_only": True, **options}
        module: Self = super().load_from_checkpoint(checkpoint_path, *args, **options)
        check_weights(module)
        return module.eval()

    # --- Lightning's hooks ---------------------------------------------------------------------------

    def configure_optimizers(self) -> tuple[list[Optimizer], list[LRScheduler]]:
        """Critic, actor and, where α is learned, log_alpha, each with an Adam of its own.

        A fit that continues the last one on its data module keeps theirs.
        """
        if self._configured is not None and loops.continues(self.trainer, int(self.env_steps)):
            return self._configured
        owners: list[tuple[Any, Any]] = [
            (self.critic_config, self.critic.parameters()),
            (self.actor_config, self.actor.parameters()),
        ]
        if isinstance(self.temperature, Auto):
            owners.append((self.temperature, [self.log_alpha]))
        optimizers = [config.optimizer(parameters) for config, parameters in owners]
        schedulers = [
            config.scheduler(optimizer, loops.max_epochs(self.trainer))
            for (config, _), optimizer in zip(owners, optimizers, strict=True)
        ]
        self._configured = optimizers, [each for each in schedulers if each is not None]
        return self._configured

    def setup(self, stage: str) -> None:
        """Refuse what this module cannot do, before anything runs."""
        if stage == "fit":
            check_trainer(self.trainer.precision, self.trainer.world_size)
        for logger in self.trainer.loggers:
            log_at_env_steps(logger, lambda: int(self.env_steps))

    def teardown(self, stage: str) -> None:
        """Give the loggers back as they were."""
        for logger in self.trainer.loggers:
            log_at_given_steps(logger)

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
        self._diagnostics = Diagnostics(self.actor, self.critic, self.head, self.temperature)
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
        loops.begin_an_epoch(self.trainer)
        self._learn = Update(
            Parts.of(self),
            [cast(Adam, each) for each in self.trainer.optimizers],
            compiled=self.compile_update,
            autocast=self.trainer.precision == "bf16-mixed",
        )
        if self._resumed is not None:
            restore_global_rng(self._resumed["global_rng"])
            self._resumed = None

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """What Lightning does not save. Raises NotFiniteError where weights or optimizers are not finite."""
        check_weights(self, checkpoint.get("optimizer_states", []))
        if self._noise_generator is None:
            return
        checkpoint[CHECKPOINT_KEY] = {
            "format": NEWEST_FORMAT,
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

    def training_step(self, turns: Iterable[Iteration], batch_idx: int) -> None:
        """Each turn was collected after the updates of the one before."""
        updates = 0
        try:
            with self._acting_exactly(), naming_update(self.grad_steps, self.env_steps):
                for iteration in turns:
                    self._turn(iteration)
                    updates += iteration.updates
                self._window.check()
        finally:
            loops.count_updates(self.trainer, updates)

    def _acting_exactly(self) -> torch.autocast:
        """Acting in float32: Lightning would cast the actor for every obs. An update casts what it wants."""
        return torch.autocast(self.device.type, enabled=False)

    def _turn(self, iteration: Iteration) -> None:
        """G updates."""
        self.env_steps.fill_(iteration.env_steps)
        sample = iteration.sample
        if sample is not None:
            shape = (iteration.updates, 2, sample.drawn.shape[1])
            assert self._noise_generator is not None
            noise = self.head.draw_noise(shape, self._noise_generator, self.device)  # [G, 2, B, noise]
            for mini_batch, drawn in zip(sample.mini_batches(), noise.unbind(), strict=True):
                self._window.add(self._learn(mini_batch, drawn, iteration.ahead))
            if not self._window.diagnosed:
                self._diagnose(iteration, noise[-1, 1])
        self._window.add_episodes(iteration.finished)
        if self._window.due(iteration.env_steps):
            row = self._window.close(iteration.env_steps)
            self.tell(in_units(row, self.entropy.offset), iteration.env_steps)

    def _diagnose(self, iteration: Iteration, noise: Tensor) -> None:
        """Look at the last mini-batch, once a row of the log."""
        assert iteration.sample is not None
        if iteration.origin is not None:
            alpha = self.temperature.alpha(self.log_alpha.detach(), self.env_steps)
            last = Origin(*(field[-1] for field in iteration.origin()))
            batch = iteration.sample.mini_batches()[-1].gather()
            told = self._diagnostics.of(batch, noise, last, alpha, self.target_entropy)
            self._window.add(Measured.of(told))

    def on_train_epoch_start(self) -> None:
        """Time training alone."""
        self._window.start_clock(int(self.env_steps))

    def on_train_epoch_end(self) -> None:
        """Schedules move once a whole epoch; one that a stop cuts short is completed by the next fit."""
        loops.stop_at_the_end(self.trainer)
        if loops.epoch_is_unfinished(self.trainer):
            loops.take_back_epoch(self.trainer)
            return
        step_schedules(self.lr_schedulers())

    def validation_step(self, evaluations: Iterable[Evaluation | None], batch_idx: int) -> None:
        """Log an evaluation, which the loader runs."""
        check_weights(self)
        with self._acting_exactly(), naming_update(self.grad_steps, self.env_steps):
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
        self.tell(metrics, int(self.env_steps))

    def tell(self, metrics: Mapping[str, float], env_steps: int) -> None:
        """Give a row of metrics to all loggers, against env steps, and keep it in `latest`."""
        self.latest.update(metrics)
        for logger in self.loggers:
            logger.log_metrics(dict(metrics), step=env_steps)
