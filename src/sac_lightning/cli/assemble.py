"""From a composed config to a module, a data module and a trainer; every mistake before an env is made."""

import functools
import math
from dataclasses import dataclass
from typing import Any

import pytorch_lightning as pl
import torch
from lightning_fabric.plugins.environments.lightning import LightningEnvironment
from omegaconf import DictConfig, OmegaConf

from sac_lightning.cli.config import allowed_packages, check_values, make_whole
from sac_lightning.cli.instantiate import build, naming_errors
from sac_lightning.cli.mistakes import OWN_TRAINER_KEYS
from sac_lightning.cli.slurm import stop_signals
from sac_lightning.cli.targets import check_targets
from sac_lightning.core.errors import ConfigError, require
from sac_lightning.core.hardware import check_devices, resolve_compile, resolve_device, resolve_threads
from sac_lightning.entropy import entropy_setting
from sac_lightning.envs import declared_action
from sac_lightning.replay import MixedReplay
from sac_lightning.spaces import BoxAction
from sac_lightning.training.callbacks import AtomicCheckpointIO, EvaluationVideo, GracefulStop
from sac_lightning.training.datamodule import ReplayDataModule
from sac_lightning.training.module import SACModule
from sac_lightning.training.trainer_options import NOT_COMPILED, check_count


@dataclass(frozen=True)
class Plan:
    """Everything that a checked config says, before an env or a folder is made."""

    config: DictConfig
    datamodule: ReplayDataModule
    make_module: "functools.partial[SACModule]"
    device: torch.device
    devices: int
    threads: int
    compiled: bool
    max_seconds: float | None

    def module(self) -> SACModule:
        """The module for the env's spaces: this makes (and closes) one env."""
        obs, action = self.datamodule.specs
        self.datamodule.check_memory(self.devices)
        head = _make_head(self.config, self.make_module, action)
        with naming_errors(self.config, "module"):
            module = self.make_module(obs, action, head=head, compile=self.compiled)
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
            devices=self.devices if on_cpu or self.devices > 1 else [self.device.index or 0],
            strategy="ddp" if self.devices > 1 else "auto",
            precision=self.config.precision,
            logger=loggers,
            callbacks=[*callbacks, EvaluationVideo(), GracefulStop(self.max_seconds, stop_signals())],
            # Whatever cluster this is: the command starts its own ranks, or finds itself started as one.
            plugins=[AtomicCheckpointIO(), *([LightningEnvironment()] if self.devices > 1 else [])],
            max_time=None,  # GracefulStop ends the run at trainer.max_time
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
    for key in ("log_every_n_env_steps", "actor_delay", "devices"):
        check_count(key, cfg[key])
    if cfg.reset_every is not None:
        check_count("reset_every", cfg.reset_every)
    for key, advice in OWN_TRAINER_KEYS.items():
        if cfg.trainer.get(key) is not None:
            raise ConfigError(f"trainer.{key}", cfg.trainer[key], advice)
    for name, entry in cfg.callbacks.items() if cfg.eval_episodes == 0 else ():
        monitor = None if entry is None else entry.get("monitor")
        allowed = f"callbacks.{name!s} watches {monitor}, which evaluations give: leave it out, or evaluate"
        require(not str(monitor).startswith("eval/"), "eval_episodes", 0, allowed)
    # What may be named may be imported, so that one key is enough.
    OmegaConf.update(cfg, "env.allowed_prefixes", allowed_packages(cfg), merge=False, force_add=True)
    device = resolve_device(cfg.device)
    check_devices(cfg.devices, device)
    require(cfg.devices == 1 or cfg.compile is not True, "compile", True, NOT_COMPILED)
    datamodule = build(cfg, "data", device=device)
    if cfg.devices > 1:
        datamodule.check_ranks(cfg.devices)
    if isinstance(datamodule.replay, MixedReplay):
        OmegaConf.update(cfg, "replay.sha256", datamodule.replay.sha256, merge=False, force_add=True)
    make_module = build(cfg, "module")
    made = Plan(
        config=cfg,
        datamodule=datamodule,
        make_module=make_module,
        device=device,
        devices=cfg.devices,
        threads=resolve_threads(cfg.threads, cfg.devices),
        max_seconds=_max_seconds(cfg.trainer.get("max_time")),
        # Several devices compile nothing.
        compiled=resolve_compile(cfg.compile, datamodule.schedule.total_updates if cfg.devices == 1 else 0),
    )
    make_module.keywords["critic"].check_replay(datamodule.replay.needs_huber_loss)
    make_module.keywords["critic"].check_actor(make_module.keywords["actor"])
    normalizations = [make_module.keywords[f"{what}_normalization"] for what in ("obs", "reward")]
    datamodule.replay.check_normalization(is_raw=all(each.is_raw for each in normalizations))
    declared = declared_action(datamodule.env.action)
    if declared is None:
        _check_head(cfg, make_module)
    else:
        head = _make_head(cfg, make_module, declared)
        entropy_setting(make_module.keywords["temperature"], head, declared)
        for network in ("actor", "critic"):
            make_module.keywords[network].check_head(head)
    return made


def _make_head(cfg: DictConfig, make_module: "functools.partial[SACModule]", action: Any) -> Any:
    with naming_errors(cfg, "head"):
        return make_module.keywords["head"](action)


def _check_head(cfg: DictConfig, make_module: "functools.partial[SACModule]") -> None:
    """Raise ConfigError for a head's own arguments, for an env that does not say what an action is."""
    choices: list[dict[str, Any]] = [{"discrete": 2}, {"multi_discrete": [2, 2]}, {"hybrid": [2, 1]}]
    declared = [{"box": 1}, *choices]
    unbounded = BoxAction((-math.inf,), (math.inf,), (1,))
    for each in (*map(declared_action, declared), unbounded):
        try:
            _make_head(cfg, make_module, each)
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
