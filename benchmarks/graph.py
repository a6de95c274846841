"""What calling a compiled update directly saves, and what choosing an action in it costs.

    python benchmarks/graph.py

Updates of HalfCheetah-v5's sizes, batch 256, networks 256×256, each after a step of the env as in the loop,
in alternating rounds of one process: alone; with the next action chosen in the graph; with the next action
chosen by itself afterwards; with its products as PyTorch puts them; and called through PyTorch as an ordinary
graph. Writes results/graph.csv, one row a round, and prints medians and their distance from the update alone.
"""

import argparse
import itertools
import os
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any
from unittest.mock import patch

import gymnasium as gym
import numpy as np
import torch
from contestants import HERE
from rich.console import Console
from rich.table import Table as Screen
from tables import Table
from worker_update import BATCH, BATCHES, mini_batches, random_replay, update_of

from sac_lightning import SACModule
from sac_lightning.compile import rewrites
from sac_lightning.compile.fused_action import FusedAction
from sac_lightning.compile.graph import traced
from sac_lightning.compile.update import CompiledUpdate
from sac_lightning.core.hardware import keep_freed_memory
from sac_lightning.envs import action_spec, obs_spec

ENV = "HalfCheetah-v5"
ALONE, FUSED, AFTER = "alone", "action in the graph", "action by itself"
AS_PUT, ORDINARY = "products as PyTorch puts them", "ordinary graph"
COLUMNS = ("what", "round", "ms")


def variants(module_of: Callable[[], SACModule]) -> dict[str, Callable[[int], object]]:
    """Each with networks and a graph of its own; the argument says which mini-batch."""
    generator = torch.Generator().manual_seed(0)

    def variant(what: str) -> Callable[[int], object]:
        module = module_of()
        replay = random_replay(module)
        update, batches = update_of(module, replay), mini_batches(replay)
        noise = torch.randn(BATCHES, 2, BATCH, module.sac.head.noise_size)
        if what == ORDINARY:
            update._runs[True] = ordinary(update, (*batches[0], noise[0]))
        if what == AS_PUT:
            with patch.object(rewrites, "last_pass", lambda: None):
                update(batches[0], noise[0])
        obs, policy = np.zeros((1, *module.obs_spec.shape), np.float32), module.policy

        def run(g: int) -> object:
            if what != FUSED:
                result = update(batches[g], noise[g])
                return policy.sample(obs, generator) if what == AFTER else result
            fused = FusedAction(torch.from_numpy(obs), module.sac.head.draw_acting_noise(1, generator))
            return update(batches[g], noise[g], fused)

        return run

    return {what: variant(what) for what in (ALONE, FUSED, AFTER, AS_PUT, ORDINARY)}


def ordinary(update: CompiledUpdate, tensors: Sequence[torch.Tensor]) -> Callable[..., Any]:
    """The same operations as a graph that PyTorch calls, checks and wraps as any other."""
    lasting = [*update._sac.state, *update._replay.rows]
    program, _ = traced(partial(update._update, True), lasting, tensors)
    compiled = torch.compile(program, fullgraph=True, options={rewrites.LAST_PASS: rewrites.last_pass()})

    def run(*inputs: torch.Tensor) -> Any:
        with torch.no_grad():
            return compiled(*lasting, *inputs)

    return run


def measure(rounds: int, updates: int, table: Table) -> dict[str, list[float]]:
    """Milliseconds of each variant, round by round; the env's steps are not counted."""
    keep_freed_memory()
    torch.manual_seed(0)
    found: dict[str, list[float]] = {}
    with gym.make(ENV) as env:
        specs = obs_spec(env.observation_space), action_spec(env.action_space)
        runs, order = variants(lambda: SACModule(*specs)), itertools.cycle(range(BATCHES))
        for run in runs.values():
            for g in range(BATCHES):
                run(g)
        env.reset(seed=0)
        still = np.zeros(env.action_space.shape, np.float32)
        for number in range(rounds):
            for what, run in runs.items():
                seconds = 0.0
                for g in itertools.islice(order, updates):
                    if any(env.step(still)[2:4]):
                        env.reset()
                    began = time.perf_counter()
                    run(g)
                    seconds += time.perf_counter() - began
                found.setdefault(what, []).append(1e3 * seconds / updates)
                table.add([{"what": what, "round": number, "ms": found[what][-1]}])
    return found


def show(found: dict[str, list[float]]) -> None:
    """Medians, and medians of the distances within a round."""
    screen = Screen(title="An update with what belongs to it, ms")
    for column in ("", "ms", "more than alone"):
        screen.add_column(column, justify="right" if column else "left")
    for what, ms in found.items():
        more = statistics.median(one - alone for one, alone in zip(ms, found[ALONE], strict=True))
        screen.add_row(what, f"{statistics.median(ms):.2f}", f"{more:+.2f}")
    Console().print(screen)


def main() -> int:
    """Measures, writes the CSV and prints a table."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0] if __doc__ else "")
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--updates", type=int, default=100, help="of one round")
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--results", type=Path, default=HERE / "results")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    table = Table(arguments.results / "graph.csv", COLUMNS)
    table.path.unlink(missing_ok=True)
    show(measure(arguments.rounds, arguments.updates, table))
    return 0


if __name__ == "__main__":
    sys.exit(main())
