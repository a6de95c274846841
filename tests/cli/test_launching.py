"""Jobs side by side when a worker is killed or the sweep is interrupted: the others are none the worse."""

import os
import signal
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path

import pytest
from tests.cli.conftest import TINY, start
from tests.cli.sweeps import summary

from sac_lightning.cli.command_line import DONE, FAILED
from sac_lightning.cli.sweep.jobs import KILLED, Job
from sac_lightning.cli.sweep.pool import LauncherFailed, launch_all

JOBLIB = ("launcher=joblib", "sweep.at_once=2", "callbacks.plots=null", "hydra.sweep.dir=sweep")
DEADLY = (
    *("env=gym", "env.id=Deadly-v0", "env.imports=[faulty_envs]", "env.allowed_prefixes=[faulty_envs]"),
    "+env.kwargs.seed=${seed}",
)


def test_worker_that_is_killed_takes_no_other_job_with_it(
    tmp_path: Path, process_env: dict[str, str]
) -> None:
    process = start("train.py", "-m", "seed=0,1,2,3", *JOBLIB, *DEADLY, *TINY, cwd=tmp_path, env=process_env)
    out, err = process.communicate(timeout=180)
    assert process.returncode == 1, err
    found = [summary(tmp_path / "sweep" / job) for job in "0123"]
    assert [each["status"] for each in found] == ["done", "failed", "done", "done"]
    seen = [found[1][key] for key in ("error", "exit_status", "env_id", "seed")]
    assert seen == [KILLED, 1, "Deadly-v0", 1]
    assert "seed=1" in found[1]["overrides"]
    assert f"job 1: {KILLED}" in out
    assert "error: the launcher failed: A worker process managed by the executor" in err
    assert "Traceback" not in err


def test_interrupted_jobs_side_by_side_all_save_a_checkpoint_and_no_other_begins(
    tmp_path: Path, process_env: dict[str, str]
) -> None:
    longer = [each for each in TINY if not each.startswith("total_env_steps")]
    process = start(
        *("train.py", "-m", "seed=0,1,2,3", "env=cartpole", *JOBLIB, *longer, "total_env_steps=1000000"),
        cwd=tmp_path,
        env=process_env,
        start_new_session=True,
    )
    wait_for([tmp_path / "sweep" / job / "checkpoints" / "last.ckpt" for job in "01"], process)
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does: to the sweep and to its workers
    out, err = process.communicate(timeout=60)
    assert process.returncode == 130, err
    for job in "01":
        assert summary(tmp_path / "sweep" / job)["status"] == "interrupted"
        assert "SIGTERM: saving a checkpoint" in (tmp_path / "sweep" / job / "train.log").read_text()
    assert not any((tmp_path / "sweep" / job).exists() for job in "23")
    table = [line for line in out[out.rindex("overrides") :].splitlines() if line.startswith("│")]
    assert [" missing " in line for line in table] == [False, False, True, True]


def wait_for(paths: Sequence[Path], process: "subprocess.Popen[str]") -> None:
    ends = time.monotonic() + 90.0
    while not all(path.exists() for path in paths):
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < ends, paths
        time.sleep(0.05)


@pytest.mark.parametrize(
    ("begins", "dies", "launches", "code"),
    [
        ("", "", [[0, 1, 2, 3]], FAILED),  # reported at once
        # 0 was done; 1 dies, 2 is taken along, 3 had not begun: each of them runs alone.
        ("012", "1", [[0, 1, 2, 3], [1], [2], [3]], FAILED),
        ("012", "", [[0, 1, 2, 3], [1], [2], [3]], DONE),
    ],
)
def test_jobs_are_launched_again_if_the_launcher_failed_after_some_had_begun(
    begins: str, dies: str, launches: list[list[int]], code: int, tmp_path: Path
) -> None:
    calls: list[list[int]] = []

    def end(job: Job) -> None:
        job.path.mkdir(exist_ok=True)
        (job.path / "summary.json").write_text('{"status": "done"}')

    def launch(jobs: Sequence[Job]) -> int:
        calls.append([job.number for job in jobs])
        for job in jobs:
            if str(job.number) in begins:
                job.path.mkdir(exist_ok=True)
                (job.path / "config.yaml").write_text("seed: 7")
        if len(calls) == 1:
            if begins:
                end(jobs[0])
            raise LauncherFailed("a worker died")
        if str(jobs[0].number) in dies:
            raise LauncherFailed("it died again")
        end(jobs[0])
        return DONE

    jobs = [Job(number, [f"seed={number}"], tmp_path / str(number)) for number in range(4)]
    assert launch_all(launch, jobs) == code
    assert calls == launches
    if begins:
        assert [job.status for job in jobs] == ["failed" if str(n) in dies else "done" for n in range(4)]
