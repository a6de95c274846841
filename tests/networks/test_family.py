"""Known answers of unit weights, residual blocks, batch renormalisation and distributions."""

import math
from copy import deepcopy

import pytest
import torch
import torch.nn.functional as F
from scipy.stats import norm
from torch import nn

from built import batch_of, noise_of, sac_of
from sac_lightning.core.errors import ConfigError
from sac_lightning.networks import (
    ActorConfig,
    BatchRenorm,
    CategoricalValue,
    CriticConfig,
    Flash,
    HlGaussValue,
    JointPolyak,
    Mean,
    Min,
    NoTargetNetwork,
    QuantileValue,
    ScalarValue,
    Simba,
    SimbaV2,
    Torso,
    Truncated,
    ValueHead,
    Xqc,
)
from sac_lightning.networks.ensemble import EnsembleBatchRenorm, batch_statistics
from sac_lightning.networks.unit_norm import ScaledBatchNorm, ScaledRMSNorm, UnitLinear
from sac_lightning.types import WeightedActions

TORSOS: list[Torso] = [Simba(), SimbaV2(), Flash(), Xqc(), BatchRenorm(warm_up=0)]


def generator() -> torch.Generator:
    return torch.Generator().manual_seed(0)


def two_noises(head: str) -> torch.Tensor:
    return torch.stack((noise_of(head), noise_of(head)))


@pytest.mark.parametrize("torso", TORSOS)
def test_one_network_does_not_see_another(torso: Torso) -> None:
    layers = torso.build(2, 3, (8, 8), generator())
    x = torch.randn(2, 6, 3)
    changed = x.clone()
    changed[1, 0] -= 2.0
    other = deepcopy(layers)  # the first pass moves running statistics
    with batch_statistics(layers, other):
        before, after = layers(x), other(changed)
    torch.testing.assert_close(before[0], after[0])
    assert not torch.allclose(before[1], after[1])


@pytest.mark.parametrize("torso", [Simba(), SimbaV2(), Flash()])
def test_residual_torsos_want_equal_widths(torso: Torso) -> None:
    with pytest.raises(ConfigError, match=r"hidden_sizes=\[8, 4\]: must be equal numbers"):
        ActorConfig(hidden_sizes=(8, 4), torso=torso)


def test_simba_by_hand() -> None:
    first, block, last = Simba().build(1, 3, (8,), generator())
    x = torch.randn(1, 5, 3)
    h = first(x)
    inner = torch.relu(F.layer_norm(h, (8,)) @ block.up.weight + block.up.bias)
    assert inner.shape == (1, 5, 32)  # four times as wide
    expected = F.layer_norm(h + inner @ block.down.weight + block.down.bias, (8,))
    torch.testing.assert_close(last(block(h)), expected)


def test_simba_v2_by_hand() -> None:
    layers = SimbaV2(shift=3.0).build(1, 2, (4,), generator())
    x = torch.tensor([[[0.0, 4.0]]])
    # (0, 4, 3) has length 5.
    embedded = torch.tensor([[[0.0, 0.8, 0.6]]]) @ layers.embed.weight
    h = F.normalize(embedded, dim=-1)  # the scaler multiplies all features alike at first
    block = layers.blocks[0]
    inner = torch.relu(h @ block.up.weight * math.sqrt(2 / 16)) + 1e-8
    out = F.normalize(inner @ block.down.weight, dim=-1)
    h = F.normalize(h + 0.5 * (out - h), dim=-1)  # a = 1/(blocks + 1)
    torch.testing.assert_close(layers(x), h @ layers.last.weight)
    assert torch.allclose(block.step.scale, torch.tensor(0.5))  # learns as fast as 1/√4 says


def test_flash_by_hand() -> None:
    torso = Flash(eps=1e-5)
    layers = torso.build(1, 3, (4,), generator())
    norm_in, first, block, last = layers
    x = torch.randn(1, 16, 3)

    def normalised(x: torch.Tensor) -> torch.Tensor:
        return (x - x.mean(1, keepdim=True)) / (x.var(1, keepdim=True, correction=0) + 1e-5).sqrt()

    h = normalised(x) @ first.weight
    inner = torch.relu(normalised(h @ block.up.weight))
    h = h + torch.relu(normalised(inner @ block.down.weight))
    expected = h / (h.square().mean(-1, keepdim=True) + 1e-6).sqrt()
    with batch_statistics(layers):
        torch.testing.assert_close(layers(x), expected)
    assert isinstance(norm_in, ScaledBatchNorm)
    assert isinstance(last, ScaledRMSNorm)


def test_batch_renorm_is_its_formula() -> None:
    layer = EnsembleBatchRenorm(1, 2, momentum=0.5, eps=0.0, warm_up=1)
    x = torch.tensor([[[0.0, 0.0], [4.0, 1.0]]])  # means 2, 0.5; deviations 2, 0.5
    with batch_statistics(layer):
        first = layer(x)
        torch.testing.assert_close(first, torch.tensor([[[-1.0, -1.0], [1.0, 1.0]]]))  # warm-up: BatchNorm
        # Running: mean (0 + 2)/2 = 1, (0 + 0.5)/2 = 0.25; variance (1 + 4)/2 = 2.5, (1 + 0.25)/2 = 0.625.
        second = layer(x)
    r = torch.tensor([2 / math.sqrt(2.5), 0.5 / math.sqrt(0.625)])
    d = torch.tensor([(2 - 1) / math.sqrt(2.5), (0.5 - 0.25) / math.sqrt(0.625)])
    torch.testing.assert_close(second, torch.stack((-r + d, r + d))[None])
    # That is the normalisation by the running statistics: (x − μ)/σ.
    torch.testing.assert_close(second[0, 1, 0], torch.tensor((4 - 1) / math.sqrt(2.5)))


def test_batch_renorm_hands_on_features_of_mean_0_and_variance_1() -> None:
    torso = BatchRenorm().build(2, 3, (8,), torch.Generator().manual_seed(0))
    with batch_statistics(torso):
        features = torso(5.0 + 3.0 * torch.randn(2, 256, 3))  # the input is normalised as well
    assert features.mean(dim=1).abs().max() < 1e-5
    variance = features.var(
        dim=1, correction=0
    )  # v / (v + eps) of the activation's own v: 0 where it is always 0
    assert variance.max() < 1.0
    assert variance.median() > 0.98


def test_batch_renorm_limits_r_and_d() -> None:
    layer = EnsembleBatchRenorm(1, 1, momentum=0.99, eps=0.0, warm_up=0)
    x = torch.tensor([[[90.0], [110.0]]])  # mean 100, deviation 10; running 0, 1
    with batch_statistics(layer):
        out = layer(x)
    torch.testing.assert_close(out, torch.tensor([[[-1 * 3.0 + 5.0], [1 * 3.0 + 5.0]]]))


# --- after each update ---------------------------------------------------------------------------------


def lengths(network: nn.Module) -> list[torch.Tensor]:
    return [layer.weight.norm(dim=1) for layer in network.modules() if isinstance(layer, UnitLinear)]


@pytest.mark.parametrize("torso", [SimbaV2(), Flash(), Xqc()])
def test_weights_have_length_1_after_each_update(torso: Torso) -> None:
    sizes = (8, 8)
    critic = CriticConfig(hidden_sizes=sizes, torso=torso, lr=0.1)
    sac = sac_of("tanh_normal", actor=ActorConfig(hidden_sizes=sizes, torso=torso, lr=0.1), critic=critic)
    before = [weight.clone() for weight in sac.parameters()]
    for _ in range(3):
        sac.update(batch_of("tanh_normal"), two_noises("tanh_normal"))
    assert sum(not torch.equal(a, b) for a, b in zip(before, sac.parameters(), strict=True)) > 10
    found = [*lengths(sac.actor), *lengths(sac.critic)]
    assert len(found) >= 6
    for each in found:
        torch.testing.assert_close(each, torch.ones_like(each), atol=1e-6, rtol=0)
    for layer in sac.modules():
        if isinstance(layer, ScaledRMSNorm) and layer.weight.shape[0] == 1:
            torch.testing.assert_close(layer.weight.norm(), torch.tensor(8.0).sqrt())


def test_joint_polyak_moves_weights_and_no_statistics() -> None:
    critic = CriticConfig(hidden_sizes=(8,), torso=Xqc(), target_network=JointPolyak(0.5))
    sac = sac_of("tanh_normal", actor=ActorConfig(hidden_sizes=(8,)), critic=critic)
    assert sac.target_critic is not None
    copy = [weight.clone() for weight in sac.target_critic.parameters()]
    sac.update(batch_of("tanh_normal"), two_noises("tanh_normal"))
    pairs = zip(copy, sac.critic.parameters(), sac.target_critic.parameters(), strict=True)
    for before, learned, now in pairs:
        torch.testing.assert_close(now, 0.5 * before + 0.5 * learned)
    online, copied = (dict(each.named_buffers()) for each in (sac.critic, sac.target_critic))
    torch.testing.assert_close(online["torso.0.mean"], copied["torso.0.mean"])  # of the same pairs


# --- distributions -------------------------------------------------------------------------------------


def test_hl_gauss_is_its_integral() -> None:
    head = HlGaussValue(0.0, 4.0, bins=5, sigma=0.75)
    y = torch.tensor([1.3, 4.0])
    edges = torch.arange(-0.5, 5.0)
    for found, centre in zip(head.encode(y), y.tolist(), strict=True):
        cdf = torch.tensor(norm.cdf(edges, loc=centre, scale=0.75), dtype=torch.float32)
        expected = cdf.diff() / (cdf[-1] - cdf[0])
        torch.testing.assert_close(found, expected, atol=1e-6, rtol=0)
    assert float(head.target_mean(head.encode(torch.tensor([2.0])))) == pytest.approx(2.0)


def one_action(batch: int) -> WeightedActions:
    zeros = torch.zeros(1, batch)
    return WeightedActions(torch.zeros(1, batch, 1), zeros, torch.ones(1, batch))


def test_truncation_by_hand() -> None:
    atoms = torch.tensor([[1.0, 5.0, 9.0], [2.0, 3.0, 100.0]]).view(2, 1, 1, 3)
    head, pessimism = QuantileValue(3), Truncated(drop=1)
    # Pooled and sorted: 1, 2, 3, 5, 9, 100; one for each of two critics goes.
    kept = pessimism.atoms(head.mean(atoms), atoms)
    assert kept.flatten().tolist() == [1.0, 2.0, 3.0, 5.0]
    target = head.target(
        torch.tensor([10.0]), torch.tensor([0.5]), atoms, one_action(1), torch.tensor(0.2), pessimism
    )
    assert target[..., 0].flatten().tolist() == [10.5, 11.0, 11.5, 12.5]
    assert target[..., 1].flatten().tolist() == [0.25] * 4
    assert float(head.target_mean(target)) == pytest.approx(10 + 0.5 * 11 / 4)
    assert float(pessimism.value(head.mean(atoms))) == pytest.approx((5 + 35) / 2)


def test_quantile_targets_mix_the_policy_s_actions() -> None:
    head = QuantileValue(2)
    atoms = torch.tensor([[[[0.0, 2.0]], [[10.0, 20.0]]]])  # [1, 2, 1, 2]
    log_prob = torch.log(torch.tensor([[0.25], [0.75]]))
    actions = WeightedActions(torch.zeros(2, 1, 1), log_prob, log_prob.exp())
    target = head.target(torch.zeros(1), torch.ones(1), atoms, actions, torch.tensor(1.0), Mean())
    bonus = [-math.log(0.25), -math.log(0.75)]
    expected = [0 + bonus[0], 2 + bonus[0], 10 + bonus[1], 20 + bonus[1]]
    torch.testing.assert_close(target[0, :, 0], torch.tensor(expected))
    torch.testing.assert_close(target[0, :, 1], torch.tensor([0.125, 0.125, 0.375, 0.375]))


def test_quantile_loss_by_hand() -> None:
    head = QuantileValue(2)  # levels 1/4, 3/4
    features = torch.tensor([[[0.0, 2.0]]])
    target = torch.tensor([[[0.5, 1.0]]])  # one point at 0.5
    # u = 0.5: huber 0.125, times 1/4; u = -1.5: huber 1, times |3/4 − 1|; mean over the two quantiles.
    expected = (0.25 * 0.125 + 0.25 * 1.0) / 2
    assert float(head.loss(features, target, torch.ones(1))) == pytest.approx(expected)
    both = features.expand(2, -1, -1)
    assert float(head.loss(both, target, 3 * torch.ones(1))) == pytest.approx(6 * expected)


def test_quantile_regression_finds_a_known_distribution() -> None:
    head = QuantileValue(5)
    theta = nn.Parameter(torch.zeros(1, 1, 5))
    optimizer = torch.optim.Adam([theta], lr=0.2)
    draws = 100.0 * torch.rand(1, 4096, generator=generator())  # uniform on [0, 100]
    target = torch.stack((draws, torch.full_like(draws, 1 / 4096)), dim=-1)
    for _ in range(1500):
        optimizer.zero_grad()
        head.loss(theta, target, torch.ones(1)).backward()
        optimizer.step()
    # The quantiles at 0.1, 0.3, ...; the standard error of one from 4,096 draws is at most 0.8.
    expected = torch.tensor([10.0, 30.0, 50.0, 70.0, 90.0])
    torch.testing.assert_close(theta.detach().flatten(), expected, atol=2.0, rtol=0)


def test_combinations_without_a_meaning_are_refused() -> None:
    for head in (ScalarValue(), CategoricalValue()):
        with pytest.raises(ConfigError, match=r"pessimism=Truncated: needs quantiles: value_head=quantile"):
            CriticConfig(value_head=head, pessimism=Truncated())
    with pytest.raises(
        ConfigError, match=r"pessimism=Truncated: needs at least 4 quantiles; value_head.quantiles=3"
    ):
        CriticConfig(value_head=QuantileValue(3), pessimism=Truncated(drop=3))
    with pytest.raises(ConfigError, match="JointPolyak: needs critics with batch statistics"):
        CriticConfig(target_network=JointPolyak())
    for wrong in (0, -3):
        with pytest.raises(ConfigError, match=r"value_head.quantiles"):
            QuantileValue(wrong)
    with pytest.raises(ConfigError, match=r"value_head.sigma"):
        HlGaussValue(sigma=0.0)
    with pytest.raises(ConfigError, match=r"pessimism.drop"):
        Truncated(drop=-1)


VALUES: list[tuple[ValueHead, object]] = [
    (QuantileValue(5), Truncated(1)),
    (QuantileValue(5), Min()),
    (HlGaussValue(), Min()),
]


@pytest.mark.parametrize("head", ["tanh_normal", "categorical", "hybrid", "sampled"])
@pytest.mark.parametrize(("value_head", "pessimism"), VALUES)
def test_every_head_learns_with_every_distribution(
    head: str, value_head: ValueHead, pessimism: object
) -> None:
    critic = CriticConfig(hidden_sizes=(8,), value_head=value_head, pessimism=pessimism, lr=0.01)  # type: ignore[arg-type]
    sac = sac_of(head, critic=critic)
    batch, noise = batch_of(head), two_noises(head)
    losses = [float(sac.update(batch, noise).metrics["train/critic_loss"]) for _ in range(30)]
    assert all(map(math.isfinite, losses))
    assert losses[-1] < losses[0]


@pytest.mark.parametrize("head", ["tanh_normal", "categorical"])
@pytest.mark.parametrize("torso", TORSOS)
def test_every_torso_learns(head: str, torso: Torso) -> None:
    target = JointPolyak() if torso.has_batch_statistics and not isinstance(torso, BatchRenorm) else None
    if isinstance(torso, BatchRenorm):
        target = NoTargetNetwork()
    options = {} if target is None else {"target_network": target}
    critic = CriticConfig(hidden_sizes=(8, 8), torso=torso, lr=0.01, **options)  # type: ignore[arg-type]
    sac = sac_of(head, actor=ActorConfig(hidden_sizes=(8, 8), torso=torso), critic=critic)
    batch, noise = batch_of(head), two_noises(head)
    losses = [float(sac.update(batch, noise).metrics["train/critic_loss"]) for _ in range(60)]
    assert all(map(math.isfinite, losses))
    assert losses[-1] < losses[0]
