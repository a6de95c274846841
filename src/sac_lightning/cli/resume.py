"""`resume=RUN_DIR`: which checkpoint, with which config, and what may be different this time."""

import math
import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from omegaconf import DictConfig, OmegaConf

from sac_lightning.cli.config import allowed_packages, own_values
from sac_lightning.cli.rundir import RunDirectory
from sac_lightning.cli.targets import REFERRING_GROUPS, check_saved, read_saved
from sac_lightning.core.checkpoint import journal_manifests, read_checkpoint
from sac_lightning.core.errors import ConfigError, require
from sac_lightning.core.files import DamagedFile, check_no_links
from sac_lightning.private.lightning import saved_epochs
from sac_lightning.replay import Journal
from sac_lightning.training.datamodule import ReplayDataModule
from sac_lightning.training.policy_module import CHECKPOINT_KEY
from sac_lightning.training.trainer_options import rank_folder

# What may differ: how far to go, where, and how the run is watched.
MAY_DIFFER = (
    "resume",
    "total_env_steps",
    "eval_max_steps",
    "device",
    "logger",
    "callbacks",
    "trainer",
    "print_config",
)
# They belong to a command line, never to a file: what a run may import, and with whom it exchanges programs.
PERMISSIONS = ("allowed_prefixes", "env.allowed_prefixes", "collector.address")


@dataclass(frozen=True)
class Resumption:
    """A run that can be continued, and the checkpoint to continue from; None: it had not saved one yet."""

    directory: RunDirectory
    checkpoint: Path | None
    env_steps: int
    epochs: int
    run_id: str | None
    evaluation_due: bool = False

    def max_epochs(self, total_env_steps: int, steps_per_epoch: int) -> int:
        """Lightning's epoch count at the end: an epoch that a stop cut in two counts as two."""
        whole_run = math.ceil(total_env_steps / steps_per_epoch)
        left = whole_run - self.env_steps // steps_per_epoch if self.env_steps < total_env_steps else 0
        return self.epochs + left + self.evaluation_due


def run_directory(value: str) -> tuple[RunDirectory, Path | None]:
    """The run and the checkpoint that `resume=value` means: a run's folder, or one of its checkpoints.

    No checkpoint for a run that ended before it saved one: nothing is lost, it starts again. Raises
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
            file = needed.relative_to(directory.path) if needed.is_relative_to(directory.path) else needed
            reason = f"is no run that can be continued: {file} is missing; name a run directory"
            raise ConfigError("resume", value, reason)
    return directory, checkpoint


def open_run(value: str) -> Resumption:
    """Check the checkpoint and its transitions to the byte, before anything in the run is touched.

    Raises ConfigError, or DamagedFile with a way out if there is one.
    """
    directory, checkpoint = run_directory(value)
    check_no_links(directory.path)
    if checkpoint is None:
        return Resumption(directory, None, env_steps=0, epochs=0, run_id=None)
    try:
        content = read_whole(checkpoint, directory)
    except DamagedFile as error:
        raise with_older_checkpoint(error, directory, checkpoint) from error.__cause__
    try:
        run_id = content.get(CHECKPOINT_KEY, {}).get("run_id")
        data = content.get(ReplayDataModule.__qualname__, {})
        return Resumption(
            directory,
            checkpoint,
            env_steps=int(content["state_dict"]["sac.env_steps"]),
            epochs=saved_epochs(content),
            run_id=None if run_id is None else str(run_id),
            evaluation_due=bool(data.get("evaluation_due", False)),
        )
    except (KeyError, TypeError, ValueError, AttributeError, RuntimeError):
        raise DamagedFile(checkpoint, "is no checkpoint of a training run") from None


def read_whole(checkpoint: Path, directory: RunDirectory) -> dict[str, Any]:
    """The content of `checkpoint`. Raises DamagedFile unless all that it needs is whole."""
    content = read_checkpoint(checkpoint)
    for rank, manifest in enumerate(journal_manifests(content)):
        Journal(rank_folder(directory.replay, rank)).check(manifest)
    return content


def with_older_checkpoint(error: DamagedFile, directory: RunDirectory, tried: Path) -> DamagedFile:
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
    """The run's own config with the free overrides applied. Raises ConfigError for any other difference.

    What the saved config allows itself does not count: `composed` says which packages are allowed, and only
    the overrides name classes or places beyond what `check_saved` lets a file name.
    """
    directory = resumption.directory
    saved = read_saved(directory.config)
    parsed = OverridesParser.create().parse_overrides(overrides)
    keys = [each.key_or_group.replace("/", ".") for each in parsed]
    given = [key for key in keys if key.split(".")[0] in MAY_DIFFER]
    check_saved(saved, directory.path, allowed_packages(composed), given)
    for key in PERMISSIONS:
        OmegaConf.update(saved, key, OmegaConf.select(composed, key), merge=False, force_add=True)
    saved.paths = {"run_dir": str(directory.path)}
    for override, key in zip(parsed, keys, strict=True):
        root = key.split(".")[0]
        value = OmegaConf.select(composed, key)
        if key in REFERRING_GROUPS:
            value = own_values(composed, key)
        if root == "resume":
            saved.resume = composed.resume
        elif key in PERMISSIONS:
            continue
        elif root in MAY_DIFFER:
            OmegaConf.update(saved, key, value, merge=False, force_add=True)
        else:
            _refuse_difference(override, _plain(value), _plain(OmegaConf.select(saved, key)))
    for group in REFERRING_GROUPS:
        saved[group] = OmegaConf.merge(composed[group], saved.get(group, {}))
    return saved


def _refuse_difference(override: Override, value: Any, was: Any) -> None:
    key, given = override.key_or_group, str(override.input_line).partition("=")[2]
    may = f"only {', '.join(MAY_DIFFER[1:])} may change"
    if override.is_delete() or (value is None and override.value() is not None):  # such as debug=fast
        raise ConfigError(key, given, f"cannot be compared with the run that is resumed; {may}")
    if value != was:
        raise ConfigError(key, given, f"is {was} in the run that is resumed; {may}")


def _plain(value: Any) -> Any:
    return OmegaConf.to_container(value, resolve=True) if OmegaConf.is_config(value) else value
