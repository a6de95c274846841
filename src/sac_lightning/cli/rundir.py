"""The files of a run directory that are not Lightning's: config.yaml, summary.json, train.log."""

import logging
import os
import platform
import shlex
import traceback
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from errno import EACCES
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, ListConfig, OmegaConf
from rich.console import Console
from typing_extensions import override

from sac_lightning.cli.command_line import ENDED, start_folder
from sac_lightning.core.errors import ConfigError, require
from sac_lightning.core.files import no_link, read_json, write_atomically, write_json
from sac_lightning.core.locking import NAME as LOCK
from sac_lightning.core.locking import FolderInUse, FolderLock
from sac_lightning.core.screen import ScreenHandler

SHOWN_VERSIONS = ("sac-lightning", "torch", "pytorch-lightning", "gymnasium", "hydra-core", "numpy", "wandb")
LOGGERS = ("sac_lightning", "pytorch_lightning", "lightning_fabric", "py.warnings", "mujoco")
# Whose information people see; of the others they see warnings.
SHOWN = ("sac_lightning", "pytorch_lightning.profilers")


class RunDirectory:
    """One run's folder. Nothing is written before `prepare`."""

    def __init__(self, path: Path, rank: int = 0) -> None:
        self.path, self.rank = path, rank
        self.config = path / "config.yaml"
        self.summary = path / "summary.json"
        self.log = path / (f"train.rank{rank}.log" if rank else "train.log")
        self.replay = path / "replay"
        self.checkpoints = path / "checkpoints"
        self.last = self.checkpoints / "last.ckpt"
        self.best = self.checkpoints / "best.ckpt"

    def prepare(self, cfg: DictConfig) -> None:
        """Write the resolved config, with the paths of this run left as interpolations.

        Raises ConfigError if that, or train.log, cannot be written.
        """
        text = OmegaConf.to_yaml(portable_config(cfg))
        try:
            write_atomically(self.config, lambda temporary: temporary.write_text(text, encoding="utf-8"))
            self.log.touch()
            self.log.open("a").close()
        except OSError as error:
            raise self._unwritable(error) from None

    def check_new(self) -> None:
        """Raise ConfigError if the folder contains a run or a sweep: a new run would be mixed with it."""
        sweep = (self.path / "sweep.json").exists()
        command = shlex.quote(f"resume={self.path}")
        reason = "contains a sweep: " if sweep else f"contains a run: continue it with {command}, or "
        require(not (sweep or self.has_run()), "hydra.run.dir", self.path, f"{reason}name another folder")

    def has_run(self) -> bool:
        """Whether a run has written its files here."""
        return self.config.exists() or (self.path / "metrics.csv").exists() or not self.saved_nothing()

    def saved_nothing(self) -> bool:
        """Whether no checkpoint and no transition of this run is on disk."""
        return not any(self.checkpoints.glob("*.ckpt")) and not any(self.replay.glob("segment-*"))

    @contextmanager
    def locked(self, key: str = "hydra.run.dir", wait: bool = False) -> Iterator[None]:
        """Lock this folder against every other process to the end of the block.

        Raises ConfigError, named by `key`, where another process has locked it or where it cannot be
        written. With `wait` it waits for the other one: a launcher's worker outlives the sweep that was
        killed, and may still train here. If nothing was written in the block, the folder is removed.
        """
        lock = FolderLock(self.path)
        try:
            lock.acquire(wait)
            if not os.access(self.path, os.W_OK):
                raise PermissionError(EACCES, os.strerror(EACCES))
        except FolderInUse:
            reason = "is in use by another process, which trains there: wait until it has ended"
            raise ConfigError(key, self.path, reason) from None
        except OSError as error:
            lock.release()
            raise self._unwritable(error, key) from None
        try:
            yield
        finally:
            with suppress(OSError):
                if [path.name for path in self.path.iterdir()] == [LOCK]:
                    (self.path / LOCK).unlink()
            self.remove_if_empty()
            lock.release()

    def _unwritable(self, error: OSError, key: str = "hydra.run.dir") -> ConfigError:
        reason = f"cannot be written ({error.strerror or error}): a run needs a folder that it may write into"
        return ConfigError(key, self.path, reason)

    def log_traceback(self) -> None:
        """Add the traceback of the exception that is being handled to train.log."""
        with suppress(OSError), open(self.log, "a", encoding="utf-8", opener=no_link) as file:
            traceback.print_exc(file=file)

    def ended(self) -> dict[str, Any] | None:
        """The summary of a run that has come to its end and says so."""
        summary = read_json(self.summary)
        return summary if summary is not None and summary.get("status") in ENDED else None

    def write_summary(self, content: dict[str, Any]) -> None:
        """Write summary.json with the versions of what ran."""
        write_json(self.summary, {**content, "versions": versions()})

    def write_failure(
        self, code: int, reason: str, overrides: Sequence[str], config: DictConfig | ListConfig
    ) -> dict[str, Any]:
        """Write the summary of a run that failed outside of its training; return it."""
        summary = {
            "status": "failed",
            "exit_status": code,
            "error": reason,
            "overrides": list(overrides),
            "env_id": OmegaConf.select(config, "env.id", throw_on_missing=False),
            "seed": OmegaConf.select(config, "seed"),
        }
        self.write_summary(summary)
        return summary

    def remove_if_empty(self) -> None:
        """Remove the folder, and parents left empty, if nothing is in it: a mistake leaves no trace."""
        folder, start = self.path, start_folder()
        with suppress(OSError):
            while folder.is_dir() and not any(folder.iterdir()) and folder != start:
                folder.rmdir()
                folder = folder.parent


def portable_config(cfg: DictConfig) -> DictConfig:
    """`cfg` resolved, but for `paths`, which belong to the place where a run lies."""
    from sac_lightning.cli.config import resolved  # imports PyTorch, which a sweep's own process spares

    run_dir = str(cfg.paths.run_dir)
    moved = replace_text(resolved(cfg), run_dir, "${paths.run_dir}")
    moved["paths"] = {"run_dir": "."}
    out = OmegaConf.create({})
    out.merge_with(moved)
    return out


def replace_text(value: Any, old: str, new: str) -> Any:
    """Return plain data with `old` replaced by `new` in all texts."""
    if isinstance(value, dict):
        return {key: replace_text(item, old, new) for key, item in value.items()}
    if isinstance(value, list):
        return [replace_text(item, old, new) for item in value]
    return value.replace(old, new) if isinstance(value, str) else value


def versions() -> dict[str, str]:
    """The versions that a result depends on."""
    found = {"python": platform.python_version()}
    for name in SHOWN_VERSIONS:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


class _LogFile(logging.FileHandler):
    """Silent when it cannot be written: on a full disk the terminal still shows why the run ended."""

    @override
    def _open(self) -> Any:
        return open(self.baseFilename, self.mode, encoding=self.encoding, opener=no_link)

    @override
    def handleError(self, record: logging.LogRecord) -> None:
        """Nothing: logging would print a traceback for every record."""


@contextmanager
def logging_to(path: Path, console: Console | None = None) -> Iterator[None]:
    """Log records of the project and Lightning go to `path`; our own and warnings to the terminal too."""
    path.parent.mkdir(parents=True, exist_ok=True)
    to_file = _LogFile(path, encoding="utf-8")
    to_file.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    to_screen = ScreenHandler(console)
    to_screen.addFilter(lambda record: record.levelno >= logging.WARNING or record.name.startswith(SHOWN))
    loggers = [logging.getLogger(name) for name in LOGGERS]
    before = [(logger.handlers[:], logger.propagate, logger.level) for logger in loggers]
    for logger in loggers:
        logger.handlers, logger.propagate = [to_file, to_screen], False
        logger.setLevel(logging.INFO)
    logging.captureWarnings(True)
    try:
        with warnings.catch_warnings():
            # Lightning's own use of a deprecated name, which no user of a run can mend.
            warnings.filterwarnings("ignore", module=r"pytorch_lightning\.utilities\._pytree")
            yield
    finally:
        logging.captureWarnings(False)
        for logger, (handlers, propagate, level) in zip(loggers, before, strict=True):
            logger.handlers, logger.propagate = handlers, propagate
            logger.setLevel(level)
        with suppress(OSError):
            to_file.close()
