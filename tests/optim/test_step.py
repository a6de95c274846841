"""An optimizer's step is that of PyTorch's own optimizer, fused and written out."""

import pytest
import torch
from torch import nn

from sac_lightning.networks import Cnn
from sac_lightning.optim import Adam, AdamW, OptimizerStep
from sac_lightning.spaces import ObsSpec

OPTIMIZERS = {
    "adam": Adam(betas=(0.5, 0.9), eps=1e-3),
    "adamw": AdamW(weight_decay=0.3),
    "clipped": Adam(max_grad_norm=0.01),
}


def network() -> nn.Module:
    """Convolutions: their gradients may lie in another order in memory than their weights."""
    config = Cnn(channels=(4, 6), kernels=(4, 3), strides=(2, 1), features=8)
    return config.build(ObsSpec((12, 12, 3), "uint8"), torch.Generator().manual_seed(0))


@pytest.mark.parametrize("written_out", [False, True])
@pytest.mark.parametrize("name", OPTIMIZERS)
def test_a_step_is_that_of_pytorch(name: str, written_out: bool) -> None:
    config, images = OPTIMIZERS[name], torch.randint(0, 256, (5, 12, 12, 3), dtype=torch.uint8)
    own, other = network(), network()
    step = OptimizerStep(config, config.build(own.parameters(), lr=0.01))
    step.written_out = written_out
    expected = config.build(other.parameters(), lr=0.01)
    for _ in range(3):
        step.step(own(images).square().mean())
        expected.zero_grad()
        other(images).square().mean().backward()
        if config.max_grad_norm is not None:
            nn.utils.clip_grad_norm_(other.parameters(), config.max_grad_norm)
        expected.step()
    torch.testing.assert_close(list(own.parameters()), list(other.parameters()))
    assert all(parameter.grad is None for parameter in own.parameters())


def test_a_schedule_moves_with_each_update() -> None:
    parameter = nn.Parameter(torch.ones(1))
    for schedule, middle in (("linear", 0.055), ("cosine", 0.055)):
        config = Adam(lr_schedule=schedule, lr_final_ratio=0.1)
        optimizer = config.build([parameter], lr=0.1)
        scheduler = config.schedule(optimizer, updates=10)
        assert scheduler is not None
        rates = [optimizer.param_groups[0]["lr"]]
        for _ in range(12):
            optimizer.step()
            scheduler.step()
            rates.append(optimizer.param_groups[0]["lr"])
        assert rates[0] == 0.1
        assert rates[5] == pytest.approx(middle)  # halfway between 0.1 and 0.01
        assert rates[10] == rates[12] == pytest.approx(0.01)  # the end, and no further
