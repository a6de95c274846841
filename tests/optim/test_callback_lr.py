"""A learning rate that a callback sets in the optimizer is the one of the next updates."""

from typing import Any

import pytest
import pytorch_lightning as pl
import torch

from sac_lightning import ActorConfig, CriticConfig, ReplayDataModule
from sac_lightning.optim import Adam
from tasks import Clock, env_config, fit


class StopsActor(pl.Callback):
    """Sets the actor's learning rate to 0 with the third epoch; keeps its weights at each epoch's start."""

    def __init__(self) -> None:
        self.seen: list[torch.Tensor] = []

    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: Any) -> None:
        self.seen.append(torch.cat([each.detach().flatten() for each in pl_module.sac.actor.parameters()]))
        if len(self.seen) == 3:
            trainer.optimizers[1].param_groups[0]["lr"] = 0.0  # critic, actor, log_alpha


@pytest.mark.parametrize("schedule", [None, "linear"])
def test_a_callback_sets_the_learning_rate(schedule: str | None) -> None:
    config = env_config(Clock, kwargs={"length": 4, "truncates": True})
    data = ReplayDataModule(
        config,
        total_env_steps=40,
        steps_per_epoch=10,
        learning_starts=10,
        batch_size=8,
        iterations_per_batch=1,
    )
    stops = StopsActor()
    # The critic's schedule moves beside it.
    critic: dict[str, Any] = {"hidden_sizes": (8,)}
    if schedule is not None:
        critic["optimizer"] = Adam(lr_schedule=schedule)
    fit(data, {"callbacks": [stops]}, actor=ActorConfig(hidden_sizes=(8,)), critic=CriticConfig(**critic))
    _, second, third, fourth = stops.seen
    assert not torch.equal(second, third)
    assert torch.equal(third, fourth)
