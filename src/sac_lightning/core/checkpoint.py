"""Reads a checkpoint as data: tensors, numbers, strings, lists and dicts, and nothing else."""

import pickle
import zipfile
from pathlib import Path
from typing import Any

import torch

from sac_lightning.core.errors import one_line
from sac_lightning.core.files import DamagedFile

FORMAT = 4


def read_checkpoint(path: Path) -> dict[str, Any]:
    """Return the content of `path`, on the CPU. Raises DamagedFile for damage and for more than data."""
    if not path.is_file():
        raise DamagedFile(path, "the checkpoint is missing")
    if path.stat().st_size == 0:
        raise DamagedFile(path, "the checkpoint is empty")
    content = _read(path)
    if not isinstance(content, dict) or not {"state_dict", "loops"} <= content.keys():
        raise DamagedFile(path, "is no checkpoint of a training run")
    _require_format(path, content)
    return content


def check_format(path: Path) -> None:
    """Raise DamagedFile for a checkpoint of another format; a file that is no checkpoint passes."""
    try:
        content = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
    except Exception:  # whoever loads the file says what is wrong with it
        return
    if isinstance(content, dict):
        _require_format(path, content)


def _require_format(path: Path, content: dict[str, Any]) -> None:
    own = content.get("sac_lightning", {})
    written = own.get("format", FORMAT) if isinstance(own, dict) else None
    if not isinstance(written, int):
        raise DamagedFile(path, "is no checkpoint of a training run")
    if written != FORMAT:
        which = "a newer" if written > FORMAT else "an earlier"
        reason = f"was written in format {written} by {which} sac_lightning; this one reads format {FORMAT}"
        raise DamagedFile(path, reason)


def replay_state(content: dict[str, Any]) -> dict[str, Any]:
    """Return a checkpoint's state of the replay buffer, with the journal's segments; {} where it has none."""
    states = (value for value in content.values() if isinstance(value, dict) and "journal" in value)
    return next(states, {})


def journal_manifest(content: dict[str, Any]) -> list[Any]:
    """Return the segments of the replay journal that a checkpoint needs; none if it was saved without one."""
    return replay_state(content).get("journal") or []


def _read(path: Path) -> Any:
    try:
        _check_bytes(path)
        return torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        program = "Unsupported" in str(error)
        reason = "it holds a pickled program, not only data, and is not loaded" if program else "is damaged"
        raise DamagedFile(path, reason) from error
    except OSError as error:
        raise DamagedFile(path, f"cannot be read ({error.strerror or error})") from error
    except DamagedFile:
        raise
    except Exception as error:  # a damaged file can fail anywhere
        reason = one_line(error)[:100]
        raise DamagedFile(path, f"the checkpoint is damaged ({reason})") from error


def _check_bytes(path: Path) -> None:
    """Check the checksums that PyTorch writes into its zip files and does not read."""
    try:
        with zipfile.ZipFile(path) as archive:
            changed = archive.testzip()
    except (zipfile.BadZipFile, NotImplementedError, RuntimeError, EOFError) as error:
        raise DamagedFile(path, f"the checkpoint is damaged ({error})") from error
    if changed is not None:
        raise DamagedFile(path, f"the checkpoint is damaged (the checksum of {changed} is wrong)")
