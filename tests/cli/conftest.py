"""The commands as real processes, and one finished run that many tests read."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import psutil
import pytest
from tests.forked import Forked

ROOT = Path(__file__).parents[2]
IMPORTABLE = Path(__file__).parent / "importable"
# Small enough for one second, with a warm-up, updates, two epochs and two evaluations.
TINY = (
    *("debug=fast", "threads=1", "device=cpu", "logger=csv", "eval_episodes=1"),
    *("total_env_steps=60", "learning_starts=20", "steps_per_epoch=30", "log_every_n_env_steps=10"),
)


@dataclass(frozen=True)
class Finished:
    """A command that has ended."""

    code: int
    out: str
    err: str
    first_update_s: float = float("nan")
    first_update_cpu_s: float = float("nan")


@pytest.fixture(scope="session")
def process_env() -> dict[str, str]:
    """The environment of a process that holds no W&B key."""
    hidden = ("WANDB_API_KEY", "WANDB_MODE", "HYDRA_FULL_ERROR")
    env = {key: value for key, value in os.environ.items() if key not in hidden}
    return {
        **env,
        "NETRC": os.devnull,
        "PYTHONPATH": f"{IMPORTABLE}{os.pathsep}{ROOT / 'src'}",
        "COLUMNS": "200",
    }


def rows_with_update(folder: Path) -> bool:
    """Whether some metrics.csv below `folder` holds a row that an update wrote."""
    for file in folder.rglob("metrics.csv"):
        header, *rows = file.read_text().splitlines()
        column = header.split(",").index("train/critic_loss")
        if any(row.split(",")[column] for row in rows if row.count(",") == header.count(",")):
            return True
    return False


def wait_for_update(process: "subprocess.Popen[str] | Forked", folder: Path, timeout_s: float = 60.0) -> None:
    """Return as soon as the process has written its first update, or has ended."""
    ends = time.monotonic() + timeout_s
    while process.poll() is None and not rows_with_update(folder):
        assert time.monotonic() < ends, "no update was written"
        time.sleep(0.05)


def start(
    command: str, *arguments: str, cwd: Path, env: dict[str, str], start_new_session: bool = False
) -> subprocess.Popen[str]:
    """`python train.py …` in `cwd`."""
    line = [sys.executable, str(ROOT / command), *arguments]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    alone = start_new_session
    return subprocess.Popen(line, cwd=cwd, env=env, text=True, start_new_session=alone, **pipes)


@pytest.fixture(scope="session")
def finished_process(
    tmp_path_factory: pytest.TempPathFactory, process_env: dict[str, str]
) -> tuple[Path, Finished]:
    """`python train.py debug=fast` from an empty folder, to its end: the folder, and how it ended."""
    cwd = tmp_path_factory.mktemp("empty")
    began = time.monotonic()
    process = start("train.py", "debug=fast", "threads=1", cwd=cwd, env=process_env)
    wait_for_update(process, cwd)
    first_update_s = time.monotonic() - began
    used = psutil.Process(process.pid).cpu_times()
    out, err = process.communicate(timeout=120)
    return cwd, Finished(process.returncode, out, err, first_update_s, used.user + used.system)


@pytest.fixture(scope="session")
def finished_run(finished_process: tuple[Path, Finished]) -> Path:
    """The run directory of that process."""
    cwd, ended = finished_process
    assert ended.code == 0, ended.err
    (run,) = (cwd / "runs" / "Pendulum-v1").iterdir()
    return run


class Server:
    """Commands in one long-lived process, each in the folder of its test."""

    def __init__(self, process: "subprocess.Popen[str]") -> None:
        self.process = process

    def call(self, module: str, cwd: Path, arguments: tuple[str, ...], **options: Any) -> Finished:
        """Run one command to its end."""
        usual = {"makes_envs": True, "hides": ()}
        request = {"module": module, "arguments": arguments, "cwd": str(cwd), **usual, **options}
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(json.dumps(request) + "\n")
        self.process.stdin.flush()
        return Finished(**json.loads(self.process.stdout.readline()))


@pytest.fixture(scope="session")
def server(process_env: dict[str, str]) -> Iterator[Server]:
    """That process."""
    line = [sys.executable, str(IMPORTABLE / "command_server.py")]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with subprocess.Popen(line, env=process_env, text=True, **pipes) as process:
        yield Server(process)


class Command(Protocol):
    """`train("gamma=0.9")` in an empty folder.

    With makes_envs=False, making an env fails the command; packages in `hides` seem not to be installed.
    """

    def __call__(self, *arguments: str, makes_envs: bool = ..., hides: Sequence[str] = ...) -> Finished: ...


@pytest.fixture
def train(tmp_path: Path, server: Server) -> Command:
    """The training command."""
    return lambda *arguments, **options: server.call("train", tmp_path, arguments, **options)


@pytest.fixture
def evaluate(tmp_path: Path, server: Server) -> Command:
    """The evaluation command."""
    return lambda *arguments, **options: server.call("evaluate", tmp_path, arguments, **options)


def everything(folder: Path) -> set[str]:
    """All paths below `folder`."""
    return {str(path.relative_to(folder)) for path in folder.rglob("*")}


def mistake(ended: Finished) -> str:
    """The one line of a mistake; fails unless the command ended with 2 and said just that."""
    assert ended.code == 2, (ended.code, ended.err)
    assert len(ended.err.splitlines()) == 1, ended.err
    assert ended.err.startswith("error: ")
    assert "Traceback" not in ended.err
    assert ended.out == ""
    return ended.err.removeprefix("error: ").strip()
