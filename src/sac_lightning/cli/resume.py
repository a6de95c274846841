"""`resume=RUN_DIR`: which checkpoint, with which config, and what may be different this time."""

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from omegaconf import DictConfig, OmegaConf

from sac_lightning.checkpoint import read_checkpoint
from sac_lightning.cli.rundir import RunDirectory
from sac_lightning.errors import ConfigError
from sac_lightning.files import DamagedFile
from sac_lightning.module import CHECKPOINT_KEY

# What cannot change the past: how far to go, and how the run is watched.
FREE = ("resume", "total_env_steps", "logger", "callbacks", "trainer")


@dataclass(frozen=True)
class Resumption:
    """A run that can be continued, and the checkpoint to continue from."""

    directory: RunDirectory
    checkpoint: Path
    env_steps: int
    epochs: int
    run_id: str | None

    def max_epochs(self, total_env_steps: int, steps_per_epoch: int) -> int:
        """Lightning's epoch count at the end: an epoch that a stop cut in two counts as two."""
        whole_run = math.ceil(total_env_steps / steps_per_epoch)
        return self.epochs + whole_run - self.env_steps // steps_per_epoch


def run_directory(value: str) -> tuple[RunDirectory, Path]:
    """The run and the checkpoint that `resume=value` means: a run's folder, or one of its checkpoints.

    Raises ConfigError when it is no run.
    """
    path = Path(value).expanduser().absolute()
    if path.suffix == ".ckpt":
        directory, checkpoint = RunDirectory(path.parent.parent), path
    else:
        directory = RunDirectory(path)
        checkpoint = directory.last
    for needed in (directory.config, checkpoint):
        if not needed.is_file():
            told = needed.relative_to(directory.path) if needed.is_relative_to(directory.path) else needed
            raise ConfigError(
                "resume", value, f"is no run that can be continued: {told} is missing; name a run directory"
            )
    return directory, checkpoint


def open_run(value: str) -> Resumption:
    """Read the checkpoint's counters. Raises ConfigError, or DamagedFile with a way out if there is one."""
    directory, checkpoint = run_directory(value)
    try:
        content = read_checkpoint(checkpoint)
    except DamagedFile as error:
        raise with_way_out(error, directory, checkpoint) from error.__cause__
    own = content.get(CHECKPOINT_KEY, {})
    progress = content["loops"]["fit_loop"]["epoch_progress"]["current"]
    return Resumption(
        directory,
        checkpoint,
        env_steps=int(content["state_dict"]["env_steps"]),
        epochs=int(progress["processed"]),
        run_id=own.get("run_id"),
    )


def with_way_out(error: DamagedFile, directory: RunDirectory, tried: Path) -> DamagedFile:
    """`error` with the command that resumes from another checkpoint that is whole, if there is one."""
    for other in sorted(directory.checkpoints.glob("*.ckpt"), key=lambda path: -path.stat().st_mtime):
        if other == tried:
            continue
        try:
            read_checkpoint(other)
        except DamagedFile:
            continue
        return DamagedFile(
            error.path, f"{error.what}; resume from an older one: python train.py resume={other}"
        )
    return error


def resumed_config(resumption: Resumption, composed: DictConfig, overrides: list[str]) -> DictConfig:
    """The run's own config with the free overrides applied. Raises ConfigError for any other difference."""
    saved = OmegaConf.load(resumption.directory.config)
    assert isinstance(saved, DictConfig)
    saved.paths.run_dir = str(resumption.directory.path)
    for override in OverridesParser.create().parse_overrides(overrides):
        key = override.key_or_group
        root = key.replace("/", ".").split(".")[0]
        value = OmegaConf.select(composed, key)
        if root == "resume":
            saved.resume = composed.resume
        elif root in FREE:
            OmegaConf.update(saved, key, value, merge=False, force_add=True)
        elif _plain(value) != _plain(OmegaConf.select(saved, key)):
            was, given = _plain(OmegaConf.select(saved, key)), str(override.input_line).split("=", 1)[-1]
            allowed = ", ".join(FREE[1:])
            raise ConfigError(key, given, f"is {was} in the run that is resumed; only {allowed} may change")
    return saved


def _plain(value: Any) -> Any:
    return OmegaConf.to_container(value, resolve=True) if OmegaConf.is_config(value) else value
