"""Runs that die, or find the disk full, at an instant that is chosen: the k-th time they touch the disk."""

import builtins
import io
import os
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

DIED = 9


class Disk:
    """Counts every write, sync, rename and removal below `directory`; `at` the k-th it calls `fault`.

    A write that fails has first written half of its bytes.
    """

    def __init__(self, directory: Path, at: int | None, fault: Callable[[], None]) -> None:
        self.directory, self.at, self.fault = directory, at, fault
        self.seen: list[str] = []

    def install(self) -> None:
        """From now on, in this process."""
        for name in ("replace", "rename", "unlink", "remove", "fsync", "mkdir"):
            setattr(os, name, self._counted(name, getattr(os, name)))
        opened = io.open

        def watched(file: Any, mode: str = "r", *args: Any, **options: Any) -> Any:
            handle = opened(file, mode, *args, **options)
            mine = isinstance(file, str | os.PathLike) and self._mine(file)
            return Writer(handle, self, str(file)) if mine and set(mode) & set("wa+") else handle

        io.open = builtins.open = watched

    def touched(self, what: str) -> None:
        """Count one."""
        self.seen.append(what)
        if len(self.seen) - 1 == self.at:
            self.fault()

    def _mine(self, path: Any) -> bool:
        return str(path).startswith(str(self.directory))

    def _counted(self, name: str, real: Callable[..., Any]) -> Callable[..., Any]:
        def counted(path: Any, *args: Any, **options: Any) -> Any:
            if isinstance(path, int) or self._mine(path):
                where = Path(f"/proc/self/fd/{path}").readlink() if isinstance(path, int) else path
                self.touched(f"{name} {Path(where).name}")
            return real(path, *args, **options)

        return counted


class Writer:
    """A file open for writing, whose writes are counted."""

    def __init__(self, file: Any, disk: Disk, path: str) -> None:
        self._file, self._disk, self._name = file, disk, Path(path).name

    def write(self, content: Any) -> Any:
        """All of `content`; half of it before the fault."""
        half = len(content) // 2
        self._file.write(content[:half])
        self._file.flush()
        self._disk.touched(f"write {self._name}")
        return half + self._file.write(content[half:])

    def writelines(self, lines: Any) -> None:
        """One write each."""
        for line in lines:
            self.write(line)

    def __enter__(self) -> "Writer":
        return self

    def __exit__(self, *error: object) -> None:
        self._file.close()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)


def die() -> None:
    """As by SIGKILL: nothing is closed, flushed or cleaned up."""
    os._exit(DIED)


def in_a_child(work: Callable[[], None]) -> int:
    """The exit status of `work` in a fork of this process, so that nothing is imported anew."""
    sys.stdout.flush()
    child = os.fork()
    if child:
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    try:
        work()
    except BaseException as error:
        print(f"{type(error).__name__}: {error}", file=sys.stderr, flush=True)
        os._exit(1)
    os._exit(0)


def fresh(directory: Path) -> Path:
    """`directory`, empty."""
    shutil.rmtree(directory, ignore_errors=True)
    directory.mkdir(parents=True)
    return directory
