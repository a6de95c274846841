"""One training run from a checked plan to its summary."""

import logging
import os
import time
import traceback
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import pytorch_lightning as pl
import torch
from lightning_fabric.utilities.exceptions import MisconfigurationException
from omegaconf import DictConfig

from sac_lightning.cli.assemble import Plan
from sac_lightning.cli.command_line import (
    DONE,
    FAILED,
    FIRST_RANK,
    INTERRUPTED,
    MISTAKE,
    command_of,
    format_number,
    full_error,
    print_rows,
    rank_of,
)
from sac_lightning.cli.config import allowed_packages, hyperparameters, print_config
from sac_lightning.cli.instantiate import build
from sac_lightning.cli.mistakes import last_lines
from sac_lightning.cli.resume import Resumption, with_older_checkpoint
from sac_lightning.cli.rundir import RunDirectory, logging_to
from sac_lightning.cli.slurm import note_job, requeue
from sac_lightning.core.errors import ConfigError, one_line
from sac_lightning.core.files import DamagedFile, read_json
from sac_lightning.core.hardware import flushed_denormals, keep_freed_memory
from sac_lightning.core.ranks import RankLost, seed_of_rank
from sac_lightning.core.screen import log_level, screen
from sac_lightning.core.seeding import Streams, seed_global_rng
from sac_lightning.envs.registry import needs_permission
from sac_lightning.training.callbacks import BestCheckpoint, GracefulStop, PlotCallback, TrialPruner
from sac_lightning.training.callbacks.stop import SIGNALS
from sac_lightning.training.loggers import EnvStepWandbLogger, MetricsCSV
from sac_lightning.training.module import SACModule

log = logging.getLogger(__name__)
T = TypeVar("T")


class Outcome(NamedTuple):
    """How a run ended: the process's exit status and what summary.json says."""

    code: int
    summary: dict[str, Any]


@flushed_denormals()  # before PyTorch starts its threads, which keep it
def run(plan: Plan, resumption: Resumption | None = None, overrides: Sequence[str] = ()) -> Outcome:
    """Train, and leave a whole run directory behind whatever happens.

    `overrides` are what the person asked for, for summary.json.
    Raises ConfigError before anything is written; every later failure becomes an Outcome.
    """
    rank = rank_of(plan.devices)
    if plan.devices > 1:
        os.environ.setdefault("OMP_NUM_THREADS", str(plan.threads))  # or Lightning chooses another number
        if rank == 0:
            os.environ[FIRST_RANK] = str(os.getpid())
    torch.set_num_threads(plan.threads)
    keep_freed_memory()
    deterministic = plan.config.trainer.deterministic
    torch.use_deterministic_algorithms(bool(deterministic), warn_only=deterministic == "warn")
    directory = RunDirectory(Path(plan.config.paths.run_dir), rank)
    epochs = plan.datamodule.max_epochs
    if resumption is not None:
        epochs = resumption.max_epochs(plan.datamodule.total_env_steps, plan.datamodule.steps_per_epoch)
    trainer = trainer_of(plan, epochs)
    seed_global_rng(Streams.of(seed_of_rank(plan.config.seed, rank)).process)
    module = plan.module()
    this = _Run(plan, module, trainer, directory, resumption, list(overrides))
    if rank:
        screen().quiet = True  # rank 0 says what happens
        with logging_to(directory.log):
            return this.beside_the_first()
    directory.prepare(plan.config)
    if resumption is None:
        note_job(directory.path, overrides)
    if plan.config.get("print_config", False):
        print_config(plan.config)
    with logging_to(directory.log):
        return this.to_the_end()


def trainer_of(plan: Plan, epochs: int) -> pl.Trainer:
    """The Trainer of `plan` with its loggers and callbacks. Raises ConfigError; writes nothing."""
    # Without Lightning's advertisements and its list of the accelerators that are not there.
    with log_level(logging.WARNING, "pytorch_lightning", "lightning_fabric"):
        return plan.trainer(_group(plan.config, "logger"), _group(plan.config, "callbacks"), epochs)


@dataclass
class _Run:
    plan: Plan
    module: SACModule
    trainer: pl.Trainer
    directory: RunDirectory
    resumption: Resumption | None
    overrides: list[str]
    error: str | None = None
    started: float = field(default_factory=time.time)

    def _each(self, kind: type[T]) -> list[T]:
        """The callbacks and loggers of a class."""
        parts = (*vars(self.trainer)["callbacks"], *self.trainer.loggers)
        return [each for each in parts if isinstance(each, kind)]

    def to_the_end(self) -> Outcome:
        log.info("run directory: %s", self.directory.path)
        if self.plan.devices > 1:
            text = "devices=%d: so many processes train together, eagerly, with threads=%d each"
            log.info(text, self.plan.devices, self.plan.threads)
        code, status = FAILED, "failed"
        try:
            code, status = self._fit_or_fail()
            summary = self._summary(code, status)
            self._record(code, summary)
        finally:  # a process may make many runs, and W&B's must not outlive theirs
            for logger in self._each(EnvStepWandbLogger):
                logger.finish(exit_code=code)
        self._print(summary)
        if code == INTERRUPTED:
            self._requeue()
        return Outcome(code, summary)

    def beside_the_first(self) -> Outcome:
        """Train as a rank above 0: rank 0 writes what there is to read, but for a failure here.

        Lightning kills rank 0 where another one ends with a status that is not 0.
        """
        code, _ = self._fit_or_fail()
        return Outcome(DONE if code == INTERRUPTED else code, {})

    def _fit_or_fail(self) -> tuple[int, str]:
        try:
            self._fit()
            return self._how_it_ended()
        except DamagedFile as error:
            tried = None if self.resumption is None else self.resumption.checkpoint
            ours = error.path.resolve().is_relative_to(self.directory.path.resolve())  # not prior data
            damage = with_older_checkpoint(error, self.directory, tried) if tried and ours else error
            raise damage from error.__cause__
        except ConfigError:  # of an env or of data that only the fit has opened
            raise
        except (KeyboardInterrupt, SystemExit):  # SystemExit is Lightning's answer to a second Ctrl-C
            return INTERRUPTED, "interrupted"
        except Exception as error:
            self.error = one_line(f"{type(error).__name__}: {error}")
            if not isinstance(error, RankLost):  # of which rank 0 speaks
                screen().quiet = False
            log.error("training failed: %s", error)
            self.directory.log_traceback()
            is_mistake = _is_wrong_option(error)
            if full_error() or not is_mistake:
                self._show_traceback(error)
            began = 0 if self.resumption is None else self.resumption.env_steps
            return MISTAKE if is_mistake and self.plan.datamodule.env_steps == began else FAILED, "failed"

    def _show_traceback(self, error: Exception) -> None:
        """Print the last lines of the traceback, or all of it with HYDRA_FULL_ERROR=1."""
        rest = [] if full_error() else [f"the whole traceback is in {self.directory.log}"]
        for line in (*last_lines(error), *rest):
            screen().print(line, markup=False, highlight=False, soft_wrap=True)

    def _fit(self) -> None:
        for logger in self.trainer.loggers:
            logger.log_hyperparams(hyperparameters(self.plan.config))
        if self.resumption is None:
            self.trainer.fit(self.module, self.plan.datamodule)
            return
        for logger in self._each(MetricsCSV):
            logger.truncate_after(self.resumption.env_steps)
        log.info("resuming at %d env steps from %s", self.resumption.env_steps, self.resumption.checkpoint)
        # Lightning warns that the folder of the run's own checkpoints is not empty.
        warnings.filterwarnings("ignore", "Checkpoint directory .* exists and is not empty")
        self.trainer.fit(self.module, self.plan.datamodule, ckpt_path=self.resumption.checkpoint)

    def _requeue(self) -> None:
        """Queue the job again where a signal has asked for that."""
        received = [number for stop in self._each(GracefulStop) for number in stop.received]
        asked = [number for number in received if number not in SIGNALS]
        if asked:
            requeue(asked[0])

    def _how_it_ended(self) -> tuple[int, str]:
        stops, pruners = self._each(GracefulStop), self._each(TrialPruner)
        reasons = [*(each.reason for each in stops), *(each.reason for each in pruners)]
        if "interrupted" in reasons:
            return INTERRUPTED, "interrupted"
        return DONE, next((reason for reason in reasons if reason is not None), "done")

    def _record(self, code: int, summary: dict[str, Any]) -> None:
        if code != DONE:
            for callback in self._each(PlotCallback):
                callback.draw(self.trainer)
        try:
            self.directory.write_summary(summary)
        except OSError as error:  # a full disk; what ended the run has been logged
            log.error("summary.json could not be written: %s", error)

    def _summary(self, code: int, status: str) -> dict[str, Any]:
        plan, latest = self.plan, self.module.latest
        env_steps = plan.datamodule.env_steps
        made = env_steps - (0 if self.resumption is None else self.resumption.env_steps)
        wall = time.time() - self.started
        return {
            "status": status,
            "exit_status": code,
            "error": self.error,
            "overrides": self._all_overrides(),
            "resume": None if plan.datamodule.experience is None else plan.datamodule.experience.guarantee,
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
            "env_steps_per_s": made / wall if made > 0 else None,
            "wall_time_s": wall,
        }

    def _all_overrides(self) -> list[str]:
        """What was typed for this run; of a resumed one before too, if the summary of then is there."""
        summary = read_json(self.directory.summary) if self.resumption is not None else None
        if not (summary and isinstance(earlier := summary.get("overrides"), list)):
            return self.overrides
        typed = (each for each in (*map(str, earlier), *self.overrides) if not each.startswith("resume="))
        return list({each.partition("=")[0]: each for each in typed}.values())

    def _best(self) -> float | None:
        scores = [each.best_model_score for each in self._each(BestCheckpoint)]
        return next((float(score) for score in scores if score is not None), None)

    def _print(self, summary: dict[str, Any]) -> None:
        keys = ("env_steps", "eval_episodes", "eval_return_mean", "eval_return_std", "best_return_mean")
        rows = {key: format_number(summary[key]) for key in (*keys, "alpha", "entropy")}
        print_rows(f"{summary['env_id']}: {summary['status']}", rows, self._next(summary["status"]))

    def _next(self, status: str) -> dict[str, str]:
        """Where the run is, and what to type next."""
        folder = str(self.directory.path)
        found = {"run directory": folder}
        if self.directory.last.is_file() or self.directory.best.is_file():
            # A run folder cannot allow anything.
            packages = [each for each in allowed_packages(self.plan.config) if needs_permission(each)]
            allowed = [f"allowed_prefixes=[{','.join(packages)}]"] if packages else []
            found["evaluate"] = command_of("eval", f"run={folder}", *allowed)
            if status != "done":
                found["continue"] = command_of("train", f"resume={folder}", *allowed)
        for logger in self._each(EnvStepWandbLogger):
            if logger.mode == "offline" and logger.sync_dir:
                found["upload"] = logger.sync_command
        return found


def _is_wrong_option(error: Exception) -> bool:
    """Whether Lightning refuses an option of the Trainer or of a callback: its sentence says enough."""
    if isinstance(error, MisconfigurationException):
        return True
    frames = [frame for frame, _ in traceback.walk_tb(error.__traceback__)]
    module = frames[-1].f_globals["__name__"] if frames else ""
    return type(error) is RuntimeError and module.startswith("pytorch_lightning.callbacks.")


def _group(cfg: DictConfig, name: str) -> list[Any]:
    entries = [f"{name}.{key}" for key, entry in cfg[name].items() if entry is not None]
    return [build(cfg, entry) for entry in entries]
