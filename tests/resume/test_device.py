"""A run that goes on where there is no GPU, or another number of them.

There is no GPU here: the states of a GPU's generators, 16 bytes each, are put into a real checkpoint.
"""

from pathlib import Path
from typing import Any

import pytest
import torch
from commands import Server, summary
from runs import Run

from sac_lightning import SACModule
from sac_lightning.core.seeding import continue_generator, global_rng_state, restore_global_rng

SAID = "the checkpoint comes from another kind of device: the run is no longer bit-identical"


def of_a_gpu(seed: int, offset: int = 4) -> torch.Tensor:
    """What `torch.Generator("cuda").get_state()` gives: the seed and the offset, eight bytes each."""
    return torch.tensor([seed, offset]).view(torch.uint8)


def put_states_of_a_gpu(checkpoint: Path) -> None:
    """As if the run had been on a GPU: in the module, the collector and the replay, and the global ones."""
    content = torch.load(checkpoint, weights_only=True)
    data, own = content["ReplayDataModule"], content["sac_lightning"]
    for place, key in (
        (own, "noise_generator"),
        (data["collector"], "generator"),
        (data["replay"], "generator"),
    ):
        assert place[key].numel() == 5056
        place[key] = of_a_gpu(len(key))
    own["global_rng"]["cuda"] = [of_a_gpu(1), of_a_gpu(2)]
    torch.save(content, checkpoint)


@pytest.mark.parametrize("typed", ["device=cpu", "device=auto"])
def test_run_of_a_gpu_goes_on_without_one_and_says_so_once(run: Path, server: Server, typed: str) -> None:
    put_states_of_a_gpu(run / "checkpoints" / "last.ckpt")
    config = run / "config.yaml"
    config.write_text(config.read_text().replace("device: cpu", "device: cuda"))
    ended = server.train(f"resume={run}", "total_env_steps=200", typed, cwd=run.parent)
    assert ended.code == 0, ended.err
    assert " ".join(ended.err.split()).count(SAID) == 1
    assert (run / "train.log").read_text().count(SAID) == 1
    assert summary(run)["env_steps"] == 200


def test_same_kind_of_device_says_nothing(run: Path, server: Server) -> None:
    ended = server.train(f"resume={run}", "total_env_steps=200", "device=auto", cwd=run.parent)
    assert ended.code == 0, ended.err
    assert SAID not in " ".join(ended.err.split())


def test_device_that_is_not_here_is_refused_and_another_key_still_is(run: Path, server: Server) -> None:
    ended = server.train(f"resume={run}", "total_env_steps=200", "device=cuda:7", cwd=run.parent)
    assert ended.code == 2
    assert ended.err.startswith("error: device=cuda:7: this machine has ")


def test_library_resumes_and_fine_tunes_from_a_gpu_s_checkpoint(tmp_path: Path) -> None:
    run = Run(total_env_steps=80, steps_per_epoch=40)
    run.to_the_end(tmp_path)
    last = tmp_path / "checkpoints" / "last.ckpt"
    put_states_of_a_gpu(last)
    run.with_more(total_env_steps=120).to_the_end(tmp_path)
    assert int(torch.load(last, weights_only=True)["state_dict"]["sac.env_steps"]) == 120
    put_states_of_a_gpu(last)
    tuned = SACModule.load_from_checkpoint(last)
    _, data = run.parts(tmp_path / "tuned")
    trainer = run.trainer(tmp_path / "tuned", data.max_epochs)
    trainer.fit(tuned, data)
    assert data.env_steps == 80


@pytest.mark.parametrize(
    ("saved", "here"), [(of_a_gpu(5), "cpu"), (torch.zeros(32, dtype=torch.uint8), "cpu")]
)
def test_stream_of_another_device_begins_anew_from_where_it_was(saved: torch.Tensor, here: str) -> None:
    def draws(state: Any) -> torch.Tensor:
        generator = torch.Generator(here).manual_seed(5)
        continue_generator(generator, state)
        return torch.rand(4, generator=generator)

    assert torch.equal(draws(saved), draws(saved))  # the same each time
    later = saved.clone()
    later[8] += 4
    assert not torch.equal(draws(saved), draws(later))  # another moment, another stream
    assert not torch.equal(draws(saved), torch.rand(4, generator=torch.Generator(here).manual_seed(5)))


def test_stream_of_the_same_device_continues() -> None:
    first = torch.Generator().manual_seed(5)
    torch.rand(3, generator=first)
    second = torch.Generator()
    continue_generator(second, first.get_state())
    assert torch.equal(torch.rand(4, generator=first), torch.rand(4, generator=second))


@pytest.mark.parametrize("gpus", [1, 8])
def test_global_generators_of_more_gpus_than_there_are_here_are_left_out(gpus: int) -> None:
    before = global_rng_state()
    restore_global_rng({**before, "cuda": [of_a_gpu(each) for each in range(gpus)]})
    assert torch.equal(torch.get_rng_state(), before["torch"])
