"""SACModule: Soft Actor-Critic as a LightningModule with manual optimization."""

import logging
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any, TypeVar, cast

from torch.optim import Adam, Optimizer
from torch.optim.lr_scheduler import LRScheduler

from sac_lightning.algorithm.sac import SAC
from sac_lightning.collect.loaders import Iteration
from sac_lightning.core.checkpoint import FORMAT
from sac_lightning.core.fields import Whole
from sac_lightning.core.finite import check_weights, naming_update
from sac_lightning.core.ranks import Ranks, own_state
from sac_lightning.core.seeding import Streams, global_rng_state, restore_global_rng, torch_generator
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
from sac_lightning.optim import OptimizerStep
from sac_lightning.private.lightning import count_updates, take_back_epoch
from sac_lightning.spaces import ActionSpec, ObsSpec
from sac_lightning.training import loops
from sac_lightning.training.policy_module import CHECKPOINT_KEY, PolicyModule
from sac_lightning.training.trainer_options import check_count, check_trainer, ranks_of
from sac_lightning.training.update_loop import UpdateLoop

log = logging.getLogger(__name__)
T = TypeVar("T", bound=Described)


class SACModule(PolicyModule):
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
        settings: dict[str, Any] = {
            "actor_delay": check_count("actor_delay", actor_delay),
            "reset_every": None if reset_every is None else check_count("reset_every", reset_every),
            "random_shift": int(Whole("[0, 100]", "pixels").check("random_shift", random_shift)),
            "seed": seed,
            "compile": compile,
            "log_every_n_env_steps": check_count("log_every_n_env_steps", log_every_n_env_steps),
        }
        self.save_hyperparameters({**{key: value.to_spec() for key, value in described.items()}, **settings})
        parts |= {key: settings[key] for key in ("actor_delay", "random_shift")}
        make_sac = partial(SAC, self.obs_spec, self.action_spec, **parts)
        self.sac = make_sac(generator=torch_generator(Streams.of(seed).init))
        self.update_loop = UpdateLoop(
            self.sac,
            make_sac,
            seed=seed,
            reset_every=settings["reset_every"],
            log_every=settings["log_every_n_env_steps"],
        )
        self.actor_config: ActorConfig = parts["actor"]
        self.critic_config: CriticConfig = parts["critic"]
        self.seed, self.compile_update = seed, compile
        self._resumed: dict[str, Any] | None = None
        self._optimization: tuple[list[Optimizer], list[LRScheduler]] | None = None
        self._counts = 0, 0
        self._ranks: Ranks | None = None

    @property
    def can_fuse_action(self) -> bool:
        """Whether an update of this fit can choose the next action as well."""
        return self.update_loop.compiled is not None and self.update_loop.compiled.can_act

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
        for logger in self.trainer.loggers:
            loops.log_at_env_steps(logger, lambda: int(self.env_steps))
        loops.restore_monitors(self.trainer)
        loops.defer_monitors(self.trainer)

    def teardown(self, stage: str) -> None:
        """Undo what `setup` did to loggers and callbacks."""
        loops.restore_monitors(self.trainer)
        for logger in self.trainer.loggers:
            loops.log_at_given_steps(logger)

    def on_fit_start(self) -> None:
        """Start or resume the counters, the metrics and the noise of updates."""
        self.train()  # `load_from_checkpoint` returns a module in eval mode
        if self.trainer.ckpt_path is None:
            self._resumed = None
            if not loops.continues(self.trainer, int(self.env_steps)):  # a new run, with these weights
                self.grad_steps.zero_()
                self.latest.clear()
                self.update_loop.start_run()
            self.env_steps.fill_(loops.env_steps(self.trainer))
        every = 1 if loops.fast_dev_run(self.trainer) else None
        self.update_loop.start_fit(self.device, self.trainer.global_rank, every)
        if self._resumed is not None:
            self._resumed = dict(own_state(self._resumed, self._ranks))
            self.update_loop.load_state_dict(self._resumed)
            self.latest.update(self._resumed["latest"])
        if self.sac.entropy_setting.warning:
            log.warning(self.sac.entropy_setting.warning)

    def on_train_start(self) -> None:
        """Prepare updates: weights and optimizers now stay where they are. Restores global states last."""
        loops.start_epoch(self.trainer)
        replay = loops.replay(self.trainer)
        self.critic_config.check_replay(replay.needs_huber_loss)
        raw = self.sac.normalize_obs is None and self.sac.normalize_reward is None
        replay.check_normalization(is_raw=raw)
        schedules: Any = self.lr_schedulers() or []
        self.update_loop.prepare(
            [
                OptimizerStep(config.optimizer, cast(Adam, optimizer))
                for config, optimizer in zip(self._optimized, self.trainer.optimizers, strict=True)
            ],
            schedules if isinstance(schedules, list) else [schedules],
            replay,
            compiled=self.compile_update,
            bfloat16=self.trainer.precision == "bf16-mixed",
            ranks=self._ranks,
        )
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
        if self.update_loop.noise_generator is None:  # never in a fit
            return
        state = {
            "format": FORMAT,
            **self.update_loop.state_dict(),
            "global_rng": global_rng_state(),
            "latest": dict(self.latest),
            "run_id": next((each.run_id for each in self.loggers if hasattr(each, "run_id")), None),
        }
        checkpoint[CHECKPOINT_KEY] = state if self._ranks is None else self._ranks.states(state)

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Keep what `on_save_checkpoint` wrote for a fit that resumes; loading the weights calls this too."""
        super().on_load_checkpoint(checkpoint)
        saved = checkpoint.get(CHECKPOINT_KEY)
        self._resumed = None if saved is None or saved.get("policy_only", False) else saved

    def training_step(self, iterations: Iterable[Iteration], batch_idx: int) -> None:
        """Updates as often as each iteration asks; each was collected after the updates of the one before."""
        loop, updates = self.update_loop, 0
        try:
            with self._without_autocast(), naming_update(self.grad_steps, self.env_steps):
                for iteration in iterations:
                    for index, noise, with_actor in loop.updates_of(iteration):
                        if loop.compiled is not None:
                            result = loop.compiled(index, noise, iteration.fused_action, with_actor)
                        else:
                            result = self.sac.update(iteration.replay.gather(index), noise, with_actor)
                        loop.add(iteration.replay, index, result)
                    if (row := loop.row(iteration.env_steps)) is not None:
                        self.log_metrics(row, iteration.env_steps)
                    updates += iteration.updates
                loop.window.check()
            self._counts = loops.env_steps(self.trainer), loop.updates
        finally:
            count_updates(self.trainer, updates)

    def on_train_epoch_start(self) -> None:
        """Time training alone."""
        self.update_loop.window.start_clock(int(self.env_steps))

    def on_train_epoch_end(self) -> None:
        """End a complete run; do not count an epoch that a stop cut short: the next fit completes it.

        Raises RanksDiffer where networks, statistics or optimizers are not the same on all ranks.
        """
        self.update_loop.check_equal_on_ranks()
        loops.stop_at_the_end(self.trainer)
        if loops.epoch_is_unfinished(self.trainer):
            take_back_epoch(self.trainer)


def _part(base: type[T], value: T | PlainSpec | None, default: Callable[[], T]) -> T:
    """Return `value` as an object of `base`, or the default for None."""
    return default() if value is None else from_spec(base, value)
