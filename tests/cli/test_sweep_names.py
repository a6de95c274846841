"""Folders of jobs that are named by their overrides: what is done is found again."""

import csv
from pathlib import Path

import pytest
from tests.cli.conftest import TINY, Command, Server, everything
from tests.cli.sweeps import summary

NAMED = "hydra.sweep.subdir=${hydra.job.override_dirname}"
SWEEP = ("-m", "seed=0,1", *TINY, "env=cartpole", "callbacks.plots=null", NAMED)


@pytest.mark.parametrize(
    "watched",
    [
        ("sweep.resume=true",),
        ("sweep.resume=true", "sweep.at_once=2", "sweep.threads=1", "threads=1"),
        ("sweep.resume=true", "+trainer.enable_progress_bar=false", "callbacks.progress=null"),
        ("sweep.resume=true", "hydra.job.config.override_dirname.exclude_keys=[]"),
    ],
    ids=["resume", "shares", "watching", "keys of one's own"],
)
def test_jobs_that_are_done_are_left_alone(train: Command, tmp_path: Path, watched: tuple[str, ...]) -> None:
    assert train(*SWEEP).code == 0
    (sweep,) = (tmp_path / "multirun" / "CartPole-v1").iterdir()
    before = everything(sweep)
    again = train(*SWEEP, *watched)
    assert again.code == 0, again.err
    assert again.out.count("is done already") == 2
    assert everything(sweep) == before


def test_report_counts_each_seed_once(train: Command, tmp_path: Path, server: Server) -> None:
    named = ("hydra.sweep.dir=sweep",)
    assert train(*SWEEP, *named).code == 0
    assert train(*SWEEP, *named, "sweep.resume=true").code == 0
    ended = server.call("report", tmp_path, ("runs=sweep",))
    assert ended.code == 0, ended.err
    with (tmp_path / "sweep" / "report" / "runs.csv").open() as file:
        assert sorted(row["seed"] for row in csv.DictReader(file)) == ["0", "1"]


def test_what_is_missing_and_what_is_half_done_runs(train: Command, tmp_path: Path) -> None:
    named = ("hydra.sweep.dir=sweep",)
    assert train(*SWEEP, *named).code == 0
    first, second = sorted(path.parent for path in (tmp_path / "sweep").rglob("config.yaml"))
    (first / "summary.json").unlink()  # killed before it was written
    longer = [each.replace("seed=0,1", "seed=0,1,2") for each in SWEEP]
    again = train(*longer, *named, "sweep.resume=true")
    assert again.code == 0, again.err
    assert f"{second} is done already" in again.out
    assert again.out.count("is done already") == 1
    runs = sorted(path.parent for path in (tmp_path / "sweep").rglob("config.yaml"))
    assert len(runs) == 3
    assert {summary(run)["seed"] for run in runs} == {0, 1, 2}
    assert {summary(run)["status"] for run in runs} == {"done"}


def test_search_s_trials_are_found_again(train: Command, tmp_path: Path) -> None:
    pytest.importorskip("optuna")
    search = ("-m", "hparams_search=optuna", "hydra.sweeper.prune=true", "hydra.sweeper.params={}")
    # A folder's name has 255 characters at most.
    short = [
        each for each in SWEEP[2:] if not each.startswith(("log_every", "device", "eval_ep", "steps_per"))
    ]
    arguments = (*search, *short, "lr=interval(1e-4,1e-3)", "hydra.sweep.dir=search")
    assert train(*arguments, "hydra.sweeper.trials=1").code == 0
    again = train(*arguments, "hydra.sweeper.trials=2", "sweep.resume=true")
    assert again.code == 0, again.err
    assert len(list((tmp_path / "search").rglob("config.yaml"))) == 2
