"""One process at a time holds a folder; the lock goes with the process, however it ends."""

import contextlib
import multiprocessing
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from sac_lightning.core.locking import FolderInUse, FolderLock

HOLD = """
import os, sys, time
from pathlib import Path
from sac_lightning.core.locking import FolderLock
lock = FolderLock(Path(sys.argv[1]))
lock.acquire()
if sys.argv[2] == "forks" and os.fork() == 0:
    print("child", os.getpid(), flush=True)
print("held", flush=True)
time.sleep(600)
"""


@contextlib.contextmanager
def holding(folder: Path, wait: bool = False) -> Iterator[None]:
    lock = FolderLock(folder)
    lock.acquire(wait)
    try:
        yield
    finally:
        lock.release()


def holder(folder: Path, how: str = "alone") -> "subprocess.Popen[str]":
    """A process that holds `folder`; with `forks`, it has a child that outlives it."""
    line = [sys.executable, "-c", HOLD, str(folder), how]
    process = subprocess.Popen(line, stdout=subprocess.PIPE, text=True, start_new_session=True)
    assert process.stdout is not None
    for _ in range(3 if how == "forks" else 1):
        process.stdout.readline()
    return process


@pytest.mark.parametrize("how", ["alone", "forks"])
def test_lock_is_released_by_kill_9_even_where_a_forked_child_lives_on(tmp_path: Path, how: str) -> None:
    process = holder(tmp_path, how)
    try:
        with pytest.raises(FolderInUse):
            FolderLock(tmp_path).acquire()
        process.send_signal(signal.SIGKILL)
        process.wait()
        with holding(tmp_path):
            pass
    finally:
        os.killpg(process.pid, signal.SIGKILL) if how == "forks" else process.kill()


def test_lock_is_exclusive_within_a_process_and_can_be_taken_again(tmp_path: Path) -> None:
    with holding(tmp_path):
        with pytest.raises(FolderInUse):
            FolderLock(tmp_path).acquire()
        with pytest.raises(FolderInUse), holding(tmp_path):
            pass
    with holding(tmp_path):
        pass


def test_waiting_ends_when_the_holder_does(tmp_path: Path) -> None:
    process = holder(tmp_path)
    process.kill()
    process.wait()
    began = time.monotonic()
    with holding(tmp_path, wait=True):
        assert time.monotonic() - began < 5.0


def test_lock_file_that_was_removed_while_held_locks_nobody_out(tmp_path: Path) -> None:
    with holding(tmp_path):
        (tmp_path / ".lock").unlink()
        with holding(tmp_path), pytest.raises(FolderInUse):  # the lock of the file that is there now
            FolderLock(tmp_path).acquire()


def test_folder_that_was_removed_by_its_holder_is_made_again(tmp_path: Path) -> None:
    folder = tmp_path / "sweep" / "0"
    with holding(folder):
        (folder / ".lock").unlink()
        folder.rmdir()
        folder.parent.rmdir()
    with holding(folder, wait=True), pytest.raises(FolderInUse):
        FolderLock(folder).acquire()


def test_lock_is_no_link_to_elsewhere(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / ".lock").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(OSError):
        FolderLock(tmp_path / "run").acquire()
    assert not (tmp_path / "elsewhere").exists()


def _try(folder: Path) -> None:
    try:
        FolderLock(folder).acquire()
    except FolderInUse:
        os._exit(7)


def test_worker_process_of_the_holder_does_not_hold_it(tmp_path: Path) -> None:
    with holding(tmp_path):
        worker = multiprocessing.get_context("fork").Process(target=_try, args=(tmp_path,))
        worker.start()
        worker.join()
    assert worker.exitcode == 7


def test_a_folder_that_its_owner_removes_meanwhile_is_made_again(tmp_path: Path) -> None:
    folder = tmp_path / "parent" / "run"
    ended = threading.Event()

    def remove() -> None:
        while not ended.is_set():
            for each in (folder / ".lock", folder, folder.parent):
                with contextlib.suppress(OSError):
                    each.rmdir() if each.is_dir() else each.unlink()

    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)  # as if on many cores
    remover = threading.Thread(target=remove)
    remover.start()
    try:
        for _ in range(300):
            lock = FolderLock(folder)
            lock.acquire()
            lock.release()
    finally:
        ended.set()
        remover.join()
        sys.setswitchinterval(interval)


def test_a_file_in_place_of_the_folder_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "run").touch()
    with pytest.raises(FileExistsError):
        FolderLock(tmp_path / "run").acquire()
