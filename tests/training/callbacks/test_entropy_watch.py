"""Warnings of an α that runs away or has collapsed: from real fits."""

import logging
from pathlib import Path
from typing import Any

import pytest
import torch

from sac_lightning import ActorConfig, ConfigError, CriticConfig, ReplayDataModule, SACModule
from sac_lightning.entropy import Constant, Fixed, LearnedTemperature, TemperatureRule
from sac_lightning.training.callbacks import EntropyWatch
from tasks import Clock, env_config, trainer_for

SMALL: dict[str, Any] = {"hidden_sizes": (4,), "lr": 1e-40}  # an actor that does not move
WATCHED = "sac_lightning.training.callbacks.entropy_watch"


def ran(
    temperature: TemperatureRule,
    watch: EntropyWatch,
    epochs: int,
    path: Path | None = None,
    peak: float = 6.0,
) -> EntropyWatch:
    """A fit with one evaluation an epoch and a policy of little entropy: e^−6 beside the likeliest choice."""
    data = ReplayDataModule(
        env_config(Clock, kwargs={"length": 4}),
        total_env_steps=4 * epochs,
        steps_per_epoch=4,
        learning_starts=0,
        batch_size=4,
        eval_episodes=1,
    )
    networks = {"actor": ActorConfig(**SMALL), "critic": CriticConfig(hidden_sizes=(4,))}
    learner = SACModule(*data.specs, temperature=temperature, log_every_n_env_steps=4, **networks)
    with torch.no_grad():
        learner.sac.actor.output.weight.zero_()
        learner.sac.actor.output.bias.copy_(torch.tensor([peak, 0.0, 0.0]))
    trainer = trainer_for(data, callbacks=[watch], limit_val_batches=1)
    trainer.fit(learner, data)
    if path is not None:
        trainer.save_checkpoint(path)
    return watch


@pytest.fixture(autouse=True)
def _heard(caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> None:
    """Hear the watch itself, whatever a command before it in this process has done to logging."""
    logger = logging.getLogger(WATCHED)
    monkeypatch.setattr(logger, "handlers", [caplog.handler])
    monkeypatch.setattr(logger, "propagate", False)
    logger.setLevel(logging.WARNING)


def warned(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.name == WATCHED]


def test_an_alpha_that_grows_for_20_evaluations_is_reported_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    # H = 0.035 stays below H̄ = 1: every step raises α. The first evaluation has nothing before it.
    rule = LearnedTemperature(lr=0.01, target_entropy=Constant(1.0))
    with caplog.at_level(logging.WARNING):
        ran(rule, EntropyWatch(), epochs=20)
        assert warned(caplog) == []
        ran(rule, EntropyWatch(), epochs=24)
    (line,) = warned(caplog)
    assert line.startswith("alpha has grown for 20 evaluations, from 1.0")
    assert "target 1)" in line and "Lower the target" in line and "set alpha.max" in line


def test_one_fall_restarts_the_count(caplog: pytest.LogCaptureFixture) -> None:
    watch = EntropyWatch(evaluations=3)
    for alpha in (1.0, 1.1, 1.2, 1.1, 1.2, 1.3):
        watch._check(alpha, 0.1, 0.5)
    assert warned(caplog) == []
    watch._check(1.4, 0.1, 0.5)
    assert len(warned(caplog)) == 1 and "from 1.1 to 1.4" in warned(caplog)[0]


def test_a_collapsed_alpha_is_reported_once(caplog: pytest.LogCaptureFixture) -> None:
    rule = LearnedTemperature(lr=0.5, init=1e-5, target_entropy=Constant(0.1))
    ran(rule, EntropyWatch(), epochs=3, peak=0.0)  # uniform: H = log 3 = 1.1 above the target
    (line,) = warned(caplog)
    assert line.startswith("alpha has collapsed to ") and "(entropy 1.1, target 0.1)" in line
    assert "Raise the target" in line and "set alpha.min" in line


def test_a_small_alpha_below_its_target_is_on_its_way_back(caplog: pytest.LogCaptureFixture) -> None:
    ran(LearnedTemperature(lr=1e-4, init=1e-8, target_entropy=Constant(1.0)), EntropyWatch(), epochs=2)
    assert warned(caplog) == []


def test_an_alpha_that_is_not_learned_is_left_alone(caplog: pytest.LogCaptureFixture) -> None:
    ran(Fixed(1e-9), EntropyWatch(evaluations=1), epochs=3, peak=0.0)
    assert warned(caplog) == []


def test_the_count_is_in_the_checkpoint(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    watch = ran(
        LearnedTemperature(lr=0.01, target_entropy=Constant(1.0)), EntropyWatch(), 5, tmp_path / "a.ckpt"
    )
    saved = torch.load(tmp_path / "a.ckpt", weights_only=True)["callbacks"]
    state = saved[watch.state_key]
    assert state["grown"] == 4
    fresh = EntropyWatch(evaluations=5)
    fresh.load_state_dict(state)
    fresh._check(state["last"] + 1.0, 0.0, 1.0)
    assert "grown for 5 evaluations" in warned(caplog)[0]


@pytest.mark.parametrize("options", [{"evaluations": 0}, {"collapsed": 0.0}])
def test_bad_limits_are_refused(options: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match="must be a"):
        EntropyWatch(**options)
