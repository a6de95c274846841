"""As a library: a fit that resumes nothing leaves the files of another run alone."""

import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from small import data_module, module_for, trainer

from sac_lightning import SACModule
from sac_lightning.core.errors import ConfigError
from sac_lightning.training.callbacks import AtomicCheckpointIO, BestCheckpoint, LastCheckpoint
from sac_lightning.training.loggers import MetricsCSV

SHORT = {"total_env_steps": 40, "steps_per_epoch": 20, "learning_starts": 30}


def parts(folder: Path, **options: Any) -> dict[str, Any]:
    """What a Trainer needs for a run in `folder`."""
    checkpoints = folder / "checkpoints"
    return {
        "callbacks": [BestCheckpoint(checkpoints), LastCheckpoint(checkpoints)],
        "plugins": [AtomicCheckpointIO()],
        "logger": MetricsCSV(folder / "metrics.csv"),
        "enable_checkpointing": True,
        "limit_val_batches": 1,
        **options,
    }


def fit(folder: Path, **options: Any) -> tuple[SACModule, Any]:
    """A run of 40 env steps in `folder`."""
    data = data_module(journal_dir=folder / "replay", **SHORT)
    module = module_for(data)
    trainer(folder, **parts(folder, **options)).fit(module, data)
    return module, data


def files(folder: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


@pytest.fixture(scope="module")
def ended(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("ended") / "run"
    fit(folder)
    return folder


@pytest.fixture
def run(ended: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(ended, tmp_path / "run"))


def test_second_run_in_the_folder_of_a_first_is_refused(run: Path) -> None:
    before = files(run)
    with pytest.raises(ConfigError, match=r"dirpath=.*contains the checkpoints of a run: continue it with"):
        fit(run)
    assert files(run) == before


def test_metrics_of_another_run_are_not_continued(run: Path, tmp_path: Path) -> None:
    before = files(run)
    other = tmp_path / "other"
    with pytest.raises(ConfigError, match=r"path=.*metrics\.csv: contains rows of another run"):
        fit(other, logger=MetricsCSV(run / "metrics.csv"))
    assert files(run) == before


def test_replay_of_another_run_is_not_pruned(run: Path, tmp_path: Path) -> None:
    data = data_module(journal_dir=run / "replay", **SHORT)
    before = files(run)
    with pytest.raises(ConfigError, match=r"journal_dir=.*contains the replay of a run"):
        trainer(tmp_path / "other", **parts(tmp_path / "other")).fit(module_for(data), data)
    assert files(run) == before


def test_run_that_resumes_and_a_fit_that_continues_its_own_data_are_no_other_runs(run: Path) -> None:
    last = run / "checkpoints" / "last.ckpt"
    data = data_module(journal_dir=run / "replay", **{**SHORT, "total_env_steps": 60})
    module = module_for(data)
    trainer(run, **parts(run, max_epochs=3)).fit(module, data, ckpt_path=last)
    assert data.env_steps == 60
    data.total_env_steps = 80
    trainer(run, **parts(run, max_epochs=4)).fit(module, data)
    assert data.env_steps == 80


FIT = """
import sys
from pathlib import Path
sys.path.insert(0, sys.argv[2])
import pytorch_lightning as pl
from small import data_module, module_for, trainer

class Wait(pl.Callback):
    def on_train_batch_end(self, *_):
        print("fits", flush=True)
        sys.stdin.readline()

data = data_module(journal_dir=Path(sys.argv[1]), total_env_steps=40)
trainer(Path(sys.argv[1]).parent, callbacks=[Wait()]).fit(module_for(data), data)
"""


def test_journal_of_a_fit_in_another_process_is_refused_until_that_is_killed(tmp_path: Path) -> None:
    journal = tmp_path / "replay"
    line = [sys.executable, "-c", FIT, str(journal), str(Path(__file__).parent)]
    pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    with subprocess.Popen(line, **pipes) as process:
        assert process.stdout is not None
        assert any(each == "fits\n" for each in process.stdout)
        data = data_module(journal_dir=journal, **SHORT)
        with pytest.raises(ConfigError, match=r"journal_dir=.*is in use by another fit"):
            trainer(tmp_path).fit(module_for(data), data)
        process.kill()
        process.wait()
    data = data_module(journal_dir=journal, **SHORT)
    trainer(tmp_path).fit(module_for(data), data)
    assert data.env_steps == 40
