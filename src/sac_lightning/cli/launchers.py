"""What launchers need to be there, and what they leave behind."""

import shutil
import sys

from omegaconf import DictConfig

from sac_lightning.core.errors import ConfigError

SLURM = "SlurmLauncher"
POOLS = ("JoblibLauncher", "RayLauncher")


def check_launcher(config: DictConfig) -> None:
    """Raise ConfigError for a launcher that cannot work on this machine."""
    target = str(config.hydra.launcher.get("_target_", ""))
    if target.endswith(SLURM) and shutil.which("srun") is None:
        told = (
            "needs SLURM, and srun is not found here; launcher=submitit_local runs the jobs on this machine"
        )
        raise ConfigError("launcher", "submitit", told)


def is_pool(launcher: DictConfig) -> bool:
    """Whether the jobs of hydra.launcher end with it, and an exception of one of them ends the others."""
    return str(launcher.get("_target_", "")).endswith(POOLS)


def left_behind() -> None:
    """End a Ray cluster that a launcher started in this process, or leave one that it joined."""
    ray = sys.modules.get("ray")
    if ray is not None and ray.is_initialized():
        ray.shutdown()
