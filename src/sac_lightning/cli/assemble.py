"""From a composed config to a module, a data module and a trainer; every mistake before an env is made."""

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from omegaconf import DictConfig

from sac_lightning.cli.instantiate import build
from sac_lightning.cli.targets import check_targets
from sac_lightning.cli.values import allowed_packages, check_values, make_whole
from sac_lightning.core.errors import ConfigError, require
from sac_lightning.core.hardware import resolve_compile, resolve_device, resolve_threads
from sac_lightning.entropy import TemperatureRule, entropy_setting
from sac_lightning.envs import EnvConfig, declared_action
from sac_lightning.networks import ActorConfig, CriticConfig, ObsNormalization, RewardNormalization
from sac_lightning.replay import check_fits
from sac_lightning.spaces import BoxAction
from sac_lightning.training.callbacks import AtomicCheckpointIO, EvaluationVideo, GracefulStop
from sac_lightning.training.checks import PRECISIONS, check_log_every
from sac_lightning.training.datamodule import ReplayDataModule
from sac_lightning.training.module import SACModule

OWN_TRAINER_KEYS = {
    "gradient_clip_val": "clip with optimizer.max_grad_norm, of each network and of log_alpha",
    "devices": "runs on one device; use device=",
    "accelerator": "use device=",
    "strategy": "runs on one device; several are not supported",
    "num_nodes": "runs on one device; several are not supported",
    "precision": "use precision=",
    "max_epochs": "follows from total_env_steps and steps_per_epoch",
    "max_steps": "follows from total_env_steps and utd_ratio",
}


@dataclass(frozen=True)
class Plan:
    """Everything that a checked config says, before an env or a folder is made."""

    config: DictConfig
    datamodule: ReplayDataModule
    temperature: TemperatureRule
    actor: ActorConfig
    critic: CriticConfig
    obs_normalization: ObsNormalization
    reward_normalization: RewardNormalization
    device: torch.device
    threads: int
    compiled: bool
    max_seconds: float | None

    def module(self) -> SACModule:
        """The module for the env's spaces: this makes (and closes) one env."""
        obs, action = self.datamodule.specs
        check_fits(self.datamodule.capacity, obs, action, self.device)
        cfg = self.config
        module = SACModule(
            obs,
            action,
            build(cfg, "head", action),
            self.temperature,
            self.actor,
            self.critic,
            self.obs_normalization,
            self.reward_normalization,
            seed=cfg.seed,
            compile=self.compiled,
            log_every_n_env_steps=cfg.log_every_n_env_steps,
        )
        module.save_hyperparameters({}, logger=False)  # loggers get the whole config instead
        return module

    def trainer(self, loggers: list[Any], callbacks: list[Any], max_epochs: int) -> pl.Trainer:
        """Lightning's Trainer for this run."""
        on_cpu = self.device.type == "cpu"
        trainer: pl.Trainer = build(
            self.config,
            "trainer",
            max_epochs=max_epochs,
            default_root_dir=self.config.trainer.get("default_root_dir") or self.config.paths.run_dir,
            accelerator="cpu" if on_cpu else "gpu",
            devices=1 if on_cpu else [self.device.index or 0],
            precision=self.config.precision,
            logger=loggers,
            callbacks=[*callbacks, EvaluationVideo(), GracefulStop(self.max_seconds)],
            plugins=[AtomicCheckpointIO()],
            max_time=None,  # GracefulStop keeps it
            reload_dataloaders_every_n_epochs=1,  # the last epoch may be shorter
            num_sanity_val_steps=0,  # the sanity check would roll out the env
            log_every_n_steps=1,  # rows are due by env steps; Lightning would warn of short epochs
            enable_model_summary=False,
            inference_mode=False,
            **({} if self.datamodule.eval_episodes else {"limit_val_batches": 0}),
        )
        return trainer


def plan(cfg: DictConfig) -> Plan:
    """Check every value of `cfg`. Raises ConfigError; makes no env, no folder and no network."""
    make_whole(cfg)
    check_values(cfg)
    check_targets(cfg, cfg.allowed_prefixes)
    check_log_every(cfg.log_every_n_env_steps)
    require(
        str(cfg.precision) in PRECISIONS,
        "precision",
        cfg.precision,
        f"must be one of {', '.join(PRECISIONS)}",
    )
    for key, advice in OWN_TRAINER_KEYS.items():
        if cfg.trainer.get(key) is not None:
            raise ConfigError(f"trainer.{key}", cfg.trainer[key], advice)
    if cfg.eval_episodes == 0:
        _need_no_evaluation(cfg.callbacks)
    device = resolve_device(cfg.device)
    datamodule = _datamodule(cfg, device)
    temperature = build(cfg, "alpha")
    updates = datamodule.updates_due(datamodule.total_env_steps)
    made = Plan(
        config=cfg,
        datamodule=datamodule,
        temperature=temperature,
        actor=build(cfg, "actor"),
        critic=build(cfg, "critic"),
        obs_normalization=build(cfg, "normalization.obs"),
        reward_normalization=build(cfg, "normalization.reward"),
        device=device,
        threads=resolve_threads(cfg.threads),
        max_seconds=_max_seconds(cfg.trainer.get("max_time")),
        compiled=resolve_compile(cfg.compile, updates),
    )
    declared = declared_action(datamodule.env.action)
    if declared is None:
        _check_head(cfg)
    else:
        entropy_setting(temperature, build(cfg, "head", declared), declared)
    return made


def _need_no_evaluation(callbacks: DictConfig) -> None:
    for name, entry in callbacks.items():
        monitor = entry.get("monitor") if isinstance(entry, DictConfig) else None
        told = f"callbacks.{name!s} watches {monitor}, which evaluations give: leave it out, or evaluate"
        require(not str(monitor).startswith("eval/"), "eval_episodes", 0, told)


def _check_head(cfg: DictConfig) -> None:
    """Raise ConfigError for a head's own arguments, for an env that does not say what an action is."""
    declared: list[dict[str, Any]] = [
        {"box": 1},
        {"discrete": 2},
        {"multi_discrete": [2, 2]},
        {"hybrid": [2, 1]},
    ]
    unbounded = BoxAction((-math.inf,), (math.inf,), (1,))
    for each in (*map(declared_action, declared), unbounded):
        try:
            build(cfg, "head", each)
        except ConfigError as error:
            if error.key != "head":  # `head` itself: it is for other actions
                raise


def _max_seconds(max_time: str | None) -> float | None:
    """Seconds of Lightning's DD:HH:MM:SS."""
    if max_time is None:
        return None
    parts = str(max_time).split(":")
    ok = len(parts) == 4 and all(part.isdigit() for part in parts)
    require(ok, "trainer.max_time", max_time, "must be DD:HH:MM:SS, e.g. 00:01:30:00, or null")
    days, hours, minutes, seconds = map(int, parts)
    return float(((days * 24 + hours) * 60 + minutes) * 60 + seconds)


def _datamodule(cfg: DictConfig, device: torch.device) -> ReplayDataModule:
    # What may be named may be imported, so that one key is enough.
    env: EnvConfig = build(cfg, "env", allowed_prefixes=allowed_packages(cfg))
    return ReplayDataModule(
        env,
        total_env_steps=cfg.total_env_steps,
        steps_per_epoch=cfg.steps_per_epoch,
        learning_starts=cfg.learning_starts,
        num_envs=cfg.num_envs,
        collect_steps=cfg.collector.collect_steps,
        turns_per_batch=cfg.collector.turns_per_batch,
        overlap=cfg.collector.overlap,
        utd_ratio=cfg.utd_ratio,
        batch_size=cfg.batch_size,
        replay=build(cfg, "replay"),
        eval_episodes=cfg.eval_episodes,
        eval_envs=cfg.get("eval_envs", 10),  # a run of before has none
        eval_seed=cfg.eval_seed,
        eval_max_steps=cfg.eval_max_steps,
        seed=cfg.seed,
        device=device,
        journal_dir=Path(cfg.paths.run_dir) / "replay",
    )
