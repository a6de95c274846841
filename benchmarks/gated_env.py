"""What the peers' workers share: the same options, an env that holds their loops, and an honest count.

Each library writes its training loop its own way, but all of them step an env: that is where they are held
between segments. Updates are counted where they cannot be pretended, in the state of the optimizers.
"""

import argparse
import sys
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import gymnasium as gym
from gate import WARM_UP_UPDATES, Channel, Gate

BATCH, HIDDEN, BUFFER = 256, 256, 100_000
LR, TAU, GAMMA = 3e-4, 0.005, 0.99
FOREVER = 10_000_000


def parser() -> argparse.ArgumentParser:
    """The options of every contestant that steps an env."""
    options = argparse.ArgumentParser()
    options.add_argument("--env", required=True)
    options.add_argument("--learning-starts", type=int, required=True)
    options.add_argument("--threads", type=int, required=True)
    return options


class GatedEnv(gym.Wrapper[Any, Any, Any, Any]):
    """Asks the gate before every step; at that moment the step before has had its update.

    `updates`, how many there have been, is given when the library has made its optimizers. An order to quit
    ends the process from here, since not every loop can be asked to stop.
    """

    def __init__(self, env_id: str, learning_starts: int, packages: Sequence[str]) -> None:
        channel = Channel()  # first, so that nothing a library prints is taken for an answer
        super().__init__(gym.make(env_id))
        self.updates: Callable[[], int] = lambda: 0
        self._gate = Gate(channel, learning_starts + WARM_UP_UPDATES, packages)
        self._env_steps = 0

    def step(self, action: Any) -> tuple[Any, Any, bool, bool, dict[str, Any]]:
        """The env's own step, once the gate lets it pass."""
        if self._gate.due(self._env_steps):
            order = self._gate.passed(self._env_steps, self.updates())
            if order is not None and order.what == "quit":
                sys.exit()
        self._env_steps += 1
        return self.env.step(action)


def one_count(counts: Iterable[int]) -> int:
    """How many updates there have been, from what every optimizer says for itself; they must agree."""
    distinct = set(counts)
    if len(distinct) != 1:
        raise RuntimeError(f"the optimizers took different numbers of steps: {sorted(distinct)}")
    return distinct.pop()


def adam_steps(*optimizers: Any) -> int:
    """How many steps each of PyTorch's Adams has taken, for each of its parameters."""
    parameters = [
        (optimizer, each)
        for optimizer in optimizers
        for group in optimizer.param_groups
        for each in group["params"]
    ]
    return one_count(int(optimizer.state.get(each, {}).get("step", 0)) for optimizer, each in parameters)
