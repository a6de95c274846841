"""`python train.py …` as a process of its own, forked from one that has imported everything.

Imports take 6 of the 7 seconds of a small run. What is forked can be killed, runs in its own folder and has
its own environment, but for what imports read: where that matters, a test starts Python itself.
"""

import atexit
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from functools import cache
from pathlib import Path
from types import TracebackType
from typing import Any, NoReturn, Self

ROOT = Path(__file__).parents[1]


class Forked:
    """A running command, with the methods of `subprocess.Popen` that tests use."""

    def __init__(self, parent: "subprocess.Popen[str]", request: dict[str, Any]) -> None:
        self._parent = parent
        self.args = request["argv"]
        self.pid = self._ask(request)
        self.returncode: int | None = None
        self._files = [Path(request[name]) for name in ("out", "err")]

    def _ask(self, request: dict[str, Any]) -> Any:
        assert self._parent.stdin is not None
        assert self._parent.stdout is not None
        self._parent.stdin.write(json.dumps(request) + "\n")
        self._parent.stdin.flush()
        return json.loads(self._parent.stdout.readline())

    def poll(self) -> int | None:
        """The exit status, or None while it runs."""
        if self.returncode is None:
            self.returncode = self._ask({"poll": self.pid})
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        """The exit status. Raises TimeoutExpired."""
        ends = float("inf") if timeout is None else time.monotonic() + timeout
        while (code := self.poll()) is None:
            if time.monotonic() > ends:
                raise subprocess.TimeoutExpired(self.args, timeout or 0.0)
            time.sleep(0.01)
        return code

    def communicate(self, timeout: float | None = None) -> tuple[str, str]:
        """What it wrote, when it has ended."""
        self.wait(timeout)
        out, err = (file.read_text() for file in self._files)
        return out, err

    def send_signal(self, number: int) -> None:
        """Send a signal, unless it has ended."""
        if self.poll() is None:
            os.kill(self.pid, number)

    def kill(self) -> None:
        """Send SIGKILL."""
        self.send_signal(signal.SIGKILL)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if kind is not None:
            self.kill()
        self.wait()


def fork(
    command: str, *arguments: str, cwd: Path, env: dict[str, str], start_new_session: bool = False
) -> Forked:
    """`python COMMAND ARGUMENTS` in `cwd`, e.g. of train.py."""
    out, err = (tempfile.mkstemp(dir=_folder())[1] for _ in range(2))
    argv = [str(ROOT / command), *arguments]
    request = {
        "argv": argv,
        "cwd": str(cwd),
        "env": env,
        "session": start_new_session,
        "out": out,
        "err": err,
    }
    return Forked(_parent(env["PYTHONPATH"]), request)


@cache
def _folder() -> str:
    folder = tempfile.TemporaryDirectory()
    atexit.register(folder.cleanup)
    return folder.name


@cache
def _parent(path: str) -> "subprocess.Popen[str]":
    """The process that forks, one for each PYTHONPATH."""
    line = [sys.executable, str(Path(__file__))]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    parent = subprocess.Popen(line, env={**os.environ, "PYTHONPATH": path}, text=True, **pipes)

    def end() -> None:
        with parent:
            pass

    atexit.register(end)
    return parent


def _become(request: dict[str, Any]) -> NoReturn:
    """Run the command in this process, and end with it."""
    import runpy

    if request["session"]:
        os.setsid()
    os.chdir(request["cwd"])
    os.environ.clear()
    os.environ.update(request["env"])
    for number, name in ((0, os.devnull), (1, request["out"]), (2, request["err"])):
        handle = os.open(name, os.O_RDWR)
        os.dup2(handle, number)
        os.close(handle)
    sys.argv = request["argv"]
    sys.path[0] = str(ROOT)
    runpy.run_path(sys.argv[0], run_name="__main__")
    sys.exit(0)


def _serve() -> None:
    import torch._dynamo  # noqa: F401 - a fit imports it

    replies = os.fdopen(os.dup(1), "w")
    for line in sys.stdin:
        request = json.loads(line)
        if "poll" in request:
            pid, status = os.waitpid(request["poll"], os.WNOHANG)
            answer = os.waitstatus_to_exitcode(status) if pid else None
        else:
            answer = os.fork()
            if answer == 0:
                _become(request)
        replies.write(json.dumps(answer) + "\n")
        replies.flush()


if __name__ == "__main__":
    _serve()
