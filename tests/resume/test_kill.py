"""A run that is killed goes on from its last checkpoint and ends with the bits of one that was not."""

import json
import random
import subprocess
import sys
import time
from pathlib import Path

from commands import TINY, start, train
from runs import differences, saved_state

HERE = Path(__file__).parent


def test_killed_at_every_kind_of_write_sync_rename_and_removal(tmp_path: Path) -> None:
    line = [sys.executable, str(HERE / "every_instant.py"), str(tmp_path)]
    output = subprocess.run(line, capture_output=True, text=True, check=True).stdout
    found = json.loads(output.splitlines()[-1])
    assert found["wrong"] == []
    instants = found["instants"]
    assert len(instants) >= 30
    for kind in ("write .segment", "fsync .segment", "replace .segment", "unlink segment", "fsync replay"):
        assert any(instant.startswith(kind) for instant in instants)
    for file in (".last.ckpt.tmp", ".best.ckpt.tmp", ".metrics.csv.tmp"):
        assert {f"write {file}", f"fsync {file}", f"replace {file}"} <= set(instants)


def test_a_process_killed_at_random_instants(tmp_path: Path) -> None:
    # A checkpoint every 20 steps, each some 30 ms apart; the ring of 50 is overwritten again and again.
    options = (*TINY, "env=cartpole", "steps_per_epoch=20", "replay.capacity=50", "total_env_steps=600")
    whole = start(*options, "hydra.run.dir=whole", cwd=tmp_path)
    rng, arguments, kills = random.Random(0), (*options, "hydra.run.dir=killed"), 0
    while True:
        process = start(*arguments, cwd=tmp_path)
        last = tmp_path / "killed" / "checkpoints" / "last.ckpt"
        began = last.stat().st_mtime_ns if last.exists() else 0
        while process.poll() is None and not (last.exists() and last.stat().st_mtime_ns > began):
            time.sleep(0.01)
        if kills < 5:
            time.sleep(rng.uniform(0.0, 0.3))
            process.kill()
            kills += 1
        _, err = process.communicate()
        assert process.returncode in (0, -9), err
        if process.returncode == 0:
            break
        arguments = ("resume=killed",)
    assert kills >= 3
    whole.communicate(timeout=300)
    expected = saved_state(tmp_path / "whole", 50)
    assert differences(saved_state(tmp_path / "killed", 50), expected) == []


def test_killed_before_its_first_epoch_ended(tmp_path: Path) -> None:
    options = (*TINY, "env=cartpole", "steps_per_epoch=100000", "total_env_steps=100000")
    process = start(*options, "hydra.run.dir=killed", cwd=tmp_path)
    last = tmp_path / "killed" / "checkpoints" / "last.ckpt"
    while not last.exists():
        assert process.poll() is None
        time.sleep(0.01)
    process.kill()
    process.communicate()
    resumed = train("resume=killed", "total_env_steps=50", cwd=tmp_path)
    assert resumed.code == 0, resumed.err
    assert json.loads((tmp_path / "killed" / "summary.json").read_text())["grad_steps"] == 10  # 50 − 40


def test_killed_before_its_first_checkpoint_begins_anew(tmp_path: Path) -> None:
    assert train(*TINY, "hydra.run.dir=whole", cwd=tmp_path).code == 0
    (tmp_path / "killed").mkdir()
    (tmp_path / "killed" / "config.yaml").write_text((tmp_path / "whole" / "config.yaml").read_text())
    resumed = train("resume=killed", cwd=tmp_path)
    assert resumed.code == 0, resumed.err
    expected = saved_state(tmp_path / "whole", 100)
    assert differences(saved_state(tmp_path / "killed", 100), expected) == []
