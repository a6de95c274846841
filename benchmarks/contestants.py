"""Who is measured, and the driver's side of a worker process."""

import json
import re
import subprocess
import sys
import tempfile
from collections.abc import Collection
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

HERE = Path(__file__).resolve().parent
PEER_PYTHON = HERE.parent / ".venv-bench" / "bin" / "python"
OURS, LIMIT = "sac_lightning", "matrix products"
BASELINE, JAX = "stable-baselines3 fp32", "sbx (JAX) fp32"


@dataclass(frozen=True)
class Contestant:
    """A worker script with its options."""

    name: str
    script: str
    options: tuple[str, ...] = ()
    python: Path = Path(sys.executable)
    in_env: bool = True  # whether it takes the env as an argument
    warms_up: bool = True  # whether it takes the number of random steps
    has_parts: bool = False  # whether it reports the time of each part


class WorkerEndedError(RuntimeError):
    """A worker's process ended too early; `why` is one line."""

    def __init__(self, name: str, errors: str) -> None:
        lines = [line for line in errors.splitlines() if line.strip()] or ["it said nothing"]
        raised = [line for line in lines if re.match(r"[\w.]+(Error|Exception)\b", line)]
        self.why = f"{name}: {(raised or lines)[-1].strip()}"
        super().__init__("\n".join([f"{name} ended early:", *lines[-15:]]))


BF16 = ("--precision", "bf16-mixed")


def _ours(name: str, *options: str) -> Contestant:
    return Contestant(f"{OURS} {name}", "worker_ours.py", options, has_parts=True)


def _update(precision: str, *options: str) -> Contestant:
    return Contestant(f"{OURS} updates alone {precision}", "worker_update.py", options, warms_up=False)


def _limit(precision: str, *options: str) -> Contestant:
    name = f"{LIMIT} {precision}"
    return Contestant(name, "worker_products.py", options, in_env=False, warms_up=False)


def _peer(name: str, script: str, *options: str) -> Contestant:
    return Contestant(name, script, options, PEER_PYTHON)


# In the order of tables and pictures.
ALL = {
    "eager": _ours("eager fp32"),
    "compiled": _ours("compiled fp32", "--compile"),
    "bf16": _ours("compiled bf16", "--compile", *BF16),
    "update": _update("fp32"),
    "update-bf16": _update("bf16", "--bf16"),
    "sb3": _peer(BASELINE, "worker_sb3.py"),
    "sbx": _peer(JAX, "worker_sb3.py", "--library", "sbx"),
    "torchrl": _peer("torchrl fp32", "worker_torchrl.py"),
    "tianshou": _peer("tianshou fp32", "worker_tianshou.py"),
    "skrl": _peer("skrl fp32", "worker_skrl.py"),
    "cleanrl": _peer("cleanrl-style eager fp32", "worker_cleanrl.py"),
    "products": _limit("fp32"),
    "products-bf16": _limit("bf16", "--bf16"),
}
PEERS = tuple(key for key, each in ALL.items() if each.python == PEER_PYTHON)
VARIANTS = ("compiled", "bf16")
# Each update alone with the products that bound it.
LIMITS = {
    ALL[update].name: ALL[limit].name
    for update, limit in (("update", "products"), ("update-bf16", "products-bf16"))
}


def chosen(variants: Collection[str], peers: Collection[str]) -> list[str]:
    """Keys of ALL, in its order: ours with the update alone and the limit of each precision, and `peers`."""
    wanted = {"eager", "products", *variants, *peers}
    if "compiled" in variants:
        wanted.add("update")
    if "bf16" in variants:
        wanted |= {"update-bf16", "products-bf16"}
    return [key for key in ALL if key in wanted]


def _busy_seconds() -> float:
    times = psutil.cpu_times()
    return float(times.user + times.nice + times.system)


class Worker:
    """A contestant's process: it computes only between an order and its answer."""

    def __init__(self, contestant: Contestant, env: str, learning_starts: int, threads: int) -> None:
        self.contestant = contestant
        common = ["--threads", str(threads)]
        if contestant.in_env:
            common += ["--env", env]
        if contestant.warms_up:
            common += ["--learning-starts", str(learning_starts)]
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
        """One segment's seconds by part, with their `total` and the `env_steps` that were taken."""
        self._order(f"profile {env_steps}")
        answer = self._answer()
        return {**answer["parts"], "total": answer["seconds"], "env_steps": answer["env_steps"]}

    def close(self) -> None:
        """Let the worker end by itself; one that does not is ended."""
        try:
            if self._process.poll() is None:
                self._order("quit")
            self._process.communicate(timeout=60)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.communicate()
        self._errors.close()

    def _own_seconds(self) -> float:
        times = psutil.Process(self._process.pid).cpu_times()
        return float(times.user + times.system)

    def _order(self, order: str) -> None:
        assert self._process.stdin is not None
        with suppress(BrokenPipeError):  # then there is no answer either, and that is reported
            self._process.stdin.write(order + "\n")
            self._process.stdin.flush()

    def _answer(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            self._process.wait()
            self._errors.seek(0)
            raise WorkerEndedError(self.contestant.name, self._errors.read())
        content: dict[str, Any] = json.loads(line)
        return content
