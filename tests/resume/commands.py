"""Commands: as real processes, and one after the other in a process that stays."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from tests.forked import Forked, fork

Fit = Callable[..., None]
ROOT = Path(__file__).parents[2]
SERVER = ROOT / "tests" / "cli" / "importable" / "command_server.py"
IMPORTABLE = Path(__file__).parent / "importable"
TINY = (
    *("debug=fast", "threads=1", "device=cpu", "logger=csv", "eval_episodes=1", "batch_size=16"),
    *("total_env_steps=160", "learning_starts=40", "steps_per_epoch=60", "log_every_n_env_steps=20"),
    *("replay.capacity=100", "callbacks.plots=null", "collector.iterations_per_batch=1"),
)


class Ended(NamedTuple):
    """How a command ended."""

    code: int
    out: str
    err: str


class Server:
    """`train("gamma=0.9", cwd=…)` without starting Python each time."""

    def __init__(self, process: "subprocess.Popen[str]") -> None:
        self._process = process

    def train(self, *arguments: str, cwd: Path) -> Ended:
        """One training command."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        request = {"module": "train", "arguments": arguments, "cwd": str(cwd)}
        self._process.stdin.write(json.dumps({**request, "makes_envs": True, "hides": []}) + "\n")
        self._process.stdin.flush()
        answer = json.loads(self._process.stdout.readline())
        return Ended(answer["code"], answer["out"], answer["err"])


def environment() -> dict[str, str]:
    """Without a W&B key, and with wide lines, so that one line of a message stays one line."""
    hidden = ("WANDB_API_KEY", "WANDB_MODE", "HYDRA_FULL_ERROR")
    env = {key: value for key, value in os.environ.items() if key not in hidden}
    path = os.pathsep.join(map(str, (IMPORTABLE, ROOT / "src")))
    return {**env, "NETRC": os.devnull, "COLUMNS": "400", "PYTHONPATH": path}


def start(*arguments: str, cwd: Path) -> Forked:
    """`python train.py …` in `cwd`."""
    return fork("train.py", *arguments, cwd=cwd, env=environment())


def train(*arguments: str, cwd: Path) -> Ended:
    """The same, to its end."""
    with start(*arguments, cwd=cwd) as process:
        out, err = process.communicate(timeout=300)
    return Ended(process.wait(), out, err)


def train_anew(*arguments: str, cwd: Path) -> Ended:
    """The same, by an interpreter that has just been started."""
    line = [sys.executable, str(ROOT / "train.py"), *arguments]
    ended = subprocess.run(
        line, cwd=cwd, env=environment(), text=True, capture_output=True, timeout=300, check=False
    )
    return Ended(ended.returncode, ended.stdout, ended.stderr)


def error_line(ended: Ended) -> str:
    """The one line of a mistake; fails unless the command ended with 2 and said just that."""
    assert ended.code == 2, ended
    assert len(ended.err.splitlines()) == 1, ended.err
    assert ended.err.startswith("error: ")
    assert ended.out == ""
    return ended.err.removeprefix("error: ").strip()


def everything(folder: Path) -> dict[str, tuple[int, bytes]]:
    """All files below `folder`: when they were changed, and what they hold."""
    files = (path for path in sorted(folder.rglob("*")) if path.is_file())
    return {str(path): (path.stat().st_mtime_ns, path.read_bytes()) for path in files}


def summary(run: Path) -> dict[str, Any]:
    """A run's summary.json."""
    content: dict[str, Any] = json.loads((run / "summary.json").read_text())
    return content
