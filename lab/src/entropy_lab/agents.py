"""Train small real agents with this project's own module and data and Lightning's Trainer."""

import logging
import warnings
from argparse import Namespace
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import pytorch_lightning as pl
from pytorch_lightning.loggers.logger import Logger
from typing_extensions import override

from entropy_lab.experiment import steps
from sac_lightning.core.screen import log_level
from sac_lightning.entropy import TemperatureRule
from sac_lightning.envs import EnvConfig
from sac_lightning.heads import ActionHead
from sac_lightning.networks import ActorConfig, CriticConfig, Polyak
from sac_lightning.replay import ReplayBuffer
from sac_lightning.training.datamodule import ReplayDataModule
from sac_lightning.training.module import SACModule

EVALUATIONS = 10
CARTPOLE_LIMIT = 200  # steps an episode: the limit of CartPole-v0, which small agents reach in minutes


@dataclass(frozen=True)
class Recipe:
    """An env, and the settings of a small agent for it; `log_every` is in env steps."""

    env: EnvConfig
    total_env_steps: int
    learning_starts: int
    num_envs: int = 1
    utd_ratio: float = 1.0
    batch_size: int = 128
    capacity: int | None = None  # of the replay buffer; None: everything is kept
    gamma: float = 0.98
    tau: float = 0.02
    lr: float = 1e-3
    hidden_sizes: tuple[int, ...] = (64, 64)
    log_every: int = 250
    eval_episodes: int = 10
    evaluates: bool = True

    @property
    def steps_per_epoch(self) -> int:
        """For ten evaluations; a multiple of the number of envs."""
        iterations = max(1, self.total_env_steps // (EVALUATIONS * self.num_envs))
        return iterations * self.num_envs


def cartpole(budget: float) -> Recipe:
    """Return the recipe for CartPole with episodes of at most 200 steps, for rules of the target and of α."""
    return Recipe(
        EnvConfig(id="CartPole-v1", max_episode_steps=CARTPOLE_LIMIT),
        total_env_steps=steps(6_000, budget, least=400),
        learning_starts=steps(500, budget, least=100),
        num_envs=2,
        gamma=0.99,
        tau=0.05,
        utd_ratio=0.5,
        lr=2e-3,
        log_every=steps(150, budget, least=20),
    )


def pendulum(budget: float) -> Recipe:
    """Return the recipe for Pendulum, for rules of α."""
    return Recipe(
        EnvConfig(id="Pendulum-v1"),
        total_env_steps=steps(3_500, budget, least=400),
        learning_starts=steps(300, budget, least=100),
        tau=0.01,
        lr=2e-3,
        log_every=steps(250, budget, least=20),
    )


@dataclass(frozen=True)
class Trained:
    """A trained module with what it logged, by env steps."""

    module: SACModule
    data: ReplayDataModule
    log: dict[int, dict[str, float]]


# Called with the module, its data, the env steps and the row of metrics that was just logged.
AfterRow = Callable[[SACModule, ReplayDataModule, int, dict[str, float]], None]


class MemoryLogger(Logger):
    """Keeps the rows that a run logs, and calls `after_row` with the env steps and the row after each."""

    def __init__(self, after_row: Callable[[int, dict[str, float]], None]) -> None:
        super().__init__()
        self.rows: dict[int, dict[str, float]] = {}
        self._after_row = after_row

    @property
    @override
    def name(self) -> str:
        """A name that Lightning asks for; the rows stay in memory."""
        return "lab"

    @property
    @override
    def version(self) -> str:
        """A name that Lightning asks for; the rows stay in memory."""
        return ""

    @override
    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        """Add to the row of `step`, in env steps."""
        row = self.rows.setdefault(step or 0, {})
        row.update(metrics)
        self._after_row(step or 0, row)

    @override
    def log_hyperparams(self, params: dict[str, Any] | Namespace, *args: Any, **kwargs: Any) -> None:
        """Nothing: the hyperparameters stand in the experiment's code."""


def train(
    recipe: Recipe,
    temperature: TemperatureRule,
    seed: int,
    head: ActionHead | None = None,
    after_row: AfterRow = lambda module, data, env_steps, row: None,
) -> Trained:
    """Train an agent of `recipe` to the end, on the CPU. `after_row` may change the module and the row."""
    data = ReplayDataModule(
        recipe.env,
        total_env_steps=recipe.total_env_steps,
        steps_per_epoch=recipe.steps_per_epoch,
        learning_starts=recipe.learning_starts,
        num_envs=recipe.num_envs,
        utd_ratio=recipe.utd_ratio,
        batch_size=recipe.batch_size,
        replay=ReplayBuffer(recipe.capacity, gamma=recipe.gamma),
        eval_episodes=recipe.eval_episodes,
        seed=seed,
    )
    shared: dict[str, Any] = {"hidden_sizes": recipe.hidden_sizes, "lr": recipe.lr}
    module = SACModule(
        *data.specs,
        head=head,
        temperature=temperature,
        actor=ActorConfig(**shared),
        critic=CriticConfig(**shared, target_network=Polyak(recipe.tau)),
        seed=seed,
        log_every_n_env_steps=recipe.log_every,
    )
    logger = MemoryLogger(lambda env_steps, row: after_row(module, data, env_steps, row))
    _fit(module, data, logger, recipe.evaluates)
    return Trained(module, data, dict(sorted(logger.rows.items())))


def _fit(module: SACModule, data: ReplayDataModule, logger: Logger, evaluates: bool) -> None:
    # The lab does on purpose what they warn of.
    loggers = ("pytorch_lightning", "lightning_fabric", "sac_lightning")
    with log_level(logging.ERROR, *loggers), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        pl.Trainer(
            max_epochs=data.max_epochs,
            accelerator="cpu",
            logger=logger,
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
            num_sanity_val_steps=0,
            reload_dataloaders_every_n_epochs=1,
            limit_val_batches=None if evaluates else 0,
        ).fit(module, data)
