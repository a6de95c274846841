"""Known answers of torsos, value heads, pessimism, target networks and normalisation."""

import math

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from sac_lightning.core.errors import ConfigError
from sac_lightning.networks import (
    SMALL_CNN,
    BatchNorm,
    BySpace,
    CategoricalValue,
    Cnn,
    Encoder,
    Flat,
    LayerNorm,
    Mean,
    Min,
    Mlp,
    Multi,
    Polyak,
    RandomShift,
    RandomSubset,
    ReturnVariance,
    RunningObs,
    Torso,
)
from sac_lightning.networks.counter_random import CounterRandom
from sac_lightning.networks.encoder import FlatObs
from sac_lightning.networks.ensemble import (
    Dropout,
    EnsembleBatchNorm,
    EnsembleLinear,
    batch_statistics,
    dropout,
)
from sac_lightning.networks.normalization import RunningStatistics
from sac_lightning.spaces import ObsPart, ObsSpec
from sac_lightning.types import WeightedActions


def generator() -> torch.Generator:
    return torch.Generator().manual_seed(0)


# --- torsos ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("num", [1, 3])
def test_each_network_of_an_ensemble_is_a_linear_layer_of_its_own(num: int) -> None:
    layer = EnsembleLinear(num, 4, 5, generator())
    x = torch.randn(num, 7, 4)
    assert layer.bias is not None
    alone = [F.linear(x[n], layer.weight[n].T, layer.bias[n, 0]) for n in range(num)]
    torch.testing.assert_close(layer(x), torch.stack(alone))


@pytest.mark.parametrize("torso", [Mlp(), LayerNorm(), BatchNorm(), Mlp(activation="tanh")])
def test_one_network_does_not_see_another(torso: Torso) -> None:
    layers = torso.build(2, 3, (8, 8), generator())
    x = torch.randn(2, 6, 3)
    changed = x.clone()
    changed[1, 0] -= 2.0
    with batch_statistics(layers):
        before, after = layers(x), layers(changed)
    torch.testing.assert_close(before[0], after[0])
    assert not torch.allclose(before[1], after[1])


def test_layer_norm_is_pytorch_s() -> None:
    layers = LayerNorm().build(1, 3, (8,), generator())
    x = torch.randn(1, 6, 3)
    linear = layers.linear[0]
    expected = torch.relu(F.layer_norm(linear(x), (8,)))
    torch.testing.assert_close(layers(x), expected)


def test_dropout_zeroes_a_share_of_the_features_in_updates_alone_and_afresh_each_time() -> None:
    layer, x = Dropout(0.2, generator()), torch.randn(2, 100, 50)
    assert torch.equal(layer(x), x)
    with dropout(layer):
        first, second = layer(x), layer(x)
    for each in (first, second):
        kept = each != 0.0
        assert abs(float(kept.float().mean()) - 0.8) < 4 * 0.004  # √(0.8 · 0.2 / 10,000)
        torch.testing.assert_close(each[kept], x[kept] / 0.8)
    assert not torch.equal(first, second)


def test_dropout_comes_before_layer_norm_and_leaves_the_initial_weights() -> None:
    plain, dropping = (LayerNorm(dropout=p).build(1, 3, (8,), generator()) for p in (0.0, 0.5))
    x = torch.randn(1, 6, 3)
    torch.testing.assert_close(plain(x), dropping(x))
    linear, random = dropping.linear[0][0], CounterRandom(generator())
    random.key.copy_(dropping.linear[0][1].random.key)
    left = torch.where(random.uniform(1, 6, 8) >= 0.5, 2.0 * linear(x), 0.0)
    with dropout(dropping):
        torch.testing.assert_close(dropping(x), torch.relu(F.layer_norm(left, (8,))))


def test_batch_norm_is_pytorch_s_in_both_modes() -> None:
    own = EnsembleBatchNorm(1, 4, momentum=0.9, eps=1e-3)
    other = nn.BatchNorm1d(4, momentum=0.1, eps=1e-3)
    for _ in range(3):
        x = torch.randn(16, 4) * 3.0 + 1.0
        with batch_statistics(own):
            torch.testing.assert_close(own(x[None])[0], other(x))
    torch.testing.assert_close(own.mean[0, 0], other.running_mean)
    # PyTorch keeps the unbiased variance, this layer that of the batch: n/(n − 1) apart, after the first 1.
    share = 1.0 - 0.9**3
    unbiased = (other.running_var - 0.9**3) / share
    biased = (own.var[0, 0] - 0.9**3) / share
    torch.testing.assert_close(unbiased, biased * 16 / 15)
    before = own.mean.clone()
    own(torch.randn(1, 16, 4))
    assert torch.equal(own.mean, before)  # outside of an update nothing moves


def test_images_may_have_their_channels_first_or_last() -> None:
    config = Cnn(channels=(4,), kernels=(3,), strides=(1,), features=5)
    last = config.build(ObsSpec((9, 8, 3), "uint8"), generator())
    first = config.build(ObsSpec((3, 9, 8), "uint8"), generator())
    image = torch.randint(0, 256, (2, 9, 8, 3), dtype=torch.uint8)
    torch.testing.assert_close(last(image), first(image.permute(0, 3, 1, 2)))
    grey = Cnn(channels=(4,), kernels=(3,), strides=(1,), features=5).build(
        ObsSpec((9, 8), "uint8"), generator()
    )
    assert grey(image[..., 0]).shape == (2, 5)
    for shape in ((4,), (3, 3, 2, 2)):
        with pytest.raises(ConfigError, match="images of two or three axes"):
            config.build(ObsSpec(shape, "uint8"), generator())
    with pytest.raises(ConfigError, match="too large"):
        Cnn(channels=(4,), kernels=(9,), strides=(1,)).build(ObsSpec((8, 8, 3), "uint8"), generator())


@pytest.mark.parametrize(
    ("shape", "dtype", "expected"),
    [
        ((3,), "float32", Flat()),
        ((96, 96, 3), "uint8", Cnn()),  # CarRacing
        ((4, 84, 84), "uint8", Cnn()),  # stacked grey frames
        ((64, 64, 3), "uint8", SMALL_CNN),
        ((10, 10, 4), "bool", SMALL_CNN),  # MinAtar
        ((4, 128), "uint8", Flat()),  # stacked bytes that are no image
        ((9, 9, 3), "float32", Flat()),
    ],
)
def test_auto_follows_the_space(shape: tuple[int, ...], dtype: str, expected: Encoder) -> None:
    assert BySpace().encoder_for(ObsSpec(shape, dtype)) == expected


def test_the_small_network_takes_images_of_any_size() -> None:
    for pixels in (7, 10, 64):
        encoder = SMALL_CNN.build(ObsSpec((pixels, pixels, 3), "uint8"), generator())
        assert encoder(torch.zeros(2, pixels, pixels, 3, dtype=torch.uint8)).shape == (2, 256)


ROW = ObsSpec(
    (4 + 2 + 2 + 1,),
    "uint8",
    (
        ObsPart("camera", (2, 2), "uint8"),
        ObsPart("where", (2,), "int64", choices=(3, 2)),
        ObsPart("bits", (2,), "bool"),
        ObsPart("inner/speed", (1,), "int8"),
    ),
)


def test_parts_of_a_row_are_scaled_one_hot_or_as_they_are() -> None:
    obs = torch.tensor([[0, 51, 102, 255, 2, 0, 1, 0, 7]], dtype=torch.uint8)
    expected = torch.tensor([[0.0, 0.2, 0.4, 1.0, 0, 0, 1, 1, 0, 1, 0, 7]])
    for encoder in (Flat(), Multi(), BySpace()):
        module = encoder.build(ROW, generator())
        assert module.size_out == 12
        torch.testing.assert_close(module(obs), expected)
    normalized = RunningObs().build(ROW)
    normalized.statistics.add(obs.repeat(2, 1))
    # Each number is its mean; the choices are no numbers.
    assert normalized(obs).tolist() == [[0, 0, 0, 0, 2, 0, 0, 0, 0]]
    # Normalised bytes are no bytes any more.
    assert FlatObs(ObsSpec((2,), "uint8").normalized)(torch.tensor([[1.0, -1.0]])).tolist() == [[1.0, -1.0]]


def test_multi_gives_a_key_the_encoder_that_is_named() -> None:
    image = Cnn(channels=(4,), kernels=(2,), strides=(1,), features=5)
    multi = Multi({"camera": image})
    module = multi.build(ROW, generator())
    obs = torch.randint(0, 3, (6, 9), dtype=torch.uint8)
    assert module(obs).shape == (6, module.size_out) == (6, 5 + 5 + 2 + 1)
    alone = module.encoders[0](obs[:, :4].reshape(6, 2, 2))
    torch.testing.assert_close(module(obs)[:, :5], alone)
    with pytest.raises(
        ConfigError, match=r"encoder\.encoders=where: must be one of camera, bits, inner/speed"
    ):
        Multi({"where": image}).build(ROW, generator())
    with pytest.raises(ConfigError, match="encoder=multi: is for a Dict or Tuple"):
        multi.build(ObsSpec((3,), "float32"), generator())


def test_a_random_shift_moves_an_image_by_whole_pixels_and_repeats_its_edge() -> None:
    part = ObsPart("image", (9, 8, 3), "uint8"), ObsPart("where", (1,), "int64", choices=(5,))
    image = torch.randint(0, 256, (6, 9, 8, 3), dtype=torch.uint8)
    row = torch.cat((image.flatten(1), torch.full((6, 1), 4, dtype=torch.uint8)), dim=1)
    for spec, obs in (
        (ObsSpec((9, 8, 3), "uint8"), image),
        (ObsSpec((3, 9, 8), "uint8"), image.permute(0, 3, 1, 2)),
        (ObsSpec((217,), "uint8", part), row),
    ):
        shift = RandomShift(spec, 2, generator())
        drawn = RandomShift(spec, 2, generator()).random.uniform(2, 6)
        dy, dx = (drawn * 5).floor().long() - 2
        moved, expected = shift(obs), image.clone()
        for b in range(6):
            for y in range(9):
                for x in range(8):
                    source = min(max(y + int(dy[b]), 0), 8), min(max(x + int(dx[b]), 0), 7)
                    expected[b, y, x] = image[b, source[0], source[1]]
        assert not torch.equal(moved, shift(obs))
        if obs is row:
            assert (moved[:, -1] == 4).all()
            moved = moved[:, :-1].view(6, 9, 8, 3)
        assert torch.equal(moved if moved.shape[-1] == 3 else moved.permute(0, 2, 3, 1), expected)
    with pytest.raises(ConfigError, match="random_shift=2: needs images"):
        RandomShift(ObsSpec((3,), "float32"), 2, generator())


# --- value heads -------------------------------------------------------------------------------------


def test_the_projection_by_hand() -> None:
    head = CategoricalValue(0.0, 4.0, bins=5)  # bins at 0, 1, 2, 3, 4
    points = torch.tensor([[[0.0, 1.25, 2.0, 9.0, -3.0]]])
    mass = torch.tensor([[[0.1, 0.4, 0.2, 0.25, 0.05]]])
    # 1.25 gives 0.3 to 1 and 0.1 to 2; 9 is clipped to 4, −3 to 0.
    expected = torch.tensor([[0.15, 0.3, 0.3, 0.0, 0.25]])
    torch.testing.assert_close(head.project(points, mass), expected)


@given(
    st.lists(st.floats(-20.0, 20.0, width=32), min_size=3, max_size=12),
    st.integers(2, 30),
)
def test_the_projection_keeps_mass_and_mean(values: list[float], bins: int) -> None:
    head = CategoricalValue(-20.0, 20.0, bins=bins)
    points = torch.tensor(values)[None, None]
    mass = torch.full_like(points, 1.0 / len(values))
    projected = head.project(points, mass)
    assert projected.min() >= 0.0
    assert float(projected.sum()) == pytest.approx(1.0, abs=1e-5)
    assert float(head.target_mean(projected)) == pytest.approx(sum(values) / len(values), abs=1e-3)


def test_the_categorical_target_is_that_of_a_scalar_critic_in_the_mean() -> None:
    head = CategoricalValue(-50.0, 50.0, bins=201)
    k, b, n = 3, 5, 2
    features = torch.randn(n, k, b, head.feature_size)
    log_prob = torch.log_softmax(torch.randn(k, b), dim=0)
    actions = WeightedActions(torch.zeros(k, b), log_prob, log_prob.exp())
    reward, discount = torch.randn(b), torch.rand(b)
    alpha = torch.tensor(0.3)
    target = head.target(reward, discount, features, actions, alpha, Min())
    torch.testing.assert_close(target.sum(-1), torch.ones(b))
    q = head.mean(features).amin(0)  # the distribution of the critic with the lower mean
    value = (log_prob.exp() * (q - alpha * log_prob)).sum(0)
    torch.testing.assert_close(head.target_mean(target), reward + discount * value, atol=1e-4, rtol=1e-4)


def test_cross_entropy_is_lowest_at_the_target_and_weighs_transitions() -> None:
    head = CategoricalValue(0.0, 3.0, bins=4)
    target = torch.tensor([[0.1, 0.2, 0.3, 0.4], [0.25, 0.25, 0.25, 0.25]])
    logits = target.log()[None].repeat(2, 1, 1).requires_grad_()
    loss = head.loss(logits, target, torch.ones(2))
    entropy = -(target * target.log()).sum(-1)
    torch.testing.assert_close(loss, entropy.mean() * 2)  # summed over two critics
    (gradient,) = torch.autograd.grad(loss, [logits])
    torch.testing.assert_close(gradient, torch.zeros_like(gradient), atol=1e-6, rtol=0.0)
    weighted = head.loss(logits, target, torch.tensor([1.0, 0.0]))
    torch.testing.assert_close(weighted, entropy[0] / 2 * 2)


@pytest.mark.parametrize("options", [{"low": 5.0, "high": 5.0}, {"low": math.nan}, {"bins": 1}])
def test_a_support_that_is_none_is_refused(options: dict[str, float]) -> None:
    with pytest.raises(ConfigError, match="value_head"):
        CategoricalValue(**options)  # type: ignore[arg-type]  # wrong on purpose


# --- pessimism, target network -----------------------------------------------------------------------


def test_pessimism_by_hand() -> None:
    q = torch.tensor([[[1.0, 5.0]], [[3.0, 2.0]]])  # [N=2, K=1, B=2]
    mass = torch.tensor([[[[1.0, 0.0], [0.5, 0.5]]], [[[0.0, 1.0], [0.2, 0.8]]]])
    assert Min().value(q).tolist() == [[1.0, 2.0]]
    assert Mean().value(q).tolist() == [[2.0, 3.5]]
    assert RandomSubset().value(q).tolist() == [[2.0, 3.5]]  # for the actor
    assert RandomSubset().target_value(q).tolist() == [[1.0, 2.0]]
    for lowest in (Min(), RandomSubset()):
        torch.testing.assert_close(lowest.distribution(q, mass), torch.tensor([[[1.0, 0.0], [0.2, 0.8]]]))
    torch.testing.assert_close(Mean().distribution(q, mass), torch.tensor([[[0.5, 0.5], [0.35, 0.65]]]))


def test_polyak_moves_weights_and_running_statistics() -> None:
    copy, original = EnsembleBatchNorm(1, 2), EnsembleBatchNorm(1, 2)
    with torch.no_grad():
        original.weight.fill_(3.0)
        original.mean.fill_(10.0)
    rule = Polyak(0.25)
    rule.update_(rule.tensors(copy), rule.tensors(original))
    assert copy.weight.flatten().tolist() == [1.5, 1.5]  # 1 + 0.25 · (3 − 1)
    assert copy.mean.flatten().tolist() == [2.5, 2.5]


# --- normalisation -----------------------------------------------------------------------------------


@given(st.lists(st.integers(1, 40), min_size=1, max_size=6))
def test_running_statistics_are_those_of_all_values(sizes: list[int]) -> None:
    statistics, seen = RunningStatistics((2,)), []
    for size in sizes:
        values = torch.randn(size, 2) * 5.0 + 100.0
        statistics.add(values)
        seen.append(values.double())
    everything = torch.cat(seen)
    assert float(statistics.count) == len(everything)
    torch.testing.assert_close(statistics.mean, everything.mean(0))
    torch.testing.assert_close(statistics.var, everything.var(0, correction=0))


def test_normalised_observations_by_hand() -> None:
    module = RunningObs(clip=2.0).build(ObsSpec((2,), "float32"))
    module.statistics.add(torch.tensor([[0.0, 1.0], [2.0, 5.0]]))  # means 1 and 3, variances 1 and 4
    found = module(torch.tensor([[2.0, 4.0], [100.0, -100.0]]))
    torch.testing.assert_close(found, torch.tensor([[1.0, 0.5], [2.0, -2.0]]))


def test_scaled_rewards_by_hand() -> None:
    module = ReturnVariance().build()
    assert torch.equal(module(torch.tensor([3.0])), torch.tensor([3.0]))  # before anything was seen
    module.statistics.add(torch.tensor([0.0, 8.0]))  # variance 16
    torch.testing.assert_close(module(torch.tensor([6.0, -2.0])), torch.tensor([1.5, -0.5]))


def test_scaled_rewards_by_hand_with_a_bound_on_returns() -> None:
    module = ReturnVariance(g_max=5.0).build()
    module.statistics.add(torch.tensor([-50.0, -50.0]))  # variance 0, largest 50: the scale is 50/5
    torch.testing.assert_close(module(torch.tensor([20.0])), torch.tensor([2.0]))
    module.statistics.add(torch.tensor([50.0, 50.0]))  # variance 2500: √2500 is above 50/5
    torch.testing.assert_close(module(torch.tensor([20.0])), torch.tensor([0.4]))


# --- random numbers ----------------------------------------------------------------------------------


def hashed(x: int) -> int:
    """The hash of 32 bits in Python's integers."""
    for by, factor in ((16, 0x21F0AAAD), (15, 0x735A2D97)):
        x = (x ^ x >> by) * factor % 2**32
    return x ^ x >> 15


@pytest.mark.parametrize("draws", [0, 5, 2**32 - 1])
@pytest.mark.parametrize("key", [3, 2**31, 2**32 - 1])
def test_numbers_of_a_counter_are_those_of_unsigned_integers(key: int, draws: int) -> None:
    source = CounterRandom(generator())
    source.key.fill_(key)
    source.draws.fill_(draws)
    spread = [(place ^ place >> 16) * 0x61C88647 % 2**32 for place in range(70_000)]
    expected = [(hashed(each ^ hashed(key ^ draws)) >> 8) * 2.0**-24 for each in spread]
    assert source.uniform(7, 10_000).flatten().tolist() == expected
    assert int(source.draws) == (draws + 1) % 2**32


def test_numbers_of_a_counter_are_uniform_and_independent() -> None:
    source, other = CounterRandom(generator()), CounterRandom(torch.Generator().manual_seed(1))
    drawn = torch.stack([*(source.uniform(500, 200) for _ in range(4)), other.uniform(500, 200)]).flatten(1)
    assert drawn.min() >= 0.0 and drawn.max() < 1.0
    n = drawn.shape[1]
    counts = torch.stack([torch.histc(each, 20, 0.0, 1.0) for each in drawn])
    # χ² with 19 degrees of freedom: above 43.8 once in 1,000
    assert ((counts - n / 20).square() / (n / 20)).sum(1).max() < 43.8
    # Correlations of draws, and of a number with those after it, are ±1/√n.
    apart = torch.cat([drawn, *(drawn[:1].roll(lag, 1) for lag in (1, 2, 200))])
    correlations = torch.corrcoef(apart) - torch.eye(len(apart))
    assert correlations.abs().max() < 4.5 / n**0.5
    restored = CounterRandom(generator())
    restored.load_state_dict(source.state_dict())
    assert torch.equal(restored.uniform(7), source.uniform(7))
