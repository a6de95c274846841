"""SACModule: Soft Actor-Critic as a LightningModule with manual optimization."""

import logging
import warnings
from collections.abc import Iterable, Mapping
from typing import Any, Self, cast

import torch
from pytorch_lightning import LightningModule
from torch import Tensor, nn
from torch.optim import Adam, Optimizer
from torch.optim.lr_scheduler import LRScheduler

from sac_lightning.checkpoint import NEWEST_FORMAT
from sac_lightning.checks import check_numbers, check_trainer
from sac_lightning.diagnostics import Diagnostics
from sac_lightning.entropy import Auto, TemperatureRule, entropy_setting
from sac_lightning.evaluation import Evaluation
from sac_lightning.hardware import keep_freed_memory
from sac_lightning.heads import ActionHead, head_for
from sac_lightning.loaders import Iteration
from sac_lightning.measured import Measured
from sac_lightning.metrics import Metrics, MetricWindow, in_units
from sac_lightning.networks import Actor, ActorConfig, CriticConfig, CriticEnsemble
from sac_lightning.policy import Policy
from sac_lightning.rng import global_rng_state, restore_global_rng
from sac_lightning.seeding import Streams, torch_generator
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
        self._window = MetricWindow(log_every_n_env_steps)
        self._noise_generator: torch.Generator | None = None
        self._resumed: dict[str, Any] | None = None

    def _plain_hyperparameters(self, log_every: int) -> PlainSpec:
        described = {
            "obs": self.obs_spec,
            "action": self.action_spec,
            "head": self.head,
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
        return module.eval()

    # --- Lightning's hooks ---------------------------------------------------------------------------

    def configure_optimizers(self) -> tuple[list[Optimizer], list[LRScheduler]]:
        """Critic, actor and, where α is learned, log_alpha, each with an Adam of its own."""
        owners: list[tuple[Any, Any]] = [
            (self.critic_config, self.critic.parameters()),
            (self.actor_config, self.actor.parameters()),
        ]
        if isinstance(self.temperature, Auto):
            owners.append((self.temperature, [self.log_alpha]))
        optimizers = [config.optimizer(parameters) for config, parameters in owners]
        epochs = self.trainer.max_epochs or 1
        schedulers = [
            config.scheduler(optimizer, epochs)
            for (config, _), optimizer in zip(owners, optimizers, strict=True)
        ]
        return optimizers, [scheduler for scheduler in schedulers if scheduler is not None]

    def setup(self, stage: str) -> None:
        """Refuse what this module cannot do, before anything runs."""
        if stage == "fit":
            check_trainer(self.trainer.precision, self.trainer.world_size)

    def on_fit_start(self) -> None:
        """The noise for this device, and what the run that is continued had drawn."""
        keep_freed_memory()
        self._diagnostics = Diagnostics(self.actor, self.critic, self.head, self.temperature)
        if self._noise_generator is None:
            self._noise_generator = torch_generator(Streams.of(self.seed).update, self.device)
        if self._resumed is not None:
            self._noise_generator.set_state(self._resumed["noise_generator"].cpu())
            self._window.load_state_dict(self._resumed["window"])
        if self.entropy.warning:
            log.warning(self.entropy.warning)

    def on_train_start(self) -> None:
        """Weights and optimizers are where they stay. The global random states come back last."""
        self._learn = Update(
            self._parts(),
            [cast(Adam, each) for each in self.trainer.optimizers],
            compiled=self.compile_update,
            autocast=self.trainer.precision == "bf16-mixed",
        )
        if self._resumed is not None:
            restore_global_rng(self._resumed["global_rng"])
            self._resumed = None

    def _parts(self) -> Parts:
        return Parts(
            self.actor,
            self.critic,
            self.target_critic,
            self.head,
            self.temperature,
            self.entropy.target_rule,
            self.log_alpha,
            self.target_entropy,
            self.target_memory,
            self.env_steps,
            self.grad_steps,
            self.actor_config,
            self.critic_config,
            self.gamma,
            self.tau,
        )

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """What Lightning does not save: random states and the open row of metrics."""
        generator = self._noise_generator
        if generator is None:
            return
        checkpoint[CHECKPOINT_KEY] = {
            "format": NEWEST_FORMAT,
            "noise_generator": generator.get_state(),
            "window": self._window.state_dict(),
            "global_rng": global_rng_state(),
            "latest": dict(self.latest),
            "run_id": next((each.run_id for each in self.loggers if hasattr(each, "run_id")), None),
        }

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Keep what `on_save_checkpoint` wrote until the fit begins."""
        self._resumed = checkpoint.get(CHECKPOINT_KEY)
        if self._resumed is not None:
            self.latest.update(self._resumed["latest"])

    def training_step(self, turns: Iterable[Iteration], batch_idx: int) -> None:
        """Each turn was collected after the updates of the one before."""
        updates = 0
        try:
            with self._acting_exactly():
                for iteration in turns:
                    self._turn(iteration)
                    updates += iteration.updates
        finally:
            self._count(updates)

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

    def _count(self, updates: int) -> None:
        """Let `trainer.global_step` count `updates`. A wrapped `optimizer.step()` would, for 0.1 ms each."""
        progress = self.trainer.fit_loop.epoch_loop.manual_optimization.optim_step_progress
        for counted in (progress.total, progress.current):
            counted.ready += updates
            counted.completed += updates

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
        """Schedules move once a whole epoch; one that a stop cuts short is completed by the resumed run."""
        datamodule = getattr(self.trainer, "datamodule", None)
        if datamodule is not None and getattr(datamodule, "epoch_cut_short", False):
            return
        schedulers = self.lr_schedulers()
        with warnings.catch_warnings():
            # An epoch of warm-up alone has no optimizer step, which PyTorch warns of.
            warnings.filterwarnings("ignore", message="Detected call of `lr_scheduler.step")
            for scheduler in schedulers if isinstance(schedulers, list) else [schedulers]:
                if scheduler is not None:
                    scheduler.step()

    def validation_step(self, evaluations: Iterable[Evaluation], batch_idx: int) -> None:
        """An evaluation is run by the loader: tell it."""
        with self._acting_exactly():
            (evaluation,) = evaluations
        metrics = {"eval/return_mean": evaluation.return_mean, "eval/return_std": evaluation.return_std}
        self.log_dict(metrics, logger=False, batch_size=1)  # for ModelCheckpoint and EarlyStopping
        self.tell(metrics, int(self.env_steps))

    def tell(self, metrics: Mapping[str, float], env_steps: int) -> None:
        """Give a row of metrics to all loggers, against env steps, and keep it in `latest`."""
        self.latest.update(metrics)
        for logger in self.loggers:
            logger.log_metrics(dict(metrics), step=env_steps)
