"""Reads a checkpoint as data: tensors, numbers, strings, lists and dicts, and nothing else."""

import pickle
import zipfile
from os import PathLike
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


def check_format(source: Any) -> None:
    """Raise DamagedFile for a checkpoint of another format, or whose arguments name more than data.

    A file that is no checkpoint passes: whoever loads it says what is wrong. An address is refused, for it
    could give something else when it is read again.

    Args:
        source: a path, or an open file, which is then where it was.
    """
    is_path = isinstance(source, str | PathLike)
    path = Path(source if is_path else str(getattr(source, "name", "checkpoint")))
    if "://" in str(source if is_path else ""):
        raise DamagedFile(path, "is no file: download it first")
    start = 0 if is_path else source.tell()
    try:
        content = torch.load(source, map_location="cpu", weights_only=True, mmap=is_path)
    except Exception:
        return
    finally:
        if not is_path:
            source.seek(start)
    if isinstance(content, dict):
        _require_format(path, content)


def _require_format(path: Path, content: dict[str, Any]) -> None:
    # Lightning reads older names of the arguments too, and calls what `_instantiator` among them names.
    arguments = content.get("hyper_parameters", {})
    plain = isinstance(arguments, dict) and not any(str(name).startswith("_") for name in arguments)
    if not plain or {"hparams", "module_arguments"} & content.keys():
        raise DamagedFile(path, "its hyper_parameters are more than the module's arguments: it is not loaded")
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


def journal_manifests(content: dict[str, Any]) -> list[list[Any]]:
    """Return the segments of the replay journal that a checkpoint needs, of each rank of its run.

    There are none where it was saved without a journal.
    """
    state = replay_state(content)
    return [each.get("journal") or [] for each in (state, *state.get("ranks", ()))]


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
