"""A compiler that refuses or fails costs speed and one warning, never the run."""

import json
import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

# What a run leaves behind, of an eager run and of one that could not be compiled, in a process without the
# type checker, which a full graph cannot contain.
RUNS = """
    import json, logging, random, sys
    from dataclasses import dataclass
    import torch
    import numpy as np
    sys.path.insert(0, sys.argv[1])
    from sac_lightning import ActorConfig, CriticConfig, ReplayDataModule
    from sac_lightning.compile import graph
    from sac_lightning.heads import TanhNormal
    from tasks import fit

    torch.set_num_threads(1)
    warned = []
    class Keeps(logging.Handler):
        def emit(self, record):
            warned.append(record.getMessage())
    logging.getLogger("sac_lightning").addHandler(Keeps(logging.WARNING))

    @dataclass(frozen=True)
    class Branches(TanhNormal):
        def weighted_actions(self, features, noise):
            if float(features.detach().mean()) > 1e9:  # a number leaves its tensor: no graph contains that
                return super().weighted_actions(features * 2, noise)
            return super().weighted_actions(features, noise)

    @dataclass(frozen=True)
    class Draws(TanhNormal):
        def weighted_actions(self, features, noise):
            random.random(), np.random.rand(), torch.rand(1)
            print(end="")
            return super().weighted_actions(features, noise)

    def left_behind(head, precision, compiled, utd_ratio):
        random.seed(0), np.random.seed(0), torch.manual_seed(0)
        data = ReplayDataModule("Pendulum-v1", total_env_steps=60, steps_per_epoch=60, learning_starts=30,
                                batch_size=8, utd_ratio=utd_ratio)
        small = {"hidden_sizes": (16, 16)}
        module = fit(data, {"precision": precision}, head=head, actor=ActorConfig(**small),
                     critic=CriticConfig(**small), compile=compiled)
        replay, generator = data.experience.replay, data.experience.collector._generator
        kept = {**module.state_dict(), "acting": generator.get_state(),
                "drawing": replay.generator.get_state(),
                "updates": module.update_loop.noise_generator.get_state(),
                "global": torch.get_rng_state(),
                "numpy": torch.tensor([np.random.rand()]), "python": torch.tensor([random.random()])}
        kept |= {f"row {name}": value[:60] for name, value in replay.store._asdict().items()}
        kept |= {f"optimizer {name}": value for name, value in enumerate(
            each for optimizer in module.trainer.optimizers for slot in optimizer.state.values()
            for each in slot.values())}
        return kept, int(module.grad_steps)

    def compare(head=None, precision="32-true", utd_ratio=1.0):
        (eager, _), (kept, updates) = (
            left_behind(head, precision, compiled, utd_ratio) for compiled in (False, True))
        same = [torch.equal(eager[name].double().nan_to_num(-9.0), each.double().nan_to_num(-9.0))
                for name, each in kept.items()]
        found = {"kept": len(kept), "differs": [n for n, s in zip(kept, same) if not s], "updates": updates,
                 "warned": list(warned)}
        warned.clear()
        return found
"""


def found_by(code: str, **environment: str) -> dict[str, dict[str, object]]:
    script = textwrap.dedent(RUNS) + textwrap.dedent(code)
    line = [sys.executable, "-c", script, str(Path(__file__).parents[1])]
    ran = subprocess.run(line, capture_output=True, text=True, env={**os.environ, **environment})
    assert ran.returncode == 0, ran.stderr
    found: dict[str, dict[str, object]] = json.loads(ran.stdout.splitlines()[-1])
    return found


def assert_like_the_eager_run(found: dict[str, object], reason: str, updates: int = 30) -> None:
    assert found["differs"] == []
    assert found["updates"] == updates
    assert isinstance(found["kept"], int)
    assert found["kept"] > 60  # weights, optimizers, random streams, transitions
    (warning,) = found["warned"]  # type: ignore[misc]  # of JSON
    assert warning.startswith("PyTorch could not compile the update, so this run is eager")
    assert reason in warning
    assert "\n" not in warning
    assert len(warning) < 400


COMPARE = "print(json.dumps({'run': compare()}))"
REFUSED = """
    @dataclass(frozen=True)
    class Raises(TanhNormal):
        def weighted_actions(self, features, noise):
            raise ValueError("a mistake of the head's own")

    found = {
        "branch": compare(Branches(1)),
        "branch in bfloat16": compare(Branches(1), "bf16-mixed"),
        "two updates": compare(Draws(1), utd_ratio=2.0),
    }
    try:
        left_behind(Raises(1), "32-true", True, 1.0)
    except ValueError as error:
        found["raises"] = {"message": str(error), "during": error.__context__ is not None}
    print(json.dumps(found))
"""


def test_a_head_that_breaks_the_graph_trains_as_in_an_eager_run() -> None:
    found = found_by(REFUSED)
    assert found.pop("raises") == {"message": "a mistake of the head's own", "during": False}
    assert_like_the_eager_run(found["branch"], "data-dependent")
    assert_like_the_eager_run(found["branch in bfloat16"], "data-dependent")
    assert_like_the_eager_run(found["two updates"], "global random generator", updates=60)


AFTER_IT_RAN = """
    import torch.fx.experimental.proxy_tensor as tracing
    from sac_lightning.compile.rewrites import LAST_PASS

    make_fx = tracing.make_fx
    del tracing.make_fx  # as in a PyTorch that has renamed it
    found = {"name": compare()}
    tracing.make_fx = make_fx
    run = graph.run_and_unwrap

    def fails(*given):
        run(*given)
        raise OSError("no space left on device")

    def wrong(run_it, inputs):
        results = run(run_it, inputs)
        with torch.no_grad():
            max(inputs, key=torch.numel).add_(0.01)
        return results

    graph.run_and_unwrap = fails
    found["ran"] = compare()
    graph.run_and_unwrap = wrong
    found["wrong"] = compare()
    graph.run_and_unwrap = run
    compile_graph = graph.compile_graph

    def with_its_own_settings(*given, settings, **named):
        if set(settings) & {*graph._STORED, LAST_PASS}:
            raise KeyError("buf1")
        return compile_graph(*given, settings=settings, **named)

    graph.compile_graph = with_its_own_settings
    found["second try"] = compare()
    print(json.dumps(found))
"""


def test_what_a_failed_call_had_changed_is_put_back_and_the_compiler_may_try_twice() -> None:
    found = found_by(AFTER_IT_RAN)
    again = found.pop("second try")
    assert (again["warned"], again["updates"]) == ([], 30)
    assert again["differs"] != []  # it is compiled, and rounds otherwise
    assert_like_the_eager_run(found["name"], "does not have torch.fx.experimental.proxy_tensor.make_fx")
    assert_like_the_eager_run(found["ran"], "OSError: no space left on device")
    assert_like_the_eager_run(found["wrong"], "its numbers are not those of the eager update")


def test_a_compiler_that_does_not_work_costs_no_run(tmp_path: Path) -> None:
    cxx = tmp_path / "g++"
    cxx.write_text("#!/bin/sh\nexit 1\n")
    cxx.chmod(0o755)
    broken = {"CXX": str(cxx), "TORCHINDUCTOR_CACHE_DIR": str(tmp_path / "cache")}
    assert_like_the_eager_run(found_by(COMPARE, **broken)["run"], "Error: ")


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="writes to a folder that only Linux has")
def test_a_cache_that_cannot_be_written_costs_no_run() -> None:
    assert_like_the_eager_run(found_by(COMPARE, TORCHINDUCTOR_CACHE_DIR="/proc")["run"], "Error: ")
