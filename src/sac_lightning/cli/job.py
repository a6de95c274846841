"""One Hydra job, from its composed config to an exit status: a new run, a resumed one, one of a sweep."""

import math
import re
import sys
from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path

from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig, ListConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from sac_lightning.cli.assemble import plan
from sac_lightning.cli.command_line import DONE, FAILED, INTERRUPTED, rank_of
from sac_lightning.cli.config import (
    check_values,
    drop_settings_of_replaced_parts,
    make_whole,
    place_prior_data,
)
from sac_lightning.cli.mistakes import print_mistake
from sac_lightning.cli.resume import MAY_DIFFER, open_run, resumed_config, run_directory
from sac_lightning.cli.run import Outcome, run
from sac_lightning.cli.rundir import RunDirectory, portable_config
from sac_lightning.cli.slurm import earlier_run
from sac_lightning.cli.sweep.jobs import defining_overrides
from sac_lightning.cli.sweep.multirun import POOLS
from sac_lightning.cli.sweep.pool import stop_with_sweep
from sac_lightning.cli.targets import leaves, read_saved
from sac_lightning.core.errors import ConfigError, one_line, require, whole
from sac_lightning.core.files import DamagedFile
from sac_lightning.envs.registry import split_id

# Where a job runs may change between two starts; how far it goes may not: that would be another sweep.
MAY_DIFFER_IN_SWEEP = {*MAY_DIFFER, "paths", "sweep", "threads", "allowed_prefixes"} - {"total_env_steps"}


class ForeignRun(Exception):
    """Raised when a job's folder contains the run of another config, which must stay as it is."""


def run_job(cfg: DictConfig) -> tuple[int, float]:
    """Return exit status and objective (best_return_mean, NaN without one) of one job."""
    hydra = HydraConfig.get()
    drop_settings_of_replaced_parts(cfg, hydra)
    make_whole(cfg)
    place_prior_data(cfg)
    overrides = list(hydra.overrides.task)
    _allow_typed_module(cfg, overrides)
    directory = RunDirectory(Path(hydra.runtime.output_dir))
    if hydra.mode == RunMode.MULTIRUN:
        require(cfg.devices == 1, "devices", cfg.devices, "must be 1 in a sweep (-m)")
        in_pool = str(hydra.launcher.get("_target_", "")).endswith(POOLS)
        sweep = Path(str(hydra.sweep.dir))
        outcome = _run_of_sweep(cfg, directory, defining_overrides(overrides), sweep, in_pool)
    else:
        try:
            outcome = _new(cfg, directory, overrides) if cfg.resume is None else _resumed(cfg, overrides)
        except (ConfigError, DamagedFile, OmegaConfBaseException) as error:
            directory.remove_if_empty()
            return print_mistake(error), math.nan
    best = outcome.summary.get("best_return_mean")
    return outcome.code, math.nan if best is None else best


def _allow_typed_module(cfg: DictConfig, overrides: list[str]) -> None:
    """Whoever types env.id=my_package:MyEnv-v0 means to import my_package; a file that says so may not."""
    typed = any(override.partition("=")[0].lstrip("+") == "env.id" for override in overrides)
    env_id, allowed = (OmegaConf.select(cfg, f"env.{key}") for key in ("id", "allowed_prefixes"))
    module = split_id(env_id)[0] if typed and isinstance(env_id, str) else None
    if module and isinstance(allowed, ListConfig) and module not in allowed:
        allowed.append(module)


def _name_wandb_run(
    cfg: DictConfig, overrides: Sequence[str], sweep: str | None = None, run_id: str | None = None
) -> None:
    """Set W&B's name from the overrides and its group from the sweep where the config leaves them open."""
    wandb = cfg.logger.get("wandb")
    if wandb is not None:
        wandb.name = wandb.name or " ".join(defining_overrides(overrides)) or str(cfg.task_name)
        wandb.group = wandb.group or sweep
        wandb.id = run_id or wandb.id


def _new(cfg: DictConfig, directory: RunDirectory, overrides: list[str]) -> Outcome:
    if (earlier := earlier_run(directory.path, overrides)) is not None:
        directory.remove_if_empty()
        cfg.resume = str(earlier)
        free = [each for each in overrides if re.split(r"[=./@]", each.lstrip("+~"))[0] in MAY_DIFFER]
        return _resumed(cfg, [f"resume={earlier}", *free])
    if rank_of(cfg.devices):
        named = any(each.startswith("hydra.run.dir=") for each in sys.argv)
        require(named, "hydra.run.dir", directory.path, "must be given, the same to all ranks")
        return run(plan(cfg), overrides=overrides)
    with directory.locked():
        directory.check_new()
        _name_wandb_run(cfg, overrides)
        return run(plan(cfg), overrides=overrides)


def _resumed(composed: DictConfig, overrides: list[str]) -> Outcome:
    directory, _ = run_directory(str(composed.resume))
    rank = rank_of(OmegaConf.select(read_saved(directory.config), "devices", default=1))
    with nullcontext() if rank else directory.locked("resume"):
        resumption = open_run(str(composed.resume))
        cfg = resumed_config(resumption, composed, overrides)
        check_values(cfg)
        total = cfg.total_env_steps
        require(whole(total) >= 1, "total_env_steps", total, "must be a whole number of at least 1")
        complete = resumption.env_steps >= total and not resumption.evaluation_due
        # Where the process was killed before it could write its summary, the run does that now.
        if complete and directory.ended():
            steps = resumption.env_steps
            advice = f"give total_env_steps above {steps} to continue"
            print(f"{directory.path} has {steps} env steps already: {advice}")
            return Outcome(DONE, {})
        if cfg.logger.get("wandb") is not None:
            cfg.logger.wandb.id = resumption.run_id
        return run(plan(cfg), resumption, overrides)


def _run_of_sweep(
    cfg: DictConfig, directory: RunDirectory, overrides: list[str], sweep: Path, in_pool: bool
) -> Outcome:
    """The job's outcome. Raises KeyboardInterrupt, which ends the whole sweep, and ForeignRun.

    In a pool an exception would end the other jobs at once: there an interruption is an outcome too.
    """
    try:
        with stop_with_sweep(sweep) if in_pool else nullcontext(), directory.locked(wait=True):
            outcome = _train_or_fail(cfg, directory, overrides, sweep)
    except KeyboardInterrupt:
        if not in_pool:
            raise
        return Outcome(INTERRUPTED, {})
    finally:
        directory.remove_if_empty()  # Hydra makes it also for a job that does not start
    if outcome.code == INTERRUPTED and not in_pool:
        raise KeyboardInterrupt
    return outcome


def _train_or_fail(cfg: DictConfig, directory: RunDirectory, overrides: list[str], sweep: Path) -> Outcome:
    """A failure outside of the training: its traceback in train.log, its summary without results."""
    try:
        return _train(cfg, directory, overrides, sweep)
    except ForeignRun:
        raise
    except Exception as error:
        reason = one_line(f"{type(error).__name__}: {error}")
        if isinstance(error, ConfigError | DamagedFile | OmegaConfBaseException):
            code = print_mistake(error)
        else:
            code = FAILED
            print(f"error: {reason}", file=sys.stderr)
        directory.log_traceback()
        try:
            return Outcome(code, directory.write_failure(code, reason, overrides, cfg))
        except OSError as failed:  # what ended the job has been reported
            print(f"error: summary.json: {failed}", file=sys.stderr)
            return Outcome(code, {})


def _train(cfg: DictConfig, directory: RunDirectory, overrides: list[str], sweep: Path) -> Outcome:
    if cfg.resume is not None:
        raise ConfigError("resume", cfg.resume, "continues one run; for a sweep give sweep.resume=true")
    resumption = None
    if directory.config.is_file():
        saved = read_saved(directory.config)
        sha256 = OmegaConf.select(saved, "replay.sha256")
        if sha256 is not None and "sha256" in cfg.replay:  # of the prior data with which the run began
            cfg.replay.sha256 = cfg.replay.sha256 or sha256
        _refuse_another(cfg, saved, directory)
        done = directory.ended()
        if done is not None:
            print(f"{directory.path} is done already")
            return Outcome(DONE, done)
        cfg.threads = saved.threads  # another number may round sums differently
        resumption = open_run(str(directory.path))
    elif cfg.threads == "auto":
        cfg.threads = cfg.sweep.threads
    run_id = None if resumption is None else resumption.run_id
    _name_wandb_run(cfg, overrides, f"{sweep.parent.name}/{sweep.name}", run_id)
    # One terminal has room for one bar.
    if cfg.sweep.at_once != 1 and OmegaConf.select(cfg, "callbacks.progress.live") is not None:
        cfg.callbacks.progress.live = False
    return run(plan(cfg), resumption, overrides)


def _refuse_another(cfg: DictConfig, saved: DictConfig, directory: RunDirectory) -> None:
    now, was = (dict(leaves(OmegaConf.to_container(each))) for each in (portable_config(cfg), saved))
    for key in sorted({*now, *was}):
        free = key.partition(".")[0] in MAY_DIFFER_IN_SWEEP or key.startswith("env.allowed_prefixes")
        if not free and now.get(key) != was.get(key):
            reason = f"is {was.get(key)} in the run that {directory.path} already contains"
            raise ForeignRun(f"{key}={now.get(key)}: {reason}")
