"""Any name of a folder may be typed, and is taken from where the command was started."""

import shutil
from pathlib import Path

import pytest
from tests.cli.conftest import TINY, Command, Server, mistake
from tests.cli.sweeps import summary

NAMES = ("a b", "seed=0,alpha=auto", "lr=(1e-3) [x]", 'it\'s "it"', "back\\slash\\", "{a: 1}", "ends'")
SHORT = (*TINY, "env=cartpole", "callbacks.plots=null")


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory, server: Server) -> Path:
    cwd = tmp_path_factory.mktemp("original")
    ended = server.call("train", cwd, (*SHORT, "hydra.run.dir=run"))
    assert ended.code == 0, ended.err
    return cwd / "run"


@pytest.fixture
def named(original: Path, tmp_path: Path, request: pytest.FixtureRequest) -> Path:
    """A copy of a run under the name of the test's parameter."""
    return Path(shutil.copytree(original, tmp_path / request.param))


@pytest.mark.parametrize("named", NAMES, indirect=True)
def test_commands_read_and_write_a_folder_of_any_name(named: Path, server: Server, tmp_path: Path) -> None:
    def call(module: str, *arguments: str) -> None:
        ended = server.call(module, tmp_path, arguments)
        assert ended.code == 0, (arguments, ended.err)

    name = named.name
    call("evaluate", f"run={name}", f"checkpoint={name}/checkpoints/last.ckpt", "episodes=1")
    assert (named / "eval.json").exists()
    call("export", f"run={name}", "format=torch", f"out={name}/out (1).pt2")
    assert (named / "out (1).pt2").exists()
    call("report", f"runs={name}", f"out={name}/report = '1'")
    assert (named / "report = '1'" / "report.md").exists()
    call("train", f"resume={name}", "total_env_steps=70")
    assert summary(named)["env_steps"] == 70
    assert sorted(path.name for path in tmp_path.iterdir()) == [name]


@pytest.mark.parametrize("named", ["a b", "it's"], indirect=True)
def test_paths_may_stand_in_hydra_s_own_quotes_too(named: Path, server: Server, tmp_path: Path) -> None:
    double = f'"{named.name}"'
    assert server.call("evaluate", tmp_path, (f"run={double}", "episodes=1")).code == 0
    assert server.call("report", tmp_path, (f"runs=[{double}]",)).code == 0
    assert server.call("train", tmp_path, (f"resume={double}", "total_env_steps=70")).code == 0


def test_several_folders_are_parted_by_commas(original: Path, server: Server, tmp_path: Path) -> None:
    for name in ("a (1)", "b = 2"):
        shutil.copytree(original, tmp_path / name)
    ended = server.call("report", tmp_path, ("runs=a (1),b = 2", "out=both of them"))
    assert ended.code == 0, ended.err
    assert (tmp_path / "both of them" / "report.html").exists()


@pytest.mark.parametrize("name", ["seed=0,alpha=auto", "a (b)", "it's"])
def test_new_runs_and_sweeps_may_have_any_name(train: Command, tmp_path: Path, name: str) -> None:
    assert train(*SHORT, f"hydra.run.dir=one/{name}").code == 0
    assert (tmp_path / "one" / name / "summary.json").exists()
    sweep = ("-m", "seed=0", *SHORT, f"hydra.sweep.dir=many/{name}")
    assert train(*sweep).code == 0
    again = train(*sweep, "sweep.resume=true")
    assert f"{tmp_path / 'many' / name / '0'} is done already" in again.out


@pytest.mark.parametrize("key", ["run", "checkpoint"])
def test_mistake_shows_the_path_as_it_was_typed(original: Path, evaluate: Command, key: str) -> None:
    run = () if key == "run" else (f"run={original}",)
    assert mistake(evaluate(*run, f"{key}=no (such) = thing")).startswith(f"{key}=no (such) = thing: ")


CHDIR = "hydra.job.chdir=true"


@pytest.mark.parametrize("named", ["run"], indirect=True)
@pytest.mark.parametrize("typed", ["run", "run/checkpoints/last.ckpt", "../{here}/run"])
def test_relative_resume_is_found_when_hydra_changes_the_folder(
    named: Path, server: Server, tmp_path: Path, typed: str
) -> None:
    resume = f"resume={typed.format(here=tmp_path.name)}"
    ended = server.call("train", tmp_path, (resume, "total_env_steps=70", CHDIR))
    assert ended.code == 0, ended.err
    assert summary(named)["env_steps"] == 70
    assert [path.name for path in tmp_path.iterdir()] == ["run"]


@pytest.mark.parametrize("named", ["run"], indirect=True)
def test_other_relative_paths_are_found_when_hydra_changes_the_folder(
    named: Path, server: Server, tmp_path: Path
) -> None:
    elsewhere = (CHDIR, "hydra.run.dir=elsewhere")
    last = "checkpoint=run/checkpoints/last.ckpt"
    for module, arguments in {
        "evaluate": ("run=run", last, "episodes=1"),
        "export": ("run=run", last, "format=torch", "out=policy.pt2"),
        "report": ("runs=run", "out=reported"),
    }.items():
        ended = server.call(module, tmp_path, (*arguments, *elsewhere))
        assert ended.code == 0, (module, ended.err)
    assert (named / "eval.json").exists()
    assert (tmp_path / "policy.pt2").exists()
    assert (tmp_path / "reported" / "report.html").exists()


def test_training_and_a_mistake_with_another_working_folder(train: Command, tmp_path: Path) -> None:
    mistake(train(*SHORT, "gamma=2", CHDIR, "hydra.run.dir=run"))
    assert list(tmp_path.iterdir()) == []
    assert train(*SHORT, CHDIR, "hydra.run.dir=run").code == 0
    assert summary(tmp_path / "run")["status"] == "done"
    sweep = ("-m", "seed=0,1", *SHORT, CHDIR, "hydra.sweep.dir=sweep")
    assert train(*sweep).code == 0
    assert train(*sweep, "sweep.resume=true").out.count("is done already") == 2
