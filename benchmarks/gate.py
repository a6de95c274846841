"""The workers' side of the benchmark: wait for an order on stdin, work, answer in one line of JSON.

Imported by workers of several environments, so nothing but the standard library is used here.
"""

import json
import os
import platform
import sys
import time
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple, TextIO

WARM_UP_UPDATES = 100


class Order(NamedTuple):
    """What the driver asks for: `run N` or `profile N` env steps, or `quit`."""

    what: str
    env_steps: int


class Channel:
    """Orders in, answers out. Whatever else is printed in this process goes to stderr."""

    def __init__(self) -> None:
        self._answers: TextIO = os.fdopen(os.dup(1), "w")
        os.dup2(2, 1)

    def answer(self, **content: Any) -> None:
        """One line of JSON to the driver."""
        self._answers.write(json.dumps(content) + "\n")
        self._answers.flush()

    def next_order(self) -> Order:
        """Block until the driver speaks; its end is an order to quit."""
        what, _, number = sys.stdin.readline().strip().partition(" ")
        return Order(what or "quit", int(number or 0))


class Gate:
    """Lets a training loop pass for one segment at a time; the loop calls `passed` after every env step."""

    def __init__(self, channel: Channel, warm_up: int, packages: Sequence[str]) -> None:
        self._channel = channel
        self._ends = warm_up
        self._packages = packages
        self._order: Order | None = None
        self._began = 0.0
        self._env_steps_before = self._updates_before = 0

    def due(self, env_steps: int) -> bool:
        """Whether a segment is over: for loops whose count of updates is too costly to take at every step."""
        return env_steps >= self._ends

    def passed(self, env_steps: int, updates: int, parts: dict[str, float] | None = None) -> Order | None:
        """None within a segment; at its end, the next order, once it has come. `parts` go into the answer."""
        if not self.due(env_steps):
            return None
        seconds = time.perf_counter() - self._began
        if self._order is None:
            self._channel.answer(versions=versions(self._packages))
        else:
            # What was done, which a loop that takes several steps at a time rounds up from what was ordered.
            done = {
                "env_steps": env_steps - self._env_steps_before,
                "updates": updates - self._updates_before,
            }
            self._channel.answer(**done, seconds=seconds, parts=parts or {})
        self._order = self._channel.next_order()
        self._ends = env_steps + self._order.env_steps
        self._env_steps_before, self._updates_before = env_steps, updates
        self._began = time.perf_counter()
        return self._order


def versions(packages: Sequence[str]) -> str:
    """Names and versions, in one cell, and the processor: minutes and speeds are its own."""
    versions = [f"{name} {version(name)}" for name in packages]
    return "; ".join([f"python {platform.python_version()}", *versions, processor()])


def processor() -> str:
    """Name of the processor, "AMD EPYC"; where Linux does not tell it, its architecture."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text(encoding="utf-8").splitlines() if info.is_file() else []
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, platform.machine())
