"""The files of a run directory that are not Lightning's: config.yaml, summary.json, train.log."""

import fcntl
import logging
import os
import platform
import traceback
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf
from rich.console import Console
from rich.logging import RichHandler
from typing_extensions import override

from sac_lightning.files import no_link, write_atomically, write_json

TOLD_VERSIONS = ("sac-lightning", "torch", "pytorch-lightning", "gymnasium", "hydra-core", "numpy", "wandb")
LOGGERS = ("sac_lightning", "pytorch_lightning", "lightning_fabric", "py.warnings", "mujoco")


class RunDirectory:
    """One run's folder. Nothing is written before `prepare`."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.config = path / "config.yaml"
        self.summary = path / "summary.json"
        self.log = path / "train.log"
        self.replay = path / "replay"
        self.checkpoints = path / "checkpoints"
        self.last = self.checkpoints / "last.ckpt"
        self.best = self.checkpoints / "best.ckpt"

    def prepare(self, cfg: DictConfig) -> None:
        """Write the resolved config, with the paths of this run left as interpolations."""
        text = OmegaConf.to_yaml(portable(cfg))
        write_atomically(self.config, lambda temporary: temporary.write_text(text, encoding="utf-8"))

    def saved_nothing(self) -> bool:
        """Whether no checkpoint and no transition of this run is on disk."""
        return not any(self.checkpoints.glob("*.ckpt")) and not any(self.replay.glob("segment-*"))

    @contextmanager
    def held(self) -> Iterator[None]:
        """Wait until no other process holds this folder, then hold it to the end of the block.

        A launcher's worker outlives the sweep that was killed, and may still train here.
        """
        handle = os.open(self.path, os.O_RDONLY)
        try:
            with suppress(OSError):  # some network file systems know no locks
                fcntl.flock(handle, fcntl.LOCK_EX)
            yield
        finally:
            os.close(handle)

    def log_traceback(self) -> None:
        """Add the traceback of the exception that is being handled to train.log."""
        with suppress(OSError), open(self.log, "a", encoding="utf-8", opener=no_link) as file:
            traceback.print_exc(file=file)

    def write_summary(self, content: dict[str, Any]) -> None:
        """Write summary.json with the versions of what ran."""
        write_json(self.summary, {**content, "versions": versions()})

    def forget_if_empty(self) -> None:
        """Remove the folder, and parents left empty, if nothing was written: a mistake leaves no trace."""
        folder = self.path
        while folder.is_dir() and not any(folder.iterdir()) and folder != Path.cwd():
            folder.rmdir()
            folder = folder.parent


def portable(cfg: DictConfig) -> DictConfig:
    """`cfg` resolved, but for `paths`, which belong to the place where a run lies."""
    plain = OmegaConf.to_container(cfg, resolve=True)
    assert isinstance(plain, dict)
    run_dir = str(cfg.paths.run_dir)
    moved = _replace(plain, run_dir, "${paths.run_dir}")
    moved["paths"] = {"run_dir": "."}
    out = OmegaConf.create({})
    out.merge_with(moved)
    return out


def _replace(value: Any, old: str, new: str) -> Any:
    if isinstance(value, dict):
        return {key: _replace(item, old, new) for key, item in value.items()}
    if isinstance(value, list):
        return [_replace(item, old, new) for item in value]
    return value.replace(old, new) if isinstance(value, str) else value


def versions() -> dict[str, str]:
    """The versions that a result depends on."""
    found = {"python": platform.python_version()}
    for name in TOLD_VERSIONS:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


@contextmanager
def quiet_lightning() -> Iterator[None]:
    """Without Lightning's advertisements and its list of the accelerators that are not there."""
    loggers = [logging.getLogger(name) for name in ("pytorch_lightning", "lightning_fabric")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.WARNING)
    try:
        yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)


class _LogFile(logging.FileHandler):
    """Silent when it cannot be written: on a full disk the terminal still tells why the run ended."""

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
    to_screen = RichHandler(console=console or Console(stderr=True), show_path=False, show_time=False)
    to_screen.addFilter(
        lambda record: record.levelno >= logging.WARNING or record.name.startswith("sac_lightning")
    )
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
