"""A run that was killed between its last checkpoint and its summary says how it ended once it is resumed."""

import json
from pathlib import Path

import pytest
from commands import Server, everything, summary

from sac_lightning_report.runs import read_runs


@pytest.mark.parametrize(
    "left", [None, "", '{"status": "interr', '{"status": "interrupted"}', '{"status": "failed"}']
)
def test_complete_run_gets_its_summary(run: Path, server: Server, left: str | None) -> None:
    file, before = run / "summary.json", summary(run)
    rows, last = (run / "metrics.csv").read_text(), (run / "checkpoints" / "last.ckpt").read_bytes()
    if left is None:
        file.unlink()
    else:
        file.write_text(left)
    ended = server.train(f"resume={run}", cwd=run.parent)
    assert ended.code == 0, ended.err
    after = summary(run)
    changing = {"wall_time_s", "env_steps_per_s", "overrides", "versions"}
    assert {key: after[key] for key in after if key not in changing} == {
        key: before[key] for key in before if key not in changing
    }
    assert after["status"] == "done"
    assert [each.status for each in read_runs(run)] == ["done"]
    assert (run / "metrics.csv").read_text() == rows
    assert (run / "checkpoints" / "last.ckpt").read_bytes() == last
    kept = everything(run)
    assert (
        "env steps already: give total_env_steps above" in server.train(f"resume={run}", cwd=run.parent).out
    )
    assert everything(run) == kept


def test_run_that_a_search_ended_early_stays_pruned(run: Path, server: Server) -> None:
    (run / "summary.json").write_text(json.dumps({**summary(run), "status": "pruned"}))
    before = everything(run)
    assert server.train(f"resume={run}", cwd=run.parent).code == 0
    assert everything(run) == before
