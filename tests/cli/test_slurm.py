"""A job that SLURM wants back saves a checkpoint, is queued again, and then continues its run."""

import json
import signal
from pathlib import Path
from signal import SIGTERM, SIGUSR1, SIGUSR2
from typing import Any

import pytest
from tests.forked import fork

from sac_lightning.cli.slurm import earlier_run, note_job, requeue

from .conftest import TINY

SCONTROL = '#!/bin/sh\necho "$@" >>"$ASKED"\nexit ${REFUSED:-0}\n'


# SLURM sends several signals, one after the other.
RUN = (
    *(*TINY, "env=gym", "env.id=Preempted-v0"),
    *("env.imports=[faulty_envs]", "env.allowed_prefixes=[faulty_envs]"),
    *(f"+env.kwargs.signals=[{int(SIGUSR1)},{int(SIGTERM)}]", "+env.kwargs.sent=${oc.env:SENT}"),
)


@pytest.fixture
def job(tmp_path: Path, process_env: dict[str, str]) -> dict[str, str]:
    """The environment of a job of SLURM, with a stand-in for `scontrol`."""
    scontrol = tmp_path / "bin" / "scontrol"
    scontrol.parent.mkdir()
    scontrol.write_text(SCONTROL)
    scontrol.chmod(0o755)
    own = {"PATH": f"{scontrol.parent}:{process_env['PATH']}", "ASKED": str(tmp_path / "asked")}
    slurm = {"JOB_ID": "77", "NTASKS": "1", "PROCID": "0", "LOCALID": "0", "NODEID": "0", "JOB_NAME": "night"}
    named = {f"SLURM_{name}": value for name, value in slurm.items()}
    return {**process_env, **own, **named, "SENT": str(tmp_path / "sent")}


def summary(folder: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((folder / "summary.json").read_text())
    return content


def test_a_job_that_is_preempted_continues_its_run(tmp_path: Path, job: dict[str, str]) -> None:
    # This site does not queue it again: that is told, and the run is whole.
    first = fork("train.py", *RUN, cwd=tmp_path, env={**job, "REFUSED": "1"})
    _, err = first.communicate(timeout=60)
    assert first.returncode == 130, err
    (folder,) = (tmp_path / "runs" / "Preempted-v0").iterdir()
    assert (summary(folder)["status"], summary(folder)["env_steps"]) == ("interrupted", 25)
    assert (tmp_path / "asked").read_text() == "requeue 77\n"
    assert "scontrol requeue 77 failed" in " ".join(err.split())
    again = fork("train.py", *RUN, cwd=tmp_path, env={**job, "SLURM_RESTART_COUNT": "1"})
    _, err = again.communicate(timeout=60)
    assert again.returncode == 0, err
    assert list((tmp_path / "runs" / "Preempted-v0").iterdir()) == [folder]
    assert (summary(folder)["status"], summary(folder)["env_steps"]) == ("done", 60)
    assert "resuming at 25 env steps" in (folder / "train.log").read_text()


def test_a_job_is_known_by_its_number_and_its_arguments(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    new = tmp_path / "new"
    (tmp_path / "first").mkdir()
    note_job(tmp_path / "first", ["seed=1"])  # outside of SLURM
    monkeypatch.setenv("SLURM_RESTART_COUNT", "1")
    assert earlier_run(new, ["seed=1"]) is None
    monkeypatch.setenv("SLURM_ARRAY_JOB_ID", "7")
    monkeypatch.setenv("SLURM_ARRAY_TASK_ID", "3")
    note_job(tmp_path / "first", ["seed=1"])
    assert earlier_run(new, ["seed=1"]) == tmp_path / "first"
    assert earlier_run(new, ["seed=2"]) is None
    monkeypatch.setenv("SLURM_ARRAY_TASK_ID", "4")
    assert earlier_run(new, ["seed=1"]) is None
    monkeypatch.setenv("SLURM_ARRAY_TASK_ID", "3")
    monkeypatch.setenv("SLURM_RESTART_COUNT", "0")
    assert earlier_run(new, ["seed=1"]) is None


def test_a_launcher_that_requeues_itself_is_asked() -> None:
    received: list[int] = []
    before = signal.signal(SIGUSR2, lambda number, frame: received.append(number))
    try:
        requeue(SIGUSR2)
    finally:
        signal.signal(SIGUSR2, before)
    assert received == [SIGUSR2]
