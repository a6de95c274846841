"""Jobs in a pool of workers: a worker that dies, and Ctrl-C, cost no other job its result."""

import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from multiprocessing import resource_tracker
from pathlib import Path
from types import FrameType

import psutil

from sac_lightning.cli.command_line import DONE, FAILED
from sac_lightning.cli.sweep.jobs import Job
from sac_lightning.core.files import no_link
from sac_lightning.private.hydra import start_joblib_tracker

NAME = ".interrupted"
SECONDS_BETWEEN_LOOKS = 0.2
# Not on Windows: there Ctrl-C reaches the workers as well.
CAN_BLOCK = hasattr(signal, "pthread_sigmask")


class LauncherFailed(Exception):
    """The launcher has come back without its jobs; the message is one line."""


def launch_all(launch: Callable[[Sequence[Job]], int], jobs: Sequence[Job]) -> int:
    """Run every job to its end and return the worst exit status.

    A pool ends all its workers when one of them dies, and does not say which one. The jobs that have not
    ended are launched once more, each alone; one whose worker dies again has failed.

    Args:
        launch: runs jobs and returns an exit status, or raises LauncherFailed.
        jobs: all jobs.
    """
    try:
        return launch(jobs)
    except LauncherFailed as error:
        print(f"error: the launcher failed: {error}", file=sys.stderr)
    if not any(job.begun for job in jobs):
        return FAILED
    code = DONE
    for job in (each for each in jobs if not each.ended):
        print(f"job {job.number} continues alone", file=sys.stderr)
        try:
            code = max(code, launch([job]))
        except LauncherFailed:
            code = FAILED
        if not job.ended:
            job.fail()
    return code


class Interruption:
    """Lets jobs in other processes end with a checkpoint after Ctrl-C.

    Within the block, the first SIGINT to this process becomes a file in the sweep's folder, which each job
    looks for; a second one ends everything at once. The signal itself is kept from the workers: a pool ends
    all of them as soon as one has died of it.
    """

    def __init__(self, sweep: Path) -> None:
        self.asked = False
        self._file = sweep / NAME
        self._over = threading.Event()
        self._waiting = threading.Thread(target=self._wait, daemon=True)

    def __enter__(self) -> "Interruption":
        self._file.unlink(missing_ok=True)
        if CAN_BLOCK:
            _start_what_unblocks_signals()
        self._handler = signal.signal(signal.SIGINT, self._signalled)
        if CAN_BLOCK:
            # Blocked, not ignored: workers inherit it, and the handlers that a training sets stay silent.
            self._mask = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
            self._waiting.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._over.set()
        if CAN_BLOCK:
            assert self._waiting.ident is not None
            with suppress(ProcessLookupError):
                signal.pthread_kill(self._waiting.ident, signal.SIGINT)
            self._waiting.join()
            signal.pthread_sigmask(signal.SIG_SETMASK, self._mask)
        signal.signal(signal.SIGINT, self._handler)
        self._file.unlink(missing_ok=True)

    def _wait(self) -> None:
        while not self._over.is_set():
            signal.sigwait({signal.SIGINT})
            if not self._over.is_set():
                self._signalled()

    def _signalled(self, number: int = signal.SIGINT, frame: FrameType | None = None) -> None:
        if self.asked:
            for child in psutil.Process().children(recursive=True):
                with suppress(psutil.NoSuchProcess):
                    child.kill()
            os._exit(128 + signal.SIGINT)
        self.asked = True
        with suppress(FileExistsError):
            os.close(no_link(self._file, os.O_WRONLY | os.O_CREAT | os.O_EXCL))
        message = "interrupted: the running jobs save a checkpoint, no other starts (again: stop at once)"
        print(message, file=sys.stderr, flush=True)


@contextmanager
def stop_with_sweep(sweep: Path) -> Iterator[None]:
    """In a worker: send SIGTERM to this process once the sweep is interrupted; a training saves a checkpoint.

    Raises KeyboardInterrupt where nothing is trained yet.
    """
    file, over = sweep / NAME, threading.Event()

    def signalled(number: int, frame: FrameType | None) -> None:
        if not over.is_set():
            raise KeyboardInterrupt

    def look() -> None:
        while not over.wait(SECONDS_BETWEEN_LOOKS):
            if file.exists():
                os.kill(os.getpid(), signal.SIGTERM)
                return

    if file.exists():
        raise KeyboardInterrupt
    before = signal.signal(signal.SIGTERM, signalled)
    looking = threading.Thread(target=look, daemon=True)
    looking.start()
    try:
        yield
    finally:
        over.set()
        looking.join()
        signal.signal(signal.SIGTERM, before)


def _start_what_unblocks_signals() -> None:
    """The trackers of shared memory unblock SIGINT in this thread when they start: before, not after."""
    resource_tracker.ensure_running()
    start_joblib_tracker()
