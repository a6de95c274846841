"""The compiled update does what the eager one does, in every head."""

import json
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import pytest

from sac_lightning.core.hardware import has_compiler

pytestmark = pytest.mark.skipif(not has_compiler(), reason="needs a C++ compiler (g++ or clang++)")
TESTS = Path(__file__).parents[1]


def printed(code: str, *arguments: str, cwd: Path | None = None) -> Any:
    """What `code` prints last, in a process without the type checker, which a full graph cannot contain."""
    line = [sys.executable, "-c", textwrap.dedent(code), str(TESTS), *arguments]
    ran = subprocess.run(line, capture_output=True, text=True, check=False, cwd=cwd)
    assert ran.returncode == 0, ran.stderr
    return json.loads(ran.stdout.splitlines()[-1])


COMPARE = """
    import json, sys
    sys.path.insert(0, sys.argv[1])
    import torch
    torch.set_num_threads(1)
    from built import *
    from sac_lightning.compile.fused_action import FusedAction
    from sac_lightning.compile.graph import CompiledGraph
    from sac_lightning.compile.update import CompiledUpdate
    from sac_lightning.entropy import LearnedTemperature
    from sac_lightning.networks import RandomSubset
    from sac_lightning.networks.counter_random import CounterRandom
    from sac_lightning.optim import Adam

    def row(sac, replay, update, index, noise, with_actor):
        # Metrics, TD errors, and the actions of two obs under the policy that has been stepped.
        obs, acting_noise = torch.randn(2, 3), sac.head.draw_acting_noise(2, torch.default_generator)
        if update is not None:
            fused = FusedAction(obs, acting_noise)
            result = update(index, noise, fused, with_actor)
            action, log_prob = fused.chosen
        else:
            result = sac.update(replay.gather(index), noise, with_actor)
            with torch.no_grad():
                features = sac.features(obs)
                action = sac.head.act(features, acting_noise)
                log_prob = sac.head.log_prob(features, action)
        found = {**result.metrics, "td_error": result.td_error.sum(), "log_prob": log_prob.sum()}
        found |= {f"action_{i}": each for i, each in enumerate(action.flatten())}
        return {key: float(value) for key, value in found.items()}

    def updates(head, gamma, lr, delay, compiled):
        torch.manual_seed(0)
        clipped = Adam(max_grad_norm=0.1, lr_schedule="linear")
        critic = None
        if delay > 1:  # what an update draws itself
            critic = CriticConfig(hidden_sizes=(16,), num_critics=3, pessimism=RandomSubset(2))
        rule = LearnedTemperature(optimizer=clipped, init=0.5, max=0.5)
        sac = sac_of(head, rule, critic=critic, actor_delay=delay)
        storage = "memmap" if compiled else "memory"  # a mapped file has an address as memory has
        replay = replay_of(head, gamma=gamma, storage=storage)
        update = CompiledUpdate(sac, replay) if compiled else None
        rows = []
        for step in range(4):
            if step == 2:
                sac._critic_step._group["lr"] = lr
                sac._critic_step.follow_lr()
            noise = torch.stack((noise_of(head), noise_of(head)))
            with_actor = sac.is_actor_due(step + 1)
            rows.append(row(sac, replay, update, index_of(replay), noise, with_actor))
        for with_actor in (True, False)[:delay]:
            assert update is None or (isinstance(update._runs[with_actor], CompiledGraph)
                                      and update._runs[with_actor].works)
        return rows, sac.state

    # The numbers of dropout, whose graph takes long to compile.
    eager, compiled = (CounterRandom(torch.Generator().manual_seed(3)) for _ in range(2))
    draw = CompiledGraph(lambda: [compiled.uniform(5, 40)], compiled.buffers())
    assert all(torch.equal(draw()[0], eager.uniform(5, 40)) for _ in range(3))

    found = {}
    # The second and third share everything with the first but a number: each needs a graph of its own.
    others = ("categorical", "sampled", "hybrid", "scaled")
    for case in (("tanh_normal", 0.9, 1e-3, 1), ("tanh_normal", 0.5, 1e-3, 1), ("tanh_normal", 0.9, 1e-2, 2),
                 *((head, 0.9, 1e-3, 1) for head in others)):
        (rows, eager), (compiled_rows, compiled) = (updates(*case, flag) for flag in (False, True))
        assert len(rows[0]) > 8
        assert len(eager) == len(compiled) > 40
        pairs = zip(eager, compiled, strict=True)
        gaps = [float((a - b).detach().double().abs().max()) for a, b in pairs if a.numel()]
        gaps += [abs(a[key] - b[key]) for a, b in zip(rows, compiled_rows, strict=True) for key in a]
        found[" ".join(map(str, case))] = max(gaps), rows[-1]["train/critic_loss"]
    print(json.dumps(found))
"""


def test_compiled_and_eager_updates_agree() -> None:
    found = printed(COMPARE)
    assert len(found) == 7
    assert max(gap for gap, _ in found.values()) < 1e-5, found
    assert len({loss for _, loss in found.values()}) == 7


WHOLE_LOOP = """
    import json, sys
    sys.path.insert(0, sys.argv[1])
    import torch
    from sac_lightning import ActorConfig, CriticConfig, Policy, ReplayDataModule
    from tasks import fit

    torch.set_num_threads(1)
    alone, found = [], {}
    for name in ("sample", "sample_with_log_prob"):
        def counted(*given, own=getattr(Policy, name), **named):
            alone.append(given)
            return own(*given, **named)
        setattr(Policy, name, counted)
    for updates, envs in ((1.0, 1), (2.0, 1), (0.5, 2)):
        stored = []
        for compiled in (False, True):
            alone.clear()
            data = ReplayDataModule("Pendulum-v1", total_env_steps=60, steps_per_epoch=60, learning_starts=20,
                                    batch_size=8, num_envs=envs, utd_ratio=updates)
            small = {"hidden_sizes": (16, 16)}
            module = fit(data, actor=ActorConfig(**small), critic=CriticConfig(**small), compile=compiled)
            store = data.experience.replay.store
            stored.append((store.obs[:60], store.action[:60], store.log_prob[:60].nan_to_num(-9.0)))
        gaps = [float((a - b).abs().max()) for a, b in zip(*stored, strict=True)]
        found[f"{updates} {envs}"] = max(gaps), len(alone), int(module.grad_steps)
    print(json.dumps(found))
"""


def test_a_compiled_run_collects_what_the_eager_one_does_and_acts_in_its_updates() -> None:
    found = printed(WHOLE_LOOP)
    assert max(gap for gap, *_ in found.values()) < 1e-3, found
    alone = {case: number for case, (_, number, _) in found.items()}
    # The first action by the policy precedes the first update; with two updates an iteration all are alone.
    assert alone == {"1.0 1": 1, "2.0 1": 40, "0.5 2": 1}
    assert [updates for *_, updates in found.values()] == [40, 80, 20]


PRESET = """
    import json, logging, sys
    sys.path.insert(0, sys.argv[1])
    from hydra import compose, initialize_config_dir
    from sac_lightning.cli.assemble import plan
    from sac_lightning.cli.train import config_dir
    from tasks import trainer_for

    warned = []
    class Keeps(logging.Handler):
        def emit(self, record):
            warned.append(record.getMessage())
    logging.getLogger("sac_lightning").addHandler(Keeps(logging.WARNING))

    narrow = ["actor.hidden_sizes=[8]", "critic.hidden_sizes=[8]", "batch_size=4"]
    short = ["learning_starts=8", "total_env_steps=12", "steps_per_epoch=12", "eval_episodes=0"]
    how = ["env=pendulum", "compile=true", "device=cpu", "threads=1", "paths.run_dir=unused"]
    with initialize_config_dir(config_dir(), version_base="1.3"):
        made = plan(compose("train", [*sys.argv[2:], *narrow, *short, *how]))
    module = made.module()
    trainer_for(made.datamodule).fit(module, made.datamodule)
    print(json.dumps([int(module.grad_steps), warned]))
"""
PRESETS = sorted(file.stem for file in (TESTS.parent / "conf" / "experiment").glob("*.yaml"))


@pytest.mark.parametrize(
    "arguments",
    # PyTorch 2.13 compiles the first at its second try. One graph of it takes 40 seconds to compile.
    [("experiment=flash_sac", "actor_delay=1")]
    + [pytest.param((f"experiment={name}",), marks=pytest.mark.slow) for name in PRESETS],
)
def test_the_update_of_a_preset_compiles(arguments: tuple[str, ...], tmp_path: Path) -> None:
    updates, warned = printed(PRESET, *arguments, cwd=tmp_path)
    assert updates > 0
    assert warned == []
