"""What a run costs as envs, actors, devices and networks grow: the model behind docs/scale.md.

    python benchmarks/scale.py --measure    # measures the costs on this machine: results/scale_costs.csv
    python benchmarks/scale.py              # simulates: results/scale.csv and docs/figures/scale.png

Nothing here runs a cluster. Costs are measured on one machine; a simulation counts what happens when there
are more actors or devices than it has.
"""

import argparse
import heapq
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from matplotlib import rc_context
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from tables import Table

from sac_lightning.core.plots import STYLE

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "benchmarks" / "results"
COSTS, SIMULATED = Table(RESULTS / "scale_costs.csv", ("cost", "seconds")), RESULTS / "scale.csv"
COLUMNS = ("design", "env_seconds", "envs", "utd_ratio", "env_steps_per_s", "policy_lag", "limit")
PICTURE = ROOT / "docs" / "figures" / "scale.png"
ENVS_PER_ACTOR, STEPS, PUBLISH_EVERY, AHEAD = 4, 10, 10, 2  # AHEAD: blocks that an actor owes
# A network of 10 Gbit/s and 50 µs: an assumption, not a measurement.
BYTES_PER_S, LATENCY = 1.25e9, 50e-6
BATCH, OBS, ACTION, HIDDEN, CRITICS = 256, 17, 6, 256, 2  # HalfCheetah, the default networks


@dataclass(frozen=True)
class Costs:
    """Seconds of one core. An update of B rows takes update + B · update_row, and so on."""

    update: float
    update_row: float
    act: float  # choosing actions, and act_row for each env
    act_row: float
    take: float  # a block from Ray's store into the replay buffer, and take_row for each transition
    take_row: float
    wait: float  # Ray's look at each block that is owed, to find one that is there
    publish: float  # the actor's weights into Ray's store

    @classmethod
    def read(cls) -> "Costs":
        """Returns what `--measure` wrote."""
        found = {row["cost"]: float(row["seconds"]) for row in COSTS.rows}
        return cls(**{field.name: found[field.name] for field in fields(cls)})


def weights(size_in: int, size_out: int, hidden: int = HIDDEN) -> int:
    """Returns the weights of a network with two hidden layers."""
    return (size_in + 1) * hidden + (hidden + 1) * hidden + (hidden + 1) * size_out


ACTOR, CRITIC = weights(OBS, 2 * ACTION), weights(OBS + ACTION, 1)


def flops_per_update(batch: int = BATCH, actor: int = ACTOR, critic: int = CRITIC) -> float:
    """Returns the operations of one update: 2 for each weight and row forward, 4 backward.

    Critics forward and backward, target critics forward, critics once more for the actor's loss with the
    gradient of their inputs alone: 6 + 2 + 4. Actor forward at s', forward and backward at s: 2 + 6.
    """
    return batch * (12.0 * CRITICS * critic + 8.0 * actor)


def bytes_per_env_step(utd_ratio: float, obs: int = OBS, action: int = ACTION) -> tuple[float, float]:
    """Returns the bytes that a transition takes in the replay buffer, and those that its updates read."""
    row = 4.0 * (2 * obs + action + 2) + 4  # observations, action, reward and log-density; flags and env
    return row, utd_ratio * BATCH * 4.0 * (2 * obs + action + 2)


@dataclass(frozen=True)
class Outcome:
    """What a design reaches: env steps per second, updates behind the weights that act, what limits it."""

    env_steps_per_s: float
    policy_lag: float
    limit: str


def sync(costs: Costs, envs: int, env: float, utd_ratio: float) -> Outcome:
    """Returns what one process reaches that steps all envs, then updates."""
    acting = costs.act + envs * costs.act_row
    updating = utd_ratio * envs * (costs.update + BATCH * costs.update_row)
    stepping = envs * (env + costs.take_row)
    parts = {"envs": stepping, "updates": updating, "actions": acting}
    return Outcome(envs / sum(parts.values()), 0.0, max(parts, key=lambda part: parts[part]))


def actors(costs: Costs, envs: int, env: float, utd_ratio: float, blocks: int = 3000) -> Outcome:
    """Simulates `collector=ray`: actors with a core each, and one learner that takes their blocks.

    An actor begins a block when it has been asked for it and has ended the one before. The learner takes the
    first block that is there, asks for another, makes its updates, and publishes every PUBLISH_EVERY updates.
    """
    per_actor = min(envs, ENVS_PER_ACTOR)
    count, rows = envs // per_actor, per_actor * STEPS
    step = STEPS * (costs.act + per_actor * (costs.act_row + env))
    update = costs.update + BATCH * costs.update_row
    now = busy = updates = published = lag = taken = 0.0
    free = [step * (i + 1) / count for i in range(count)]  # when each actor ends its first block
    ready = [(free[i], i, 0.0) for i in range(count)]  # when, who, updates behind its weights
    for i in range(count):
        for _ in range(AHEAD - 1):
            free[i] += step
            ready.append((free[i], i, 0.0))
    heapq.heapify(ready)
    while taken < blocks:
        ended, i, behind = heapq.heappop(ready)
        began = max(now, ended)
        lag += updates - behind
        work = costs.take + rows * costs.take_row + AHEAD * count * costs.wait + utd_ratio * rows * update
        updates += utd_ratio * rows
        if updates - published >= PUBLISH_EVERY:
            published, work = updates, work + costs.publish
        now, busy, taken = began + work, busy + work, taken + 1
        free[i] = max(free[i], now) + step
        heapq.heappush(ready, (free[i], i, published))
    limit = "learner" if busy > 0.95 * now else "actors"
    return Outcome(taken * rows / now, lag / taken, limit)


def ranks(costs: Costs, count: int, utd_ratio: float, env: float) -> Outcome:
    """Returns what `devices=count` reaches, each rank with one env and its share of the mini-batch."""
    share = BATCH / count
    moved = 2.0 * (count - 1) / count * 4.0 * (ACTOR + CRITICS * CRITIC) / BYTES_PER_S
    averaging = 0.0 if count == 1 else moved + 3 * 2 * (count - 1) * LATENCY
    update = utd_ratio * count * (costs.update + share * costs.update_row + averaging)
    parts = {"envs": env + costs.act, "updates": update - utd_ratio * count * averaging, "averaging": 0.0}
    parts["averaging"] = utd_ratio * count * averaging
    return Outcome(count / sum(parts.values()), 0.0, max(parts, key=lambda part: parts[part]))


def timed(call: Callable[[], object], seconds: float = 1.5) -> float:
    """Returns the median time of `call`."""
    times, until = [], time.perf_counter() + seconds
    while time.perf_counter() < until or len(times) < 5:
        began = time.perf_counter()
        call()
        times.append(time.perf_counter() - began)
    return statistics.median(times)


def line(small: tuple[int, float], large: tuple[int, float]) -> tuple[float, float]:
    """Returns fixed cost and cost of a row from the times of two sizes."""
    slope = (large[1] - small[1]) / (large[0] - small[0])
    return max(small[1] - slope * small[0], 0.0), slope


def measure() -> None:
    """Measures the costs with one thread, eagerly, and writes them."""
    import gymnasium as gym
    import numpy as np
    import ray
    import torch
    from worker_update import random_replay

    from sac_lightning import SACModule
    from sac_lightning.envs import action_spec, obs_spec
    from sac_lightning.optim import OptimizerStep

    torch.set_num_threads(1)
    torch.manual_seed(0)
    with gym.make("HalfCheetah-v5") as env:
        module = SACModule(obs_spec(env.observation_space), action_spec(env.action_space))
    parts = (
        (module.critic_config, module.sac.critic.parameters()),
        (module.actor_config, module.sac.actor.parameters()),
        (module.sac.temperature, [module.sac.log_alpha]),
    )
    module.sac.prepare([OptimizerStep(p.optimizer, p.optimizer.build(own, p.lr)) for p, own in parts])
    replay = random_replay(module)

    def update(rows: int) -> float:
        batch, noise = replay.sample(rows), torch.randn(2, rows, module.sac.head.noise_size)
        return timed(lambda: module.sac.update(batch, noise))

    def act(count: int) -> float:
        obs = np.zeros((count, OBS), np.float32)
        return timed(lambda: module.act(obs))

    ray.init(num_cpus=1, include_dashboard=False, logging_level="error")

    def columns(rows: int) -> list[Any]:
        seen, action = np.zeros((rows, OBS), np.float32), np.zeros((rows, ACTION), np.float32)
        reward, flags, env = np.zeros(rows, np.float32), np.zeros(rows, np.bool_), np.zeros(rows, np.int16)
        return [seen, action, reward, seen.copy(), flags, flags.copy(), env, reward.copy()]

    owner = ray.remote(columns)
    state = {name: each.numpy() for name, each in module.sac.actor.state_dict().items()}

    def take(rows: int) -> float:
        blocks = [owner.remote(rows) for _ in range(200)]
        ray.wait(blocks, num_returns=len(blocks))
        times = []
        for block in blocks:
            began = time.perf_counter()
            arrays = [np.array(column) for column in ray.get(block)]
            for step in zip(*(np.split(array, STEPS) for array in arrays), strict=True):
                replay.add(*step)
            times.append(time.perf_counter() - began)
        return statistics.median(times)

    owed = [owner.remote(40) for _ in range(1000)]
    ray.wait(owed, num_returns=len(owed))
    found = {
        **dict(zip(("update", "update_row"), line((64, update(64)), (1024, update(1024))), strict=True)),
        **dict(zip(("act", "act_row"), line((1, act(1)), (256, act(256))), strict=True)),
        **dict(zip(("take", "take_row"), line((40, take(40)), (1000, take(1000))), strict=True)),
        "wait": timed(lambda: ray.wait(owed, num_returns=1)) / len(owed),
        "publish": timed(lambda: ray.put(state)),
    }
    ray.shutdown()
    COSTS.add(({"cost": key, "seconds": value} for key, value in found.items()), replacing=lambda _: True)


def simulate(costs: Costs) -> list[dict[str, object]]:
    """Returns what each design reaches, for slow and fast envs, from 1 to 10,000 of them."""
    rows: list[dict[str, object]] = []
    for env in (5e-5, 5e-3):
        for envs in (1, 4, 16, 64, 256, 1024, 10_000):
            utd = min(1.0, 1.0 / envs)
            for design, outcome in (
                ("sync", sync(costs, envs, env, utd)),
                ("ray", actors(costs, envs, env, utd)),
            ):
                rows.append(
                    {"design": design, "env_seconds": env, "envs": envs, "utd_ratio": utd, **vars(outcome)}
                )
        for count in (1, 2, 4, 8, 16, 64):
            outcome = ranks(costs, count, 1.0, env)
            rows.append(
                {"design": "devices", "env_seconds": env, "envs": count, "utd_ratio": 1.0, **vars(outcome)}
            )
    return rows


def draw(rows: list[dict[str, object]]) -> None:
    """Draws env steps per second by envs, one picture for each duration of an env step."""
    durations = sorted({float(str(row["env_seconds"])) for row in rows})
    with rc_context(STYLE):
        figure = Figure(figsize=(7.6, 3.4), dpi=130, layout="constrained")
        for axes, env in zip(figure.subplots(1, len(durations)), durations, strict=True):
            for design in ("sync", "ray", "devices"):
                own = [row for row in rows if row["design"] == design and row["env_seconds"] == env]
                axes.plot(
                    [row["envs"] for row in own], [row["env_steps_per_s"] for row in own], "o-", label=design
                )
            axes.set(xscale="log", yscale="log", xlabel="envs", title=f"an env step takes {1000 * env:g} ms")
            axes.legend(fontsize=8)
        figure.supylabel("env steps per second", fontsize=9)
        FigureCanvasAgg(figure)
        figure.savefig(PICTURE, format="png")


def main() -> int:
    """Measure or simulate."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--measure", action="store_true", help="measure the costs first")
    arguments = parser.parse_args()
    if arguments.measure:
        measure()
    rows = simulate(Costs.read())
    Table(SIMULATED, COLUMNS).add(rows, replacing=lambda _: True)
    draw(rows)
    for row in rows:
        print("  ".join(f"{value:.4g}" if isinstance(value, float) else str(value) for value in row.values()))
    return 0


if __name__ == "__main__":
    sys.exit(main())
