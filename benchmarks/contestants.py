"""Who is measured, and the driver's side of a worker process."""

import json
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

HERE = Path(__file__).resolve().parent
PEER_PYTHON = HERE.parent / ".venv-bench" / "bin" / "python"
OURS, PEER, LIMIT = "sac_lightning", "stable-baselines3", "matrix products"
BASELINE = f"{PEER} fp32"


@dataclass(frozen=True)
class Contestant:
    """A worker script with its options."""

    name: str
    script: str
    options: tuple[str, ...] = ()
    python: Path = Path(sys.executable)
    in_env: bool = True  # whether it steps an env; the products do not

    @property
    def is_ours(self) -> bool:
        """Whether it can tell where its time goes."""
        return self.name.startswith(OURS)


BF16 = ("--precision", "bf16-mixed")
ALL = {
    "eager": Contestant(f"{OURS} eager fp32", "worker_ours.py"),
    "compiled": Contestant(f"{OURS} compiled fp32", "worker_ours.py", ("--compile",)),
    "bf16": Contestant(f"{OURS} compiled bf16", "worker_ours.py", ("--compile", *BF16)),
    "peer": Contestant(BASELINE, "worker_sb3.py", python=PEER_PYTHON),
    "products": Contestant(f"{LIMIT} fp32", "worker_products.py", in_env=False),
    "products-bf16": Contestant(f"{LIMIT} bf16", "worker_products.py", ("--bf16",), in_env=False),
}


def _busy_seconds() -> float:
    times = psutil.cpu_times()
    return float(times.user + times.nice + times.system)


class Worker:
    """A contestant's process: it computes only between an order and its answer."""

    def __init__(self, contestant: Contestant, env: str, learning_starts: int, threads: int) -> None:
        self.contestant = contestant
        common = ["--threads", str(threads)]
        if contestant.in_env:
            common += ["--env", env, "--learning-starts", str(learning_starts)]
        self._errors = tempfile.TemporaryFile("w+")  # noqa: SIM115 - `close` closes it
        self._process = subprocess.Popen(
            [str(contestant.python), str(HERE / contestant.script), *contestant.options, *common],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            text=True,
        )
        self.versions = str(self._answer()["versions"])

    def run(self, env_steps: int) -> dict[str, Any]:
        """One segment: env_steps, updates, seconds, and how many cores others kept busy meanwhile."""
        busy, own = _busy_seconds(), self._own_seconds()
        self._order(f"run {env_steps}")
        answer = self._answer()
        others = (_busy_seconds() - busy) - (self._own_seconds() - own)
        return {**answer, "other_cores": max(others, 0.0) / answer["seconds"]}

    def profile(self, env_steps: int) -> dict[str, float]:
        """One segment's seconds by part, `total` among them."""
        self._order(f"profile {env_steps}")
        answer = self._answer()
        return {**answer["parts"], "total": answer["seconds"]}

    def close(self) -> None:
        """Let the worker end by itself."""
        if self._process.poll() is None:
            self._order("quit")
        self._process.communicate(timeout=60)
        self._errors.close()

    def _own_seconds(self) -> float:
        times = psutil.Process(self._process.pid).cpu_times()
        return float(times.user + times.system)

    def _order(self, order: str) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(order + "\n")
        self._process.stdin.flush()

    def _answer(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            self._process.wait()
            self._errors.seek(0)
            told = "\n".join(self._errors.read().splitlines()[-15:])
            raise RuntimeError(f"{self.contestant.name} ended early:\n{told}")
        content: dict[str, Any] = json.loads(line)
        return content
