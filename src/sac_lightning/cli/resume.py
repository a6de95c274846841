"""`resume=RUN_DIR`: which checkpoint, with which config, and what may be different this time."""

import math
import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from omegaconf import DictConfig, OmegaConf

from sac_lightning.checkpoint import journal_manifest, read_checkpoint
from sac_lightning.cli.rundir import RunDirectory
from sac_lightning.errors import ConfigError, require
from sac_lightning.files import DamagedFile
from sac_lightning.module import CHECKPOINT_KEY
from sac_lightning.replay import Journal

# What may differ: how far to go, where, and how the run is watched.
FREE = ("resume", "total_env_steps", "device", "logger", "callbacks", "trainer")


@dataclass(frozen=True)
class Resumption:
    """A run that can be continued, and the checkpoint to continue from; None: it had not saved one yet."""

    directory: RunDirectory
    checkpoint: Path | None
    env_steps: int
    epochs: int
    run_id: str | None

    def max_epochs(self, total_env_steps: int, steps_per_epoch: int) -> int:
        """Lightning's epoch count at the end: an epoch that a stop cut in two counts as two."""
        whole_run = math.ceil(total_env_steps / steps_per_epoch)
        return self.epochs + whole_run - self.env_steps // steps_per_epoch


def run_directory(value: str) -> tuple[RunDirectory, Path | None]:
    """The run and the checkpoint that `resume=value` means: a run's folder, or one of its checkpoints.

    No checkpoint for a run that ended before it saved one: nothing is lost, it begins anew. Raises
    ConfigError when it is no run.
    """
    require(
        bool(value.strip()),
        "resume",
        value,
        "must be the folder of a run; null, or no resume=, for a new run",
    )
    path = Path(value).expanduser().absolute()
    if path.suffix == ".ckpt":
        directory, checkpoint = RunDirectory(path.parent.parent), path
    else:
        directory = RunDirectory(path)
        checkpoint = directory.last
        if directory.config.is_file() and directory.saved_nothing():
            return directory, None
    for needed in (directory.config, checkpoint):
        if not needed.is_file():
            told = needed.relative_to(directory.path) if needed.is_relative_to(directory.path) else needed
            raise ConfigError(
                "resume", value, f"is no run that can be continued: {told} is missing; name a run directory"
            )
    return directory, checkpoint


def open_run(value: str) -> Resumption:
    """Check the checkpoint and its transitions to the byte, before anything in the run is touched.

    Raises ConfigError, or DamagedFile with a way out if there is one.
    """
    directory, checkpoint = run_directory(value)
    if checkpoint is None:
        return Resumption(directory, None, env_steps=0, epochs=0, run_id=None)
    try:
        content = read_whole(checkpoint, directory)
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


def read_whole(checkpoint: Path, directory: RunDirectory) -> dict[str, Any]:
    """The content of `checkpoint`. Raises DamagedFile unless all that it needs is whole."""
    content = read_checkpoint(checkpoint)
    Journal(directory.replay).check(journal_manifest(content))
    return content


def with_way_out(error: DamagedFile, directory: RunDirectory, tried: Path) -> DamagedFile:
    """`error` with the command that resumes from another checkpoint that is whole, if there is one."""
    for other in sorted(directory.checkpoints.glob("*.ckpt"), key=lambda path: -path.stat().st_mtime):
        if other == tried:
            continue
        try:
            read_whole(other, directory)
        except DamagedFile:
            continue
        command = f"python train.py {shlex.quote(f'resume={other}')}"
        return DamagedFile(error.path, f"{error.what}; resume from an older one: {command}")
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
        else:
            _refuse_difference(override, _plain(value), _plain(OmegaConf.select(saved, key)))
    return saved


def _refuse_difference(override: Override, value: Any, was: Any) -> None:
    key, given = override.key_or_group, str(override.input_line).partition("=")[2]
    may = f"only {', '.join(FREE[1:])} may change"
    if override.is_delete() or (value is None and override.value() is not None):  # such as debug=fast
        raise ConfigError(key, given, f"cannot be compared with the run that is resumed; {may}")
    if value != was:
        raise ConfigError(key, given, f"is {was} in the run that is resumed; {may}")


def _plain(value: Any) -> Any:
    return OmegaConf.to_container(value, resolve=True) if OmegaConf.is_config(value) else value
