"""One training run from a checked plan to its summary."""

import logging
import signal
import sys
import time
import traceback
from pathlib import Path
from typing import Any, NamedTuple

import pytorch_lightning as pl
import torch
from omegaconf import DictConfig
from rich.console import Console
from rich.table import Table

from sac_lightning.callbacks import BestCheckpoint, PlotCallback, StopOnSignal
from sac_lightning.cli.assemble import Plan
from sac_lightning.cli.instantiate import build
from sac_lightning.cli.rundir import RunDirectory, logging_to
from sac_lightning.loggers import EnvStepWandbLogger
from sac_lightning.module import SACModule

log = logging.getLogger(__name__)

DONE, FAILED, MISTAKE, INTERRUPTED = 0, 1, 2, 130


class Outcome(NamedTuple):
    """How a run ended: the process's exit status and what summary.json says."""

    code: int
    summary: dict[str, Any]


def run(plan: Plan, overrides: list[str], group: str | None = None) -> Outcome:
    """Train, and leave a whole run directory behind whatever happens.

    Raises ConfigError before anything is written; every later failure becomes an Outcome.
    """
    torch.set_num_threads(plan.threads)
    torch.use_deterministic_algorithms(bool(plan.config.trainer.deterministic))
    module = plan.module()
    directory = RunDirectory(Path(plan.config.paths.run_dir))
    loggers = _loggers(plan.config, overrides, group)
    callbacks = list(_group(plan.config, "callbacks"))
    trainer = plan.trainer(loggers, callbacks)
    directory.prepare(plan.config)
    with logging_to(directory.log):
        return _Run(plan, module, trainer, directory).to_the_end()


class _Run:
    def __init__(self, plan: Plan, module: SACModule, trainer: pl.Trainer, directory: RunDirectory) -> None:
        self.plan, self.module, self.trainer, self.directory = plan, module, trainer, directory
        self.began = time.time()

    def to_the_end(self) -> Outcome:
        log.info("run directory: %s", self.directory.path)
        code, status = FAILED, "failed"
        try:
            self.trainer.fit(self.module, self.plan.datamodule)
            code, status = self._how_it_ended()
        except KeyboardInterrupt:
            code, status = INTERRUPTED, "interrupted"
        except SystemExit:  # Lightning's answer to a second Ctrl-C
            code, status = INTERRUPTED, "interrupted"
        except Exception as error:
            log.error("training failed: %s", error)
            self._log_traceback()
        finally:
            summary = self._summary(status)
            self._finish(code, summary)
        self._tell(summary)
        return Outcome(code, summary)

    def _how_it_ended(self) -> tuple[int, str]:
        stop = next(each for each in self.trainer.callbacks if isinstance(each, StopOnSignal))  # type: ignore[attr-defined]
        if stop.received in (signal.SIGINT, signal.SIGTERM):
            return INTERRUPTED, "interrupted"
        return DONE, "done"

    def _finish(self, code: int, summary: dict[str, Any]) -> None:
        if code != DONE:
            for callback in self.trainer.callbacks:  # type: ignore[attr-defined]
                if isinstance(callback, PlotCallback):
                    callback.draw(self.trainer)
        self.directory.write_summary(summary)
        for logger in self.trainer.loggers:
            if isinstance(logger, EnvStepWandbLogger):
                logger.finish(exit_code=code)

    def _summary(self, status: str) -> dict[str, Any]:
        plan, latest = self.plan, self.module.latest
        env_steps = plan.datamodule.env_steps
        wall = time.time() - self.began
        return {
            "status": status,
            "env_id": plan.datamodule.env.id,
            "seed": plan.config.seed,
            "env_steps": env_steps,
            "grad_steps": int(self.module.grad_steps),
            "eval_return_mean": latest.get("eval/return_mean"),
            "eval_return_std": latest.get("eval/return_std"),
            "eval_episodes": plan.datamodule.eval_episodes,
            "best_return_mean": self._best(),
            "alpha": latest.get("train/alpha"),
            "entropy": latest.get("train/entropy"),
            "target_entropy": latest.get("train/target_entropy"),
            "env_steps_per_s": env_steps / wall if wall > 0 else None,
            "wall_time_s": wall,
        }

    def _best(self) -> float | None:
        for callback in self.trainer.callbacks:  # type: ignore[attr-defined]
            if isinstance(callback, BestCheckpoint) and callback.best_model_score is not None:
                return float(callback.best_model_score)
        return None

    def _log_traceback(self) -> None:
        with self.directory.log.open("a", encoding="utf-8") as file:
            traceback.print_exc(file=file)

    def _tell(self, summary: dict[str, Any]) -> None:
        table = Table(title=f"{summary['env_id']}: {summary['status']}", show_header=False)
        for key in (
            "env_steps",
            "eval_return_mean",
            "eval_return_std",
            "best_return_mean",
            "alpha",
            "entropy",
        ):
            value = summary[key]
            table.add_row(
                key, "–" if value is None else f"{value:,.4g}" if isinstance(value, float) else f"{value:,}"
            )
        table.add_row("run directory", str(self.directory.path))
        Console(file=sys.stdout).print(table)


def _group(cfg: DictConfig, name: str) -> list[Any]:
    made = build(cfg, name) or {}
    return [value for value in made.values() if value is not None]


def _loggers(cfg: DictConfig, overrides: list[str], group: str | None) -> list[Any]:
    """The loggers, W&B's run named after the overrides and holding the resolved config."""
    named = cfg.copy()
    if "wandb" in named.logger and named.logger.wandb is not None:
        told = [item for item in overrides if not item.startswith(("hydra.", "logger"))]
        named.logger.wandb.name = named.logger.wandb.name or (" ".join(told) or str(cfg.task_name))
        named.logger.wandb.group = named.logger.wandb.group or group
    return _group(named, "logger")
