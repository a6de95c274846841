"""Hydra's own words work beside ours: launchers, sweepers, printed configs."""

from pathlib import Path

import pytest
import yaml
from tests.cli.conftest import TINY, Command, everything, mistake, start
from tests.cli.sweeps import summary

from sac_lightning.cli.command_line import translated_overrides
from sac_lightning.cli.mistakes import print_mistake
from sac_lightning.core.errors import ConfigError

SHORT = (*TINY, "env=cartpole", "callbacks.plots=null")
SWEEP = ("--multirun", "seed=0,1", *SHORT, "hydra.sweep.dir=sweep")


@pytest.mark.parametrize(
    ("typed", "ours"),
    [
        (["-m", "hydra/launcher=joblib"], ["-m", "launcher=joblib"]),
        (["hydra/launcher=submitit_slurm"], ["launcher=submitit"]),
        (["hydra/launcher=mine"], ["hydra/launcher=mine"]),
        (["~logger"], ["logger=none"]),
        (["logger=null", "~callbacks"], ["logger=none", "callbacks=none"]),
        (["+logger=tensorboard"], ["logger=[wandb,tensorboard]"]),
        (["logger=csv", "seed=1", "+logger=tensorboard"], ["seed=1", "logger=[csv,tensorboard]"]),
        (["logger=[csv, wandb]"], ["logger=[csv,wandb]"]),
        (["logger=csv,wandb", "logger.csv.path=a=b"], ["logger=csv,wandb", "logger.csv.path=a=b"]),
        (["hydra.sweeper.n_trials=3"], ["hydra.sweeper.trials=3"]),
        (["hydra.sweeper.sampler.seed=1", "--cfg", "job"], ["hydra.sweeper.seed=1", "--cfg", "job"]),
    ],
)
def test_words_of_others_are_understood(typed: list[str], ours: list[str]) -> None:
    assert translated_overrides(typed) == ours


def test_a_logger_of_lightning_alone_no_callbacks_a_profile_and_the_config_as_a_tree(
    train: Command, tmp_path: Path
) -> None:
    watched = ("~logger", "callbacks=none", "trainer.profiler=simple", "print_config=true")
    csv = "+logger.mine={_target_:pytorch_lightning.loggers.CSVLogger,save_dir:mine,name:'',version:''}"
    ended = train(*(each for each in TINY if "logger" not in each), *watched, csv, "hydra.run.dir=run")
    assert ended.code == 0, ended.err
    assert "── env" in ended.out
    assert "FIT Profiler Report" in ended.err
    files = everything(tmp_path / "run")
    assert {"config.yaml", "summary.json"} <= files
    assert not files & {"metrics.csv", "plots", "checkpoints/last.ckpt"}
    header, *rows = (tmp_path / "mine" / "metrics.csv").read_text().splitlines()
    column = header.split(",").index("step")
    assert [row.split(",")[column] for row in rows] == ["10", "20", "30", "30", "40", "50", "60", "60"]


@pytest.mark.parametrize("debug", ["default", "limit", "overfit", "profiler"])
def test_debug_configs_are_valid(debug: str, train: Command) -> None:
    assert mistake(train(f"debug={debug}", "sweep.at_once=0", makes_envs=False)).startswith("sweep.at_once=0")


def test_full_error_prints_the_traceback_too(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("HYDRA_FULL_ERROR", "1")
    monkeypatch.delenv("SAC_SHORT_ERROR", raising=False)
    with pytest.raises(ConfigError) as caught:
        raise ConfigError("gamma", 1.5, "must be less")
    assert print_mistake(caught.value) == 2
    err = capsys.readouterr().err
    assert err.startswith("Traceback")
    assert err.endswith("error: gamma=1.5: must be less\n")


def statuses(sweep: Path) -> list[str]:
    return [summary(sweep / job)["status"] for job in ("0", "1")]


def test_launcher_by_its_group_shares_the_cpus_by_its_own_number_of_workers(
    train: Command, tmp_path: Path
) -> None:
    free = [*(each for each in SWEEP if not each.startswith("threads=")), "threads=auto"]
    ended = train(*free, "hydra/launcher=joblib", "hydra.launcher.n_jobs=2")
    assert ended.code == 0, ended.err
    assert statuses(tmp_path / "sweep") == ["done", "done"]
    written = yaml.safe_load((tmp_path / "sweep" / "multirun.yaml").read_text())
    assert written["sweep"]["at_once"] == 2
    assert "overrides" in ended.out


@pytest.mark.parametrize("sweeper", ["grid", "basic"])
def test_sweeper_by_its_group_runs_every_job_and_the_exit_status_shows_a_mistake(
    sweeper: str, train: Command, tmp_path: Path
) -> None:
    asked = [each for each in SWEEP if not each.startswith("seed=")]
    ended = train(*asked, "gamma=1.5,0.9", f"hydra/sweeper={sweeper}")
    assert ended.code == 2, ended.err
    assert "error: gamma=1.5: must be a number in [0, 1)" in ended.err
    assert statuses(tmp_path / "sweep") == ["failed", "done"]


def test_search_by_its_group(train: Command, tmp_path: Path) -> None:
    pytest.importorskip("optuna")
    asked = [each for each in SWEEP if not each.startswith("seed=")]
    trials = ("hydra/sweeper=optuna", "hydra.sweeper.n_trials=2", "lr=interval(1e-4,1e-3)")
    ended = train(*asked, *trials)
    assert ended.code == 0, ended.err
    assert statuses(tmp_path / "sweep") == ["done", "done"]
    assert (tmp_path / "sweep" / "best.json").exists()


@pytest.mark.parametrize("more", [(), ("--resolve",)], ids=["as written", "resolved"])
def test_config_is_printed_and_nothing_runs(more: tuple[str, ...], train: Command, tmp_path: Path) -> None:
    ended = train("--cfg", "job", *more, "gamma=0.9", "lr=0.001", makes_envs=False)
    assert ended.code == 0, ended.err
    shown = yaml.safe_load(ended.out)
    assert (shown["gamma"], shown["seed"]) == (0.9, 0)
    assert shown["module"]["critic"] == (shown["critic"] if more else "${critic}")
    assert shown["actor"]["lr"] == (0.001 if more else "${lr}")
    assert everything(tmp_path) == set()


def test_info_is_printed_and_nothing_runs(tmp_path: Path, process_env: dict[str, str]) -> None:
    # A process of its own: --info turns Hydra's debug messages on.
    process = start("train.py", "--info", "defaults", cwd=tmp_path, env=process_env)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 0, err
    assert "module/sac" in out
    assert everything(tmp_path) == set()
