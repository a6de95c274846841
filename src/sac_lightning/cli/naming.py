"""What a run is called where runs are compared."""

from collections.abc import Sequence

from omegaconf import DictConfig

# How a run is watched and where it runs is no part of its name.
UNTOLD = ("logger", "callbacks", "trainer", "sweep.", "launcher=", "threads=", "hparams_search=", "resume=")


def name_wandb_run(cfg: DictConfig, overrides: Sequence[str], sweep: str | None = None) -> None:
    """W&B's name from the overrides, its group from the sweep, where the config leaves them open."""
    if "wandb" not in cfg.logger or cfg.logger.wandb is None:
        return
    told = [item for item in overrides if not item.startswith(UNTOLD)]
    cfg.logger.wandb.name = cfg.logger.wandb.name or " ".join(told) or str(cfg.task_name)
    cfg.logger.wandb.group = cfg.logger.wandb.group or sweep
