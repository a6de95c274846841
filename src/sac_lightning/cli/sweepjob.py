"""One job of a sweep: begun, gone on with or already done; summary.json says how it ended."""

import sys
from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from sac_lightning.cli.assemble import plan
from sac_lightning.cli.mistakes import tell_mistake
from sac_lightning.cli.naming import name_wandb_run
from sac_lightning.cli.resume import FREE, Resumption, open_run
from sac_lightning.cli.run import Outcome, run
from sac_lightning.cli.rundir import RunDirectory, portable
from sac_lightning.cli.saved import read_saved
from sac_lightning.cli.status import DONE, FAILED, INTERRUPTED, MISTAKE
from sac_lightning.cli.stopping import told_to_stop
from sac_lightning.core.errors import ConfigError
from sac_lightning.core.files import DamagedFile

# Where a job runs may change between two starts; how far it goes may not: that would be another sweep.
ASIDE = ({*FREE} - {"total_env_steps"}) | {"paths", "sweep", "threads", "allowed_prefixes"}


class ForeignRun(Exception):
    """A job's folder holds the run of another config, which must stay as it is."""


def run_sweep_job(
    cfg: DictConfig, directory: RunDirectory, overrides: list[str], sweep: Path, in_pool: bool = False
) -> Outcome:
    """The job's outcome. Raises KeyboardInterrupt, which ends the whole sweep, and ForeignRun.

    In a pool an exception would end the other jobs at once: there an interruption is an outcome too.
    """
    try:
        with told_to_stop(sweep) if in_pool else nullcontext(), directory.held(wait=True):
            outcome = _train_or_fail(cfg, directory, overrides, sweep)
    except KeyboardInterrupt:
        if not in_pool:
            raise
        return Outcome(INTERRUPTED, {})
    finally:
        directory.forget_if_empty()  # Hydra makes it also for a job that does not begin
    if outcome.code == INTERRUPTED and not in_pool:
        raise KeyboardInterrupt
    return outcome


def _train_or_fail(cfg: DictConfig, directory: RunDirectory, overrides: list[str], sweep: Path) -> Outcome:
    try:
        return _train(cfg, directory, overrides, sweep)
    except (ConfigError, DamagedFile, OmegaConfBaseException) as error:
        tell_mistake(error)
        return _failed(MISTAKE, error, cfg, directory, overrides)
    except ForeignRun:
        raise
    except Exception as error:
        print(f"error: {_one_line(error)}", file=sys.stderr)
        return _failed(FAILED, error, cfg, directory, overrides)


def _train(cfg: DictConfig, directory: RunDirectory, overrides: list[str], sweep: Path) -> Outcome:
    if cfg.resume is not None:
        raise ConfigError("resume", cfg.resume, "continues one run; for a sweep give sweep.resume=true")
    resumption = None
    if directory.config.is_file():
        saved = read_saved(directory.config)
        _refuse_another(cfg, saved, directory)
        done = directory.ended()
        if done is not None:
            print(f"{directory.path} is done already")
            return Outcome(DONE, done)
        cfg.threads = saved.threads  # another number may round sums differently
        resumption = open_run(str(directory.path))
    elif cfg.threads == "auto":
        cfg.threads = cfg.sweep.threads
    _prepare_to_watch(cfg, overrides, sweep, resumption)
    return run(plan(cfg), resumption, overrides)


def _prepare_to_watch(
    cfg: DictConfig, overrides: list[str], sweep: Path, resumption: Resumption | None
) -> None:
    name_wandb_run(cfg, overrides, f"{sweep.parent.name}/{sweep.name}")
    if resumption is not None and OmegaConf.select(cfg, "logger.wandb") is not None:
        cfg.logger.wandb.id = resumption.run_id
    # One terminal has room for one bar.
    if cfg.sweep.at_once != 1 and OmegaConf.select(cfg, "callbacks.progress.live") is not None:
        cfg.callbacks.progress.live = False


def _refuse_another(cfg: DictConfig, saved: DictConfig, directory: RunDirectory) -> None:
    now, was = (OmegaConf.to_container(each) for each in (portable(cfg), saved))
    assert isinstance(now, dict)
    assert isinstance(was, dict)
    for each in (now, was):
        if isinstance(each.get("env"), dict):
            each["env"].pop("allowed_prefixes", None)
    for key in sorted({str(key) for key in {*now, *was}} - ASIDE):
        if now.get(key) != was.get(key):
            where, given, before = _difference(key, now.get(key), was.get(key))
            raise ForeignRun(f"{where}={given}: is {before} in the run that {directory.path} holds already")


def _difference(key: str, now: Any, was: Any) -> tuple[str, Any, Any]:
    """The first place where two values differ."""
    if isinstance(now, dict) and isinstance(was, dict):
        first = next(each for each in sorted({*now, *was}) if now.get(each) != was.get(each))
        return _difference(f"{key}.{first}", now.get(first), was.get(first))
    return key, now, was


def _failed(
    code: int, error: BaseException, cfg: DictConfig, directory: RunDirectory, overrides: Sequence[str]
) -> Outcome:
    """A job that failed outside of its training: its traceback in train.log, its summary without results."""
    directory.log_traceback()
    summary = {
        "status": "failed",
        "exit_status": code,
        "error": _one_line(error),
        "overrides": list(overrides),
        "env_id": OmegaConf.select(cfg, "env.id", throw_on_missing=False),
        "seed": cfg.seed,
    }
    try:
        directory.write_summary(summary)
    except OSError as failed:  # what ended the job has been reported
        print(f"error: {_one_line(failed)}", file=sys.stderr)
    return Outcome(code, summary)


def _one_line(error: BaseException) -> str:
    return " ".join(f"{type(error).__name__}: {error}".split())
