"""A disk that is full ends a run with a clear reason, and leaves the last checkpoint whole."""

from pathlib import Path

import pytest
from commands import TINY, start, summary, train, train_anew
from runs import differences, saved_state

from sac_lightning.core.checkpoint import read_checkpoint


# 20 kB: a segment fits, a checkpoint does not. 500 bytes: nothing fits, train.log and summary.json included.
@pytest.mark.parametrize(("size", "named"), [(20_000, "/checkpoints/"), (500, "")])
def test_a_full_disk_is_told_and_the_run_goes_on_when_there_is_space(
    tmp_path: Path, size: int, named: str
) -> None:
    options = (*TINY, "env=cartpole")
    whole = start(*options, "hydra.run.dir=whole", cwd=tmp_path)
    full = f"+callbacks.full={{_target_: full_disk.Fill, env_steps: 100, size: {size}}}"
    ended = train_anew(*options, full, "allowed_prefixes=[full_disk]", "hydra.run.dir=full", cwd=tmp_path)
    run = tmp_path / "full"
    assert ended.code == 1, ended.err
    (line,) = [line for line in ended.err.splitlines() if "training failed" in line]
    assert "File too large" in line
    assert named in line
    assert "Traceback" not in ended.err
    assert not list(run.rglob(".*.tmp"))
    assert int(read_checkpoint(run / "checkpoints" / "last.ckpt")["state_dict"]["sac.env_steps"]) == 60
    if size > 10_000:
        assert summary(run)["status"] == "failed"
        assert "Traceback" in (run / "train.log").read_text()

    resumed = train("resume=full", "+callbacks.full=null", cwd=tmp_path)
    assert resumed.code == 0, resumed.err
    assert summary(run)["status"] == "done"
    whole.communicate(timeout=300)
    expected = saved_state(tmp_path / "whole", 100)
    assert differences(saved_state(run, 100), expected) == []
