"""A folder that one process at a time may write into."""

import logging
import os
import sys
import time
from contextlib import suppress
from errno import EACCES, EAGAIN, EDEADLK, EWOULDBLOCK
from pathlib import Path

log = logging.getLogger(__name__)
NAME = ".lock"
SECONDS_BETWEEN_TRIES = 0.2
# What the systems answer where another process has the lock.
TAKEN = (EACCES, EAGAIN, EDEADLK, EWOULDBLOCK)


class FolderInUse(Exception):
    """Another process uses the folder."""


class FolderLock:
    """The lock of one folder, a file `.lock` in it that stays there. Acquired once, released once.

    The system releases the lock when the process ends, however it ends. On network file systems it works
    between machines where the file system supports that (NFS, Lustre with `flock`, SMB); where it has no
    locks at all, a warning says so.
    """

    def __init__(self, folder: Path) -> None:
        self.path = folder / NAME
        self._handle: int | None = None

    def acquire(self, wait: bool = False) -> None:
        """Take the lock; with `wait`, as soon as no other process has it.

        Raises FolderInUse if another process has it, OSError for a read-only folder.
        """
        while True:
            try:
                return self._acquire()
            except FolderInUse:
                if not wait:
                    raise
            time.sleep(SECONDS_BETWEEN_TRIES)

    def _acquire(self) -> None:
        tries = 100
        while self._handle is None:
            try:
                self.path.parent.mkdir(parents=True, exist_ok=True)
                # For writing as well: NFS gives no exclusive lock otherwise.
                handle = os.open(self.path, os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0), 0o666)
            except (FileNotFoundError, FileExistsError):
                # The process that had the lock removes the folder if it wrote nothing, perhaps just now.
                tries -= 1
                if tries == 0:
                    raise
                continue
            try:
                _lock(handle)
                if self._is(handle):
                    self._handle = handle
            except OSError as error:
                if error.errno in TAKEN:
                    raise FolderInUse(str(self.path.parent)) from None
                message = "no locks on this file system (%s): let only one process at a time use %s"
                log.warning(message, error.strerror or error, self.path.parent)
                self._handle = handle
            finally:
                if self._handle is None:
                    os.close(handle)
        _held.add(self._handle)

    def release(self) -> None:
        """Release the lock, if it was acquired."""
        if self._handle is not None:
            handle, self._handle = self._handle, None
            _held.discard(handle)
            os.close(handle)

    def __del__(self) -> None:
        self.release()

    def _is(self, handle: int) -> bool:
        """Whether the file that was locked is still the one in the folder, not one that was removed."""
        try:
            return os.path.samestat(os.fstat(handle), self.path.stat())
        except FileNotFoundError:
            return False


def _lock(handle: int) -> None:
    if sys.platform == "win32":
        import msvcrt

        msvcrt.locking(handle, msvcrt.LK_NBLCK, 1)
    else:
        import fcntl

        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)


_held: set[int] = set()


def _close_in_child() -> None:
    """Close the locks in a forked env worker, which may outlive a process that was killed."""
    for handle in _held:
        with suppress(OSError):
            os.close(handle)
    _held.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_close_in_child)
