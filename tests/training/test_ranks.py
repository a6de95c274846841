"""Several devices: processes that exchange gradients through gloo, forked from this one."""

import multiprocessing
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import torch._dynamo  # a fit imports it: once here, not in every process
import torch.distributed as dist

from built import batch_of, noise_of, sac_of, same
from sac_lightning import ActorConfig, ConfigError, CriticConfig, ReplayDataModule, SACModule
from sac_lightning.core.checkpoint import read_checkpoint
from sac_lightning.core.ranks import Ranks
from sac_lightning.entropy import LearnedTemperature, Tes
from sac_lightning.networks import BatchNorm, JointPolyak, ReturnVariance, RunningObs
from sac_lightning.networks.normalization import ReturnStatistics
from sac_lightning.optim import Adam
from sac_lightning.training.callbacks import LastCheckpoint
from sac_lightning.types import Batch
from training.fits.small import data_module, module_for, trainer

CPU = torch.device("cpu")


def on_ranks(function: Callable[[Ranks], Any], size: int = 2) -> list[Any]:
    """What `function` returns on each of `size` ranks, or its error in words."""
    fork = multiprocessing.get_context("fork")
    found = fork.SimpleQueue()
    server = dist.TCPStore("127.0.0.1", 0, is_master=True, wait_for_workers=False)

    def process(rank: int) -> None:
        store = dist.TCPStore("127.0.0.1", server.port, is_master=False)
        dist.init_process_group("gloo", store=store, rank=rank, world_size=size)
        try:
            found.put((rank, function(Ranks(rank, size, CPU))))
        except Exception as error:
            found.put((rank, f"{type(error).__name__}: {error}"))

    processes = [fork.Process(target=process, args=(rank,), daemon=True) for rank in range(size)]
    for each in processes:
        each.start()
    answers = dict(found.get() for _ in processes)
    for each in processes:
        each.join()
    return [answers[rank] for rank in range(size)]


def numbers_after(updates: int, ranks: Ranks | None) -> list[list[float]]:
    """Parameters, H̄ and its rule's memory after updates on fixed mini-batches, or a rank's half of them."""
    torch.manual_seed(0)
    small: dict[str, Any] = {"hidden_sizes": (16,), "optimizer": Adam(max_grad_norm=0.1)}
    descends = Tes(start=0.0, patience=1, mean_within=1e6, deviation=1e6)
    rule = LearnedTemperature(target_entropy=descends)
    sac = sac_of("tanh_normal", rule, ActorConfig(**small), CriticConfig(**small))
    sac.prepare(sac._steps, ranks=ranks)
    for _ in range(updates):
        batch, noise = (
            batch_of("tanh_normal", 16),
            torch.stack([noise_of("tanh_normal", 16) for _ in range(2)]),
        )
        if ranks is not None:
            own = slice(ranks.rank, None, ranks.size)
            batch, noise = Batch(*(field[own] for field in batch)), noise[:, own]
        sac.update(batch, noise)
    tensors = (*sac.parameters(), sac.target_entropy, sac.target_memory)
    return [tensor.detach().flatten().tolist() for tensor in tensors]


def test_two_ranks_with_half_a_batch_each_learn_what_one_learns_with_the_whole() -> None:
    one, other = on_ranks(lambda ranks: numbers_after(3, ranks))
    assert one == other
    for found, expected in zip(one, numbers_after(3, None), strict=True):
        torch.testing.assert_close(torch.tensor(found), torch.tensor(expected), rtol=0.0, atol=1e-6)


def test_statistics_are_those_of_all_ranks_values() -> None:
    values = torch.tensor([1.0, 2.0, 6.0, -9.0])

    def statistics(ranks: Ranks) -> list[float]:
        found = ReturnStatistics()
        found.add(values[:2] if ranks.rank else values[2:3], ranks)
        found.add(values[3:] if ranks.rank else values[:0], ranks)  # nothing of rank 0
        return [float(each) for each in (found.mean, found.var, found.count, found.largest)]

    # Mean 0, variance (1 + 4 + 36 + 81) / 4.
    assert on_ranks(statistics) == [[pytest.approx(each) for each in (0.0, 30.5, 4.0, 9.0)]] * 2


def test_ranks_that_differ_end_the_run() -> None:
    errors = on_ranks(lambda ranks: ranks.check_equal({"a": torch.ones(2), "b": torch.tensor(ranks.rank)}))
    assert errors[0] == errors[1]
    assert errors[0].startswith("RanksDiffer: 1 of 2 tensors are not the same on rank 0 and rank 1, b among")


def parts(folder: Path) -> tuple[ReplayDataModule, SACModule]:
    """Two envs, running statistics of observations and rewards, and BatchNorm."""
    counts = {"total_env_steps": 80, "steps_per_epoch": 40, "learning_starts": 20}
    data = data_module(num_envs=2, eval_episodes=3, eval_max_steps=5, journal_dir=folder / "replay", **counts)
    statistics = {"obs_normalization": RunningObs(), "reward_normalization": ReturnVariance()}
    critic = CriticConfig(hidden_sizes=(8,), torso=BatchNorm(), target_network=JointPolyak())
    return data, module_for(data, critic=critic, **statistics)


def fit(folder: Path, epochs: int, **options: Any) -> dict[str, Any]:
    """Fit on two ranks; return the checkpoint of all."""
    data, module = parts(folder)
    last = LastCheckpoint(folder / "checkpoints")
    two = {"devices": 2, "strategy": "ddp_fork", "enable_checkpointing": True, "limit_val_batches": 1.0}
    trainer(folder, max_epochs=epochs, callbacks=[last], **two).fit(module, data, **options)
    return read_checkpoint(folder / "checkpoints" / "last.ckpt")


def test_a_fit_on_two_ranks_resumes_bit_for_bit_and_only_on_two(tmp_path: Path) -> None:
    whole = fit(tmp_path / "whole", 2)
    fit(tmp_path / "parts", 1)
    last = tmp_path / "parts" / "checkpoints" / "last.ckpt"
    data, module = parts(tmp_path / "parts")
    with pytest.raises(ConfigError, match="devices=1: the checkpoint is of a run on 2: resume it with"):
        trainer(tmp_path).fit(module, data, ckpt_path=last)
    resumed = fit(tmp_path / "parts", 2, ckpt_path=last)
    assert whole["state_dict"].keys() == resumed["state_dict"].keys()
    for key in ("state_dict", "optimizer_states", "ReplayDataModule"):
        assert same(whole[key], resumed[key]), key
    first, second = whole["ReplayDataModule"], whole["ReplayDataModule"]["ranks"][0]
    assert not torch.equal(first["collector"]["obs"], second["collector"]["obs"])  # envs of their own


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"num_envs": 3}, "num_envs=3: must be a multiple of devices=2, which share it equally"),
        ({"num_envs": 2, "batch_size": 5}, "batch_size=5: must be a multiple of devices=2"),
    ],
)
def test_shares_that_are_not_equal_are_refused(options: dict[str, Any], message: str) -> None:
    data = data_module(**options)
    data.trainer = trainer(Path(), devices=2, strategy="ddp_fork")  # made, but never launched
    with pytest.raises(ConfigError, match=message):
        data.setup("fit")


def test_several_devices_need_ddp_without_compiling(tmp_path: Path) -> None:
    data = data_module()
    module = module_for(data, compile=True)
    module.trainer = trainer(tmp_path, devices=2, strategy="ddp_fork")
    with pytest.raises(ConfigError, match="compile=True: must be false with several devices"):
        module.setup("fit")
