"""One compiled update of each preset on HalfCheetah-v5's sizes, beside its matrix products alone.

    python benchmarks/presets.py

The products are those that the eager update calls, with their shapes, on buffers made once. Both take turns;
results/presets.csv has the medians and their ratio. An update is the mean over those with and without the
actor's step, as often as actor_delay has each.
"""

import argparse
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch
from hydra import compose, initialize_config_dir
from tables import Table
from torch.utils._python_dispatch import TorchDispatchMode
from worker_update import BATCHES, update_of

from sac_lightning.cli.assemble import plan
from sac_lightning.cli.train import config_dir
from sac_lightning.core.hardware import keep_freed_memory
from sac_lightning.replay import BatchIndex, ReplayBuffer

ROOT = Path(__file__).resolve().parents[1]
PRESETS = ("sac_2018", "fast", "tqc", "redq", "droq", "crossq", "simba_v2", "xqc", "flash_sac")
COLUMNS = ("preset", "updates_per_step", "update_ms", "products_ms", "ratio", "threads")
PRODUCTS = {torch.ops.aten.mm.default: 0, torch.ops.aten.bmm.default: 0, torch.ops.aten.addmm.default: 1}
ROUNDS, SECONDS = 7, 1.0  # of each turn


class Products(TorchDispatchMode):
    """Records the matrix products of whatever runs within it."""

    def __init__(self) -> None:
        super().__init__()
        self.factors: list[tuple[torch.Tensor, torch.Tensor]] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if (first := PRODUCTS.get(func)) is not None:
            a, b = args[first], args[first + 1]
            self.factors.append((torch.randn_like(a), torch.randn_like(b)))  # as they lie in memory
        return func(*args, **(kwargs or {}))

    def run(self) -> None:
        """Computes all of them again."""
        for a, b in self.factors:
            torch.matmul(a, b)


def median_ms(functions: Sequence[Callable[[], object]]) -> list[float]:
    """Returns the median time of a call of each, in turns."""
    seconds: list[list[float]] = [[] for _ in functions]
    for _ in range(ROUNDS):
        for function, own in zip(functions, seconds, strict=True):
            began, calls = time.perf_counter(), 0
            while time.perf_counter() < began + SECONDS or not calls:
                function()
                calls += 1
            own.append((time.perf_counter() - began) / calls)
    return [1e3 * statistics.median(own) for own in seconds]


def measure(preset: str, threads: int) -> dict[str, object]:
    """Returns the row of a preset."""
    torch.manual_seed(0)
    overrides = ["env=halfcheetah", f"experiment={preset}", "logger=none", "paths.run_dir=unused"]
    config = compose("train", overrides=overrides)
    module, size = plan(config).module(), int(config.batch_size)
    rows = BATCHES * size
    replay = ReplayBuffer.of(rows, module.obs_spec, module.action_spec)
    obs, next_obs = (torch.randn(rows, *module.obs_spec.shape).numpy() for _ in range(2))
    action = torch.rand(rows, module.action_spec.size).numpy() * 2 - 1
    replay.add(obs, action, torch.randn(rows).numpy(), next_obs, torch.rand(rows).numpy() < 0.01)
    index, weight = replay.draw(1, size)
    batch = BatchIndex(index[0], weight[0])
    noise = torch.randn(2, size, module.sac.head.noise_size)
    update, timed, delay = update_of(module, replay), [], module.sac.actor_delay
    for with_actor in (True, False)[:delay]:
        with Products() as products:
            module.sac.update(replay.gather(batch), noise, with_actor)
        update(batch, noise, with_actor=with_actor)
        timed += [partial(update, batch, noise, with_actor=with_actor), products.run]
    if not update.can_act:
        raise RuntimeError(f"{preset}: the update does not compile")
    found = median_ms(timed)
    if delay > 1:
        found = [a / delay + b * (1.0 - 1.0 / delay) for a, b in zip(found[:2], found[2:], strict=True)]
    row = {"preset": preset, "updates_per_step": float(config.utd_ratio), "threads": threads}
    return {**row, "update_ms": found[0], "products_ms": found[1], "ratio": found[1] / found[0]}


def main() -> int:
    """Measure and print each preset."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--presets", nargs="+", default=PRESETS, choices=PRESETS, metavar="NAME")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--results", type=Path, default=ROOT / "benchmarks" / "results" / "presets.csv")
    arguments = parser.parse_args()
    keep_freed_memory()
    torch.set_num_threads(arguments.threads)
    table = Table(arguments.results, COLUMNS)
    with initialize_config_dir(config_dir(), version_base="1.3"):
        for preset in arguments.presets:
            row = measure(preset, arguments.threads)
            table.add([row], replacing=lambda old, preset=preset: old["preset"] == preset)
            print(
                *(f"{key}={value:.4g}" if isinstance(value, float) else value for key, value in row.items())
            )
    return 0


if __name__ == "__main__":
    sys.exit(main())
