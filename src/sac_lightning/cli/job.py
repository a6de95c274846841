"""One Hydra job: from its composed config to an exit status."""

import math
from pathlib import Path

from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig
from omegaconf.errors import OmegaConfBaseException

from sac_lightning.cli.assemble import plan
from sac_lightning.cli.run import run
from sac_lightning.cli.rundir import RunDirectory
from sac_lightning.cli.train import tell_mistake
from sac_lightning.errors import ConfigError


def run_job(cfg: DictConfig) -> tuple[int, float]:
    """Exit status and objective (best_return_mean, NaN without one) of one job."""
    hydra_cfg = HydraConfig.get()
    sweep = hydra_cfg.mode == RunMode.MULTIRUN
    group = str(hydra_cfg.sweep.dir) if sweep else None
    try:
        outcome = run(plan(cfg), list(hydra_cfg.overrides.task), group)
    except (ConfigError, OmegaConfBaseException) as error:
        RunDirectory(Path(hydra_cfg.runtime.output_dir)).forget_if_empty()
        return tell_mistake(error), math.nan
    best = outcome.summary["best_return_mean"]
    return outcome.code, math.nan if best is None else best
