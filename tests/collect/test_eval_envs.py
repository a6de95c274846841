"""How many envs exist at once: simulators of which there can be one, and errors that say which one failed."""

from pathlib import Path
from typing import Any

import pytest

from sac_lightning import ConfigError, ReplayDataModule, SACModule
from sac_lightning.collect.evaluation import Evaluator
from sac_lightning.envs import EnvConfig
from sac_lightning.envs.guard import EnvError
from sac_lightning.training.callbacks import BestCheckpoint, LastCheckpoint
from tasks import Clock, env_config, fit, trainer_for


class Seats:
    """Makes clocks, `count` at once."""

    def __init__(self, count: int) -> None:
        self.count, self.most, self.taken = count, 0, 0

    def __call__(self) -> Clock:
        if self.taken == self.count:
            raise OSError("no seat is free")
        return Seated(self)


class Seated(Clock):
    """A clock that takes a seat until it is closed."""

    def __init__(self, seats: Seats) -> None:
        super().__init__()
        self.seats, self.open = seats, True
        seats.taken += 1
        seats.most = max(seats.most, seats.taken)

    def close(self) -> None:
        self.seats.taken -= self.open
        self.open = False


def data(seats: Seats, **options: Any) -> ReplayDataModule:
    counts = {"total_env_steps": 60, "steps_per_epoch": 30, "learning_starts": 10, "batch_size": 4}
    return ReplayDataModule(env_config(seats), **{**counts, **options})


def test_with_evaluation_off_one_env_exists_at_a_time(tmp_path: Path) -> None:
    seats = Seats(1)
    kept = [BestCheckpoint(tmp_path), LastCheckpoint(tmp_path)]
    options = {"limit_val_batches": 1.0, "enable_checkpointing": True, "callbacks": kept}
    module = fit(data(seats, eval_episodes=0), options, log_every_n_env_steps=10)
    assert int(module.grad_steps) == 50
    assert (seats.most, seats.taken) == (1, 0)
    assert module.latest["rollout/return_mean"] == 6.0
    assert not any(key.startswith("eval/") for key in module.latest)
    assert [path.name for path in tmp_path.iterdir()] == ["last.ckpt"]


@pytest.mark.parametrize(("eval_envs", "most"), [(1, 2), (2, 3), (9, 5)])
def test_eval_envs_says_how_many_exist_beside_training(eval_envs: int, most: int) -> None:
    seats = Seats(10)
    module = fit(data(seats, eval_episodes=4, eval_envs=eval_envs), {"limit_val_batches": 1.0})
    assert (seats.most, seats.taken) == (most, 0)
    assert module.latest["eval/return_mean"] == 6.0


def test_a_trainer_without_evaluation_has_none_made() -> None:
    seats = Seats(1)
    fit(data(seats), {"limit_val_batches": 0})
    assert seats.most == 1


@pytest.mark.parametrize(("count", "which"), [(1, "evaluation env 1 of 4"), (3, "evaluation env 3 of 4")])
def test_an_evaluation_env_that_cannot_be_made_is_named_with_the_way_out(count: int, which: str) -> None:
    datamodule = data(Seats(count), eval_episodes=4)
    module = SACModule(*datamodule.specs)
    with pytest.raises(EnvError) as caught:
        trainer_for(datamodule, limit_val_batches=1.0).fit(module, datamodule)
    message = str(caught.value)
    assert message.startswith(f"{which}: Test-v0 could not be made: OSError: no seat is free; ")
    assert "eval_envs" in message and "eval_episodes=0" in message
    # Where not even one can be made, no epoch is lost.
    assert int(module.env_steps) == (0 if count == 1 else 30)


@pytest.mark.parametrize("vectorization", ["sync", "async"])
def test_of_many_envs_the_one_that_cannot_be_made_is_named(vectorization: str, tmp_path: Path) -> None:
    def make() -> Clock:
        (tmp_path / str(len(list(tmp_path.iterdir())))).touch()
        if len(list(tmp_path.iterdir())) > limit:
            raise OSError("no seat is free")
        return Clock()

    limit = 2 if vectorization == "sync" else 1  # the vector env of workers makes one to look at
    config = EnvConfig(id="Test-v0", make=make, vectorization=vectorization)
    with pytest.raises(EnvError, match=r"Test-v0 \(env \d\) could not be made: OSError: no seat is free"):
        config.build_vector(3)


def test_the_first_env_of_all_is_named() -> None:
    with pytest.raises(EnvError, match="Test-v0 could not be made: OSError: no seat is free"):
        _ = data(Seats(0)).specs
    with pytest.raises(EnvError, match="Pendulum-v1 could not be made: AttributeError"):
        EnvConfig(id="Pendulum-v1", make=lambda: None.step).build()  # type: ignore[attr-defined]


def test_counts_that_cannot_be_are_refused() -> None:
    for key, value in (("eval_envs", 0), ("eval_envs", 1.5), ("eval_episodes", -1)):
        with pytest.raises(ConfigError, match=f"{key}={value}"):
            data(Seats(1), **{key: value})
    with pytest.raises(ConfigError, match="eval_envs=0"):
        Evaluator(Clock, [1], num_envs=0)
