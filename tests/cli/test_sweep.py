"""`-m`: every job to its end, whatever becomes of the others, and a table of all."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.cli.conftest import TINY, Command, Finished, Server, everything, mistake
from tests.cli.sweeps import CLOCK, assert_same_result, summary

FIXED = [each for each in TINY if each != "logger=csv"]
PICKY = (
    *("env=gym", "env.id=Picky-v0", "env.imports=[faulty_envs]", "env.allowed_prefixes=[faulty_envs]"),
    *("+env.kwargs.seed=${seed}", "+env.kwargs.alpha=${alpha._target_}", "callbacks.plots=null"),
)
JOBS = [f"seed={seed} alpha={alpha}" for seed in (0, 1, 2) for alpha in ("auto", "fixed")]
FAILS = 3  # seed=1 alpha=fixed


@pytest.fixture(scope="module")
def sweep(tmp_path_factory: pytest.TempPathFactory, server: Server) -> tuple[Path, Finished]:
    """Three seeds and two rules, one of the six jobs made to fail: the sweep's folder, how it ended."""
    cwd = tmp_path_factory.mktemp("six")
    arguments = ("-m", "seed=0,1,2", "alpha=auto,fixed", *PICKY, *FIXED, "task_name=six", "tags=[night]")
    ended = server.call("train", cwd, arguments)
    (folder,) = (cwd / "multirun" / "six").iterdir()
    return folder, ended


def test_one_failing_job_of_six_leaves_five_results_one_traceback_and_exit_1(
    sweep: tuple[Path, Finished],
) -> None:
    folder, ended = sweep
    assert ended.code == 1
    statuses = [summary(folder / str(job))["status"] for job in range(6)]
    assert statuses == ["failed" if job == FAILS else "done" for job in range(6)]
    logs = [(folder / str(job) / "train.log").read_text() for job in range(6)]
    assert ["Traceback (most recent call last)" in log for log in logs] == [job == FAILS for job in range(6)]
    assert "KeyError: 'wheel'" in logs[FAILS]
    failed = summary(folder / str(FAILS))
    assert (failed["env_steps"], failed["exit_status"]) == (44, 1)  # its 45th step fails
    assert "KeyError in step: 'wheel'" in failed["error"]


def test_all_six_are_told_at_the_end(sweep: tuple[Path, Finished]) -> None:
    table = sweep[1].out.partition("overrides")[2]
    lines = [line for line in table.splitlines() if line.startswith("│")]
    assert [JOBS[job] in lines[job] for job in range(6)] == [True] * 6
    assert [" failed " in line for line in lines] == [job == FAILS for job in range(6)]
    assert f"job {FAILS}: EnvError: Picky-v0 raised KeyError" in table


def test_all_six_are_reported(sweep: tuple[Path, Finished], tmp_path: Path, server: Server) -> None:
    ended = server.call("report", tmp_path, (f"runs='{sweep[0]}'", "out=.", "by=alpha"))
    assert ended.code == 0, ended.err
    assert "6 runs: 5 done, 1 failed" in ended.out
    text = (tmp_path / "report.md").read_text()
    assert text.startswith("# 6 runs: 5 done, 1 failed\n")
    rows = [line for line in text.partition("## All runs")[2].splitlines() if line[2:3].isdigit()]
    assert [row.split(" | ")[1].partition(":")[0] for row in rows] == [
        "failed" if job == FAILS else "done" for job in range(6)
    ]
    assert "KeyError in step: 'wheel'" in rows[FAILS]


def test_job_after_a_failed_one_is_the_same_as_alone(
    sweep: tuple[Path, Finished], train: Command, tmp_path: Path
) -> None:
    ended = train("seed=2", "alpha=auto", *PICKY, *TINY, "hydra.run.dir=alone")
    assert ended.code == 0, ended.err
    assert_same_result(sweep[0] / "4", tmp_path / "alone")


def wandb_records(run: Path) -> list[dict[str, Any]]:
    """W&B's offline record, read without a network."""
    (record,) = (run / "wandb").glob("offline-run-*/run-*.wandb")
    line = [str(Path(sys.executable).parent / "wandb"), "leet", "inspect", "--json", str(record)]
    answer = subprocess.run(line, capture_output=True, text=True, timeout=60, check=True).stdout
    return [json.loads(entry) for entry in answer.splitlines()]


@pytest.fixture(scope="module")
def records(sweep: tuple[Path, Finished]) -> list[list[dict[str, Any]]]:
    """W&B's of each job."""
    return [wandb_records(sweep[0] / str(job)) for job in range(6)]


def test_wandb_runs_are_grouped_named_tagged_distinct_and_finished(
    sweep: tuple[Path, Finished], records: list[list[dict[str, Any]]]
) -> None:
    heads = [next(entry["run"] for entry in job if entry["type"] == "run") for job in records]
    assert {head["run_group"] for head in heads} == {f"six/{sweep[0].name}"}
    assert {head["job_type"] for head in heads} == {"six"}
    assert {tuple(head["tags"]) for head in heads} == {("night",)}
    assert len({head["run_id"] for head in heads}) == 6
    assert [head["display_name"].startswith(JOBS[job]) for job, head in enumerate(heads)] == [True] * 6
    codes = [
        [entry["exit"].get("exit_code", 0) for entry in job if entry["type"] == "exit"] for job in records
    ]
    assert codes == [[1] if job == FAILS else [0] for job in range(6)]


@pytest.mark.parametrize("job", [0, FAILS, 5])
def test_wandb_holds_what_the_csv_holds(
    job: int, sweep: tuple[Path, Finished], records: list[list[dict[str, Any]]]
) -> None:
    from sac_lightning.training.loggers.metrics_csv import read_metrics

    history = [entry["history"]["item"] for entry in records[job] if entry["type"] == "history"]
    steps = [row["env_steps"] for row in history]
    assert steps == sorted(steps)
    assert len(set(steps)) > 1
    table = read_metrics(sweep[0] / str(job) / "metrics.csv")
    written = {
        (int(step), key): value
        for key, column in table.items()
        for step, value in zip(table["env_steps"], column, strict=True)
        if key != "env_steps" and not np.isnan(value)
    }
    sent = {
        (row["env_steps"], key): value
        for row in history
        for key, value in row.items()
        if key != "env_steps" and not key.startswith("_") and isinstance(value, int | float)
    }
    assert sent.keys() == written.keys()
    assert sent == pytest.approx(written, rel=1e-12)
    assert any(key == CLOCK for _, key in sent)


MISTAKES = {
    "launcher=rey": ("Could not find 'launcher/rey'", "joblib"),
    "launcher=submitit": ("launcher=submitit: needs SLURM", "submitit_local"),
    "sweep.resum=true": ("Could not override 'sweep.resum'",),
    "swep.resume=true": ("Could not override 'swep.resume'", "Did you mean sweep?"),
    "sweep.resume=maybe": ("sweep.resume=maybe: ", "true or false"),
    "sweep.at_once=none": ("sweep.at_once=none: must be auto", "all"),
    "sweep.threads=0": ("sweep.threads=0: must be auto",),
    "hydra.sweep.dir=a_file/sweep": ("hydra.sweep.dir=", "cannot be written (Not a directory)"),
    "hydra.sweep.subdir=one": ("hydra.sweep.subdir=one: must differ from job to job",),
    "gama=0.9,0.8": ("Could not override 'gama'", "Did you mean gamma?"),
    "gamma=interval(0.8,0.9)": ("gamma=interval(0.8,0.9): has no end of values",),
    "alpha=auto,autoo": ("Could not find 'alpha/autoo'",),
}


@pytest.mark.parametrize("argument", MISTAKES)
def test_mistake_in_a_sweep_is_told_in_one_line_before_any_job(
    argument: str, train: Command, tmp_path: Path
) -> None:
    (tmp_path / "a_file").touch()
    line = mistake(train("-m", "seed=0,1", *TINY, argument, makes_envs=False))
    begins, *holds = MISTAKES[argument]
    assert line.startswith(begins)
    assert all(part in line for part in holds), line
    assert everything(tmp_path) == {"a_file"}
