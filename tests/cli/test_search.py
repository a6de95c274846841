"""`hparams_search=optuna`: trials that fail do not end a search, and a stop does not lose one."""

import json
from pathlib import Path
from statistics import median
from typing import Any

import optuna
import pytest
import yaml
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import TrialState
from tests.cli.conftest import ROOT, TINY, Command, Server, everything, mistake
from tests.cli.sweeps import summary

from sac_lightning.cli.sweep.search import MEASURES

FIXED = (*TINY, "callbacks.plots=null", "hydra.sweep.dir=sweep")
# Half of the trials have a gamma that is refused.
SEARCH = ("-m", "hparams_search=optuna", "hydra.sweeper.startup_trials=2", "gamma=choice(0.9,1.5)", *FIXED)


def study(folder: Path) -> optuna.Study:
    storage = JournalStorage(JournalFileBackend(str(folder / "search.log")))
    return optuna.load_study(study_name=None, storage=storage)


def outcomes(folder: Path) -> list[tuple[TrialState, Any, dict[str, Any]]]:
    return [(trial.state, trial.value, trial.params) for trial in study(folder).trials]


@pytest.fixture(scope="module")
def searched(tmp_path_factory: pytest.TempPathFactory, server: Server) -> Path:
    """The folder of a search of six trials, never stopped."""
    cwd = tmp_path_factory.mktemp("searched")
    ended = server.call("train", cwd, (*SEARCH, "hydra.sweeper.trials=6"))
    assert ended.code == 0, ended.err
    assert ended.out.splitlines()[-1].startswith("best: trial ")
    return cwd / "sweep"


def test_failed_trials_do_not_end_the_search(searched: Path) -> None:
    found = outcomes(searched)
    assert len(found) == 6
    failed = [state == TrialState.FAIL for state, _, _ in found]
    assert [params["gamma"] == "1.5" for _, _, params in found] == failed
    assert {True, False} == set(failed)
    jobs = [summary(searched / str(number)) for number in range(6)]
    assert [job["status"] == "failed" for job in jobs] == failed
    assert [job.get("best_return_mean") for job in jobs] == [value for _, value, _ in found]


def test_best_trial_is_the_largest_return(searched: Path) -> None:
    values = [value for _, value, _ in outcomes(searched) if value is not None]
    best = json.loads((searched / "best.json").read_text())
    assert best["value"] == max(values)
    assert summary(searched / best["run"])["best_return_mean"] == max(values)
    assert set(summary(searched / best["run"])["overrides"]) > set(best["overrides"])


def test_trials_vary_what_the_issue_is_about_within_their_ranges(searched: Path) -> None:
    params = [params for _, _, params in outcomes(searched)]
    keys = {"lr", "tau", "alpha", "target_entropy", "batch_size", "gamma"}
    assert all(set(each) == keys for each in params)
    assert all(1e-4 <= each["lr"] <= 3e-3 and 0.002 <= each["tau"] <= 0.05 for each in params)
    assert len({each["lr"] for each in params}) == 6


def test_stopped_search_goes_on_as_if_it_had_not_been_stopped(
    searched: Path, server: Server, tmp_path: Path
) -> None:
    # Killed in its fourth trial: that one is asked for, and not recorded.
    assert server.call("train", tmp_path, (*SEARCH, "hydra.sweeper.trials=4")).code == 0
    journal = tmp_path / "sweep" / "search.log"
    lines = journal.read_text().splitlines()
    ended = [place for place, line in enumerate(lines) if json.loads(line)["op_code"] == 6]
    journal.write_text("\n".join(lines[: ended[-1]]) + "\n")
    assert [state for state, _, _ in outcomes(tmp_path / "sweep")][3] == TrialState.RUNNING
    again = server.call("train", tmp_path, (*SEARCH, "hydra.sweeper.trials=6", "sweep.resume=true"))
    assert again.code == 0, again.err
    assert outcomes(tmp_path / "sweep") == outcomes(searched)


def test_any_number_of_the_summary_is_minimized_side_by_side(train: Command, tmp_path: Path) -> None:
    asked = ("hydra.sweeper.metric=alpha", "hydra.sweeper.direction=minimize", "hydra.sweeper.trials=3")
    ended = train("-m", "hparams_search=optuna", *asked, "alpha=fixed", "alpha.value=range(1,4)", *FIXED)
    assert ended.code == 0, ended.err
    values = [value for _, value, _ in outcomes(tmp_path / "sweep")]
    assert set(values) <= {1.0, 2.0, 3.0}
    assert json.loads((tmp_path / "sweep" / "best.json").read_text())["value"] == min(values)


def test_search_in_which_all_trials_fail_ends_with_1(train: Command, tmp_path: Path) -> None:
    ended = train(*SEARCH, "hydra.sweeper.trials=2", "gamma=choice(1.5,1.6)")
    assert ended.code == 1
    assert "no trial has come to an end with a finite value" in ended.err
    assert [state for state, _, _ in outcomes(tmp_path / "sweep")] == [TrialState.FAIL] * 2


def test_trial_behind_the_median_is_pruned(train: Command, tmp_path: Path) -> None:
    journal = tmp_path / "search.log"
    earlier = optuna.create_study(
        storage=JournalStorage(JournalFileBackend(str(journal))), direction="maximize"
    )
    for _ in range(3):
        trial = earlier.ask()
        for env_steps in (30, 60, 90, 120):
            trial.report(-1.0, env_steps)  # no policy of Pendulum comes near it
        earlier.tell(trial, -1.0)
    number = earlier.ask().number
    pruner = f"_target_:sac_lightning.training.callbacks.TrialPruner,journal:{journal},trial:{number}"
    longer = [each for each in TINY if not each.startswith("total_env_steps")]
    ended = train(*longer, "total_env_steps=120", f"+callbacks.pruner={{{pruner}}}", "hydra.run.dir=run")
    assert ended.code == 0, ended.err
    # Two evaluations are free; the third, at 90 env steps, is compared.
    assert (summary(tmp_path / "run")["status"], summary(tmp_path / "run")["env_steps"]) == ("pruned", 90)
    assert list(study(tmp_path).trials[number].intermediate_values) == [30, 60, 90]


def test_search_prunes_the_trials_behind_the_median_of_those_that_are_done(
    train: Command, tmp_path: Path
) -> None:
    named = ("env=gym", "env.id=Steady-v0", "env.imports=[faulty_envs]", "env.allowed_prefixes=[faulty_envs]")
    longer = [each for each in FIXED if not each.startswith("total_env_steps")]
    rewards = (
        "+env.kwargs.reward=interval(0,1)",
        "alpha=fixed",
        "target_entropy=auto",
        "lr=3e-4",
        "tau=0.005",
    )
    asked = ("hydra.sweeper.prune=true", "hydra.sweeper.trials=8", "hydra.sweeper.startup_trials=8")
    given = (*asked, *rewards, *named, *longer, "batch_size=16", "total_env_steps=120")
    ended = train("-m", "hparams_search=optuna", *given)
    assert ended.code == 0, ended.err
    done: list[float] = []
    expected = []
    for _, _, params in outcomes(tmp_path / "sweep"):
        reward = params["+env.kwargs.reward"]
        expected.append(len(done) >= 3 and reward < median(done))  # a return is 20 times the reward
        done += [] if expected[-1] else [reward]
    assert {True, False} == set(expected)
    assert [state == TrialState.PRUNED for state, _, _ in outcomes(tmp_path / "sweep")] == expected
    found = [summary(tmp_path / "sweep" / str(number)) for number in range(8)]
    ends = [("pruned", 90) if pruned else ("done", 120) for pruned in expected]
    assert [(each["status"], each["env_steps"]) for each in found] == ends


def test_measures_are_the_numbers_of_the_summary(searched: Path) -> None:
    # A run with alpha=fixed has no target entropy, and null in its place.
    jobs = [summary(searched / str(number)) for number in range(6)]
    numbers = {key for job in jobs for key, value in job.items() if isinstance(value, int | float)}
    assert numbers - set(MEASURES) == set()
    assert set(MEASURES) - {"target_entropy"} <= numbers


def test_search_that_was_killed_while_it_wrote_goes_on_and_a_damaged_one_is_told(
    server: Server, tmp_path: Path
) -> None:
    search = (*SEARCH, "gamma=choice(0.8,0.9)", "sweep.resume=true")
    assert server.call("train", tmp_path, (*search, "hydra.sweeper.trials=1")).code == 0
    journal = tmp_path / "sweep" / "search.log"
    whole = journal.read_text()
    journal.write_text(whole + '{"op_code":4,"worker_id":"a')
    again = server.call("train", tmp_path, (*search, "hydra.sweeper.trials=1"))
    assert again.code == 0, again.err
    assert journal.read_text().startswith(whole)
    assert all(json.loads(line) for line in journal.read_text().splitlines())
    journal.write_text(whole.replace("op_code", "opcode", 1))
    line = mistake(server.call("train", tmp_path, (*search, "hydra.sweeper.trials=2")))
    assert line.startswith(f"{journal}: is damaged (KeyError): name another folder")


@pytest.mark.parametrize(
    ("option", "envs"),
    [("optuna", "pendulum,cartpole"), ("optuna_continuous", "pendulum"), ("optuna_discrete", "cartpole")],
)
def test_target_rules_of_a_search_fit_its_envs(option: str, envs: str, train: Command) -> None:
    params = yaml.safe_load((ROOT / "conf" / "hparams_search" / f"{option}.yaml").read_text())
    choices = params["hydra"]["sweeper"]["params"]["target_entropy"].removeprefix("choice(").rstrip(")")
    ended = train("-m", f"target_entropy={choices.replace(' ', '')}", f"env={envs}", *FIXED)
    assert ended.code == 0, ended.err
    assert ended.out.rpartition("overrides")[2].count(" done ") == len(choices.split(",")) * len(
        envs.split(",")
    )


def test_trial_without_a_finite_metric_is_a_failed_one_and_the_search_goes_on(
    train: Command, tmp_path: Path
) -> None:
    # alpha=fixed has no target entropy: null in its summary.
    asked = (
        "hydra.sweeper.metric=target_entropy",
        "hydra.sweeper.trials=6",
        "hydra.sweeper.startup_trials=6",
    )
    ended = train("-m", "hparams_search=optuna", *asked, *FIXED)
    assert ended.code == 0, ended.err
    found = outcomes(tmp_path / "sweep")
    assert len(found) == 6
    fixed = [params["alpha"] == "fixed" for _, _, params in found]
    assert {True, False} == set(fixed)
    assert [state == TrialState.FAIL for state, _, _ in found] == fixed
    assert all(summary(tmp_path / "sweep" / str(number))["status"] == "done" for number in range(6))


MISTAKES = {
    "hydra.sweeper.metric=returns": ("hydra.sweeper.metric=returns: must be a number of summary.json",),
    "hydra.sweeper.metric=best_return": (
        "hydra.sweeper.metric=best_return: ",
        "Did you mean best_return_mean",
    ),
    "hydra.sweeper.direction=up": ("hydra.sweeper.direction=up: must be maximize or minimize",),
    "hydra.sweeper.trials=0": ("hydra.sweeper.trials=0: must be a whole number of at least 1",),
    "eval_episodes=0": ("eval_episodes=0: hydra.sweeper.metric=best_return_mean is an evaluation's",),
    "hydra.sweeper.trial=3": ("Could not override 'hydra.sweeper.trial'",),
    "lr=interval(2,1)": ("lr=interval(2,1): must go from a smaller to a larger number",),
    "tua=interval(0.1,0.2)": ("Could not override 'tua'", "Did you mean tau?"),
    "hparams_search=optima": ("Could not find 'hparams_search/optima'",),
}


@pytest.mark.parametrize("argument", MISTAKES)
def test_mistake_in_a_search_is_told_in_one_line_before_any_trial(
    argument: str, train: Command, tmp_path: Path
) -> None:
    given = [each for each in SEARCH if each.partition("=")[0] != argument.partition("=")[0]]
    line = mistake(train(*given, argument, makes_envs=False))
    begins, *holds = MISTAKES[argument]
    assert line.startswith(begins)
    assert all(part in line for part in holds), line
    assert everything(tmp_path) == set()
