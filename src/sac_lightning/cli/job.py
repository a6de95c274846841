"""One Hydra job: from its composed config to an exit status."""

import math
from pathlib import Path

from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig, ListConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from sac_lightning.cli.assemble import plan
from sac_lightning.cli.launchers import is_pool
from sac_lightning.cli.mistakes import tell_mistake
from sac_lightning.cli.naming import name_wandb_run
from sac_lightning.cli.resume import open_run, resumed_config, run_directory
from sac_lightning.cli.run import Outcome, run
from sac_lightning.cli.rundir import RunDirectory
from sac_lightning.cli.sweepfolder import told_apart
from sac_lightning.cli.sweepjob import run_sweep_job
from sac_lightning.cli.values import check_values, make_whole
from sac_lightning.core.errors import ConfigError, require, whole
from sac_lightning.core.files import DamagedFile
from sac_lightning.envs.registry import split_id


def run_job(cfg: DictConfig) -> tuple[int, float]:
    """Exit status and objective (best_return_mean, NaN without one) of one job."""
    make_whole(cfg)
    hydra_cfg = HydraConfig.get()
    overrides = list(hydra_cfg.overrides.task)
    _allow_typed_module(cfg, overrides)
    directory = RunDirectory(Path(hydra_cfg.runtime.output_dir))
    if hydra_cfg.mode == RunMode.MULTIRUN:
        sweep, in_pool = Path(str(hydra_cfg.sweep.dir)), is_pool(hydra_cfg.launcher)
        outcome = run_sweep_job(cfg, directory, told_apart(overrides), sweep, in_pool)
    else:
        try:
            outcome = _resume(cfg, overrides) if cfg.resume is not None else _begin(cfg, directory, overrides)
        except (ConfigError, DamagedFile, OmegaConfBaseException) as error:
            directory.forget_if_empty()
            return tell_mistake(error), math.nan
    best = outcome.summary.get("best_return_mean")
    return outcome.code, math.nan if best is None else best


def _allow_typed_module(cfg: DictConfig, overrides: list[str]) -> None:
    """Whoever types env.id=my_package:MyEnv-v0 means to import my_package; a file that says so may not."""
    typed = any(override.partition("=")[0].lstrip("+") == "env.id" for override in overrides)
    env_id, allowed = (OmegaConf.select(cfg, f"env.{key}") for key in ("id", "allowed_prefixes"))
    module = split_id(env_id)[0] if typed and isinstance(env_id, str) else None
    if module and isinstance(allowed, ListConfig) and module not in allowed:
        allowed.append(module)


def _begin(cfg: DictConfig, directory: RunDirectory, overrides: list[str]) -> Outcome:
    with directory.held():
        directory.check_new()
        name_wandb_run(cfg, overrides)
        return run(plan(cfg), overrides=overrides)


def _resume(composed: DictConfig, overrides: list[str]) -> Outcome:
    directory, _ = run_directory(str(composed.resume))
    with directory.held("resume"):
        return _continue(composed, overrides)


def _continue(composed: DictConfig, overrides: list[str]) -> Outcome:
    resumption = open_run(str(composed.resume))
    cfg = resumed_config(resumption, composed, overrides)
    check_values(cfg)
    total = cfg.total_env_steps
    require(whole(total) >= 1, "total_env_steps", total, "must be a whole number of at least 1")
    complete = resumption.env_steps >= cfg.total_env_steps and not resumption.evaluation_due
    # Where the process was killed before it could write its summary, the run does that now.
    if complete and resumption.directory.ended():
        told = f"already has its total_env_steps={cfg.total_env_steps}: give a larger one to go on"
        print(f"{resumption.directory.path} {told}")
        return Outcome(0, {})
    if "wandb" in cfg.logger and cfg.logger.wandb is not None:
        cfg.logger.wandb.id = resumption.run_id
    return run(plan(cfg), resumption, overrides)
