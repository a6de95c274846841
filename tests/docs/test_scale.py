"""The model behind docs/scale.md: known answers, and the numbers of the page."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "scale.md").read_text(encoding="utf-8")


@pytest.fixture(autouse=True)
def _benchmarks(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    yield
    for name in ("scale", "tables"):
        sys.modules.pop(name, None)


def test_operations_and_bytes_are_those_of_the_page() -> None:
    import scale

    # 18·256 + 257·256 + 257·12 and 24·256 + 257·256 + 257
    assert (scale.ACTOR, scale.CRITIC) == (73_484, 72_193)
    assert scale.flops_per_update() == 256 * (24 * 72_193 + 8 * 73_484)
    assert f"{scale.flops_per_update() / 1e6:.0f} million" in PAGE
    assert scale.bytes_per_env_step(1.0) == (172, 256 * 42 * 4)


def test_simulated_actors_are_limited_by_envs_or_by_the_learner() -> None:
    import scale

    free = scale.Costs(0, 0, 0, 0, 0, 0, 0, 0)
    slow_envs = scale.actors(free, envs=16, env=5e-3, utd_ratio=1.0)
    assert slow_envs.env_steps_per_s == pytest.approx(
        4 * 4 / (4 * 5e-3), rel=0.01
    )  # four actors of four envs
    assert slow_envs.limit == "actors"
    learner = scale.actors(scale.Costs(1e-2, 0, 0, 0, 0, 0, 0, 0), envs=16, env=1e-6, utd_ratio=1.0)
    assert learner.env_steps_per_s == pytest.approx(100, rel=0.01)  # one update of 10 ms for each env step
    assert learner.policy_lag == pytest.approx(2 * 4 * 40, rel=0.15)  # 2 · actors · updates of a block
    assert learner.limit == "learner"


def test_devices_share_rows_and_not_the_fixed_cost() -> None:
    import scale

    costs = scale.Costs(1e-3, 1e-5, 0, 0, 0, 0, 0, 0)
    assert scale.ranks(costs, 1, 1.0, 0.0).env_steps_per_s == pytest.approx(1 / 3.56e-3)
    # 1 ms + 128 rows · 10 µs + 0.87 MB at 1.25 GB/s + 6 messages of 50 µs
    assert scale.ranks(costs, 2, 1.0, 0.0).env_steps_per_s == pytest.approx(1 / 3.277e-3, rel=1e-3)


def test_table_and_page_are_what_the_measured_costs_give() -> None:
    import scale
    from tables import Table, written

    rows = [{key: written(value) for key, value in row.items()} for row in scale.simulate(scale.Costs.read())]
    assert rows == Table(scale.SIMULATED, scale.COLUMNS).rows
    at = {
        (row["design"], float(row["env_seconds"]), int(row["envs"])): float(row["env_steps_per_s"])
        for row in rows
    }
    assert f"{round(at['ray', 5e-5, 10_000], -4):,.0f} env steps/s" in PAGE
    assert f"({1e3 * scale.Costs.read().update:.1f} ms: " in PAGE
    assert f"{at['devices', 5e-5, 4] / at['devices', 5e-5, 1]:.1f} times the speed" in PAGE
