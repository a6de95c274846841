"""Writes files whole or not at all, and refuses links."""

import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any


def write_atomically(path: Path, write: Callable[[Path], object]) -> None:
    """Call `write` with a temporary name beside `path`, then sync that file and rename it to `path`.

    A crash at any instant leaves the old file or the new one. The temporary file is removed on an error;
    an OSError names `path`. Neither name is followed where it is a link.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.tmp")
    try:
        temporary.unlink(missing_ok=True)  # left by a crash, or a link that somebody has put there
        os.close(no_link(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL))
        write(temporary)
        with temporary.open("rb") as file:
            os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException as error:
        temporary.unlink(missing_ok=True)
        if isinstance(error, OSError) and error.filename is None:
            error.filename = str(path)  # the error of a full disk has none
        raise
    sync_directory(path.parent)


def no_link(path: str | os.PathLike[str], flags: int) -> int:
    """An `opener` for `open` that fails where `path` is a link."""
    return os.open(path, flags | getattr(os, "O_NOFOLLOW", 0), 0o666)  # Windows has no such flag


def check_no_links(folder: Path) -> None:
    """Raise DamagedFile for a link, a pipe or a device in a run's folder or in one of its subfolders.

    A run folder may come from anybody, and whatever writes there would follow a link out of it. W&B's
    own folder is left out: it contains links of its own.
    """
    below = [path for path in folder.iterdir() if path.is_dir() and path.name != "wandb"]
    for place in (folder, *below):
        for entry in os.scandir(place):
            if not (entry.is_file(follow_symlinks=False) or entry.is_dir(follow_symlinks=False)):
                kind = "a link" if entry.is_symlink() else "no plain file"
                reason = f"is {kind}: a run folder may contain only files and folders; remove or copy it"
                raise DamagedFile(Path(entry.path), reason)


def write_json(path: Path, content: Any) -> None:
    """Write `content` as indented JSON, atomically; NaN is written as null, which every reader accepts."""
    text = json.dumps(_finite(content), indent=2, allow_nan=False) + "\n"
    write_atomically(path, lambda temporary: temporary.write_text(text, encoding="utf-8"))


def read_json(path: Path) -> dict[str, Any] | None:
    """Return the mapping that a JSON file contains; None where there is none that can be read."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return None
    return content if isinstance(content, dict) else None


class DamagedFile(Exception):
    """A file that cannot be trusted; the message is one line: which file, what is wrong with it."""

    def __init__(self, path: Path, what: str) -> None:
        super().__init__(f"{path}: {what}")
        self.path, self.what = path, what

    def __reduce__(self) -> tuple[type["DamagedFile"], tuple[Path, str]]:
        return DamagedFile, (self.path, self.what)


def sync_directory(directory: Path) -> None:
    """Make a rename in `directory` last."""
    if sys.platform == "win32":  # where a folder cannot be opened
        return
    handle = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _finite(content: Any) -> Any:
    if isinstance(content, dict):
        return {key: _finite(value) for key, value in content.items()}
    if isinstance(content, list | tuple):
        return [_finite(value) for value in content]
    if isinstance(content, float) and content - content != 0.0:
        return None
    return content
