"""Every rule for the target entropy, by hand, and what it refuses."""

import math

import pytest

from sac_lightning import ConfigError
from sac_lightning.entropy import (
    Constant,
    EpsPeaked,
    HeadDefault,
    MaxEntropy,
    MaxRatio,
    NegDim,
    NegHalfDim,
    PerPart,
    Sigma,
    TargetEntropyRule,
    Zero,
    check_reachable,
)
from sac_lightning.heads import (
    ActionHead,
    Categorical,
    Hybrid,
    MultiCategorical,
    Normal,
    SampledMultiCategorical,
    TanhNormal,
)

BOX, CHOICE, BOTH = TanhNormal(3), Categorical(4), Hybrid(3, 2)


@pytest.mark.parametrize(
    ("rule", "head", "nats"),
    [
        (NegDim(), BOX, -3.0),  # −dim A
        (NegHalfDim(), BOX, -1.5),  # −dim A / 2
        (Zero(), BOX, 0.0),
        (Sigma(), TanhNormal(1), -0.4781814),  # ½log(2πe) + log 0.15 = 1.4189385 − 1.8971200
        (Sigma(), BOX, -1.4345443),  # three times that
        (Sigma(sigma=1.0), Normal(2), 2.8378771),  # 2 · 1.4189385
        (MaxRatio(), CHOICE, 1.3585685),  # 0.98 · log 4 = 0.98 · 1.3862944
        (MaxRatio(ratio=0.5), BOX, 1.0397208),  # ½ · 3 · log 2
        (MaxEntropy(), CHOICE, 1.3862944),  # log 4
        (MaxEntropy(), BOX, 2.0794415),  # 3 · log 2
        # p = (0.925, 3 × 0.025): 0.925·0.0779615 + 3·0.025·3.6888795 = 0.0721144 + 0.2766660
        (EpsPeaked(), CHOICE, 0.3487804),
        (EpsPeaked(eps=1.0), CHOICE, 1.3862944),  # ε = 1 is the uniform policy
        (Constant(0.7), CHOICE, 0.7),
        (Constant(-2.5), BOX, -2.5),
        (HeadDefault(), BOX, -3.0),  # NegDim
        (HeadDefault(), Normal(2), -2.0),  # NegDim
        (HeadDefault(), CHOICE, 0.6931472),  # MaxRatio(0.5): ½ log 4
        (PerPart(), BOTH, -1.4506939),  # ½ · log 3 − 2
        (PerPart(ratio=1.0), CHOICE, 1.3862944),  # log 4 − 0
        (HeadDefault(), BOTH, -1.4506939),  # PerPart(0.5)
        (HeadDefault(), MultiCategorical((2, 3)), 0.8958797),  # MaxRatio(0.5): ½ log 6
        (HeadDefault(), SampledMultiCategorical((20, 20)), 2.9957323),  # ½ log 400
        (NegDim(), BOTH, -2.0),  # of the numbers alone
    ],
)
def test_rule_gives_the_number_worked_out_by_hand(
    rule: TargetEntropyRule, head: ActionHead, nats: float
) -> None:
    assert rule.value(head) == pytest.approx(nats, abs=1e-6)


@pytest.mark.parametrize("eps", [0.01, 0.1, 0.5])
def test_eps_peaked_is_the_entropy_of_the_policy_it_names(eps: float) -> None:
    n = 6
    prob = [1 - eps + eps / n] + [eps / n] * (n - 1)
    assert math.fsum(prob) == pytest.approx(1.0)
    assert EpsPeaked(eps).value(Categorical(n)) == pytest.approx(-math.fsum(p * math.log(p) for p in prob))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Sigma(sigma=0.0), "target_entropy.sigma=0.0"),
        (lambda: Sigma(sigma=math.inf), "target_entropy.sigma=inf"),
        (lambda: MaxRatio(ratio=1.1), "target_entropy.ratio=1.1"),
        (lambda: MaxRatio(ratio=0.0), "target_entropy.ratio=0.0"),
        (lambda: EpsPeaked(eps=0.0), "target_entropy.eps=0.0"),
        (lambda: EpsPeaked(eps=math.nan), "target_entropy.eps=nan"),
        (lambda: Constant(math.nan), "target_entropy.nats=nan"),
        (lambda: Constant(-math.inf), "target_entropy.nats=-inf"),
        (lambda: EpsPeaked().value(BOX), "target_entropy=eps_peaked: is for choices alone"),
        (lambda: EpsPeaked().value(BOTH), "target_entropy=eps_peaked: is for choices alone; the Hybrid head"),
        (lambda: PerPart(ratio=2.0), "target_entropy.ratio=2.0"),
        (lambda: Sigma().value(BOTH), "target_entropy=sigma: is for continuous actions"),
        (lambda: Sigma().value(CHOICE), "target_entropy=sigma: is for continuous actions"),
    ],
)
def test_what_cannot_work_is_refused_by_name(make, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        make()
    assert str(caught.value).startswith(message)


@pytest.mark.parametrize(
    ("rule", "head"),
    [(HeadDefault(), BOX), (HeadDefault(), Normal(2)), (HeadDefault(), Categorical(2)), (Sigma(), BOX)],
)
def test_sound_targets_pass_in_silence(rule: TargetEntropyRule, head: ActionHead) -> None:
    assert check_reachable(rule.value(head), head) is None


@pytest.mark.parametrize("n", [2, 4, 18])
def test_the_classic_ratio_is_warned_of(n: int) -> None:
    # 0.98·log n lies exactly 2 % of (0, log n] below its end
    warning = check_reachable(MaxRatio().value(Categorical(n)), Categorical(n))
    assert warning is not None and "expect α to grow" in warning


def test_just_inside_the_two_percent_is_silent() -> None:
    assert check_reachable(MaxRatio(ratio=0.979).value(CHOICE), CHOICE) is None
    assert check_reachable(0.021 * math.log(4), CHOICE) is None


def test_the_upper_end_is_reachable_with_a_warning() -> None:
    for head in (CHOICE, BOX):
        warning = check_reachable(MaxEntropy().value(head), head)
        assert warning is not None and "within 2 % of the largest entropy" in warning


def test_close_to_no_entropy_is_warned_of() -> None:
    warning = check_reachable(0.01 * math.log(4), CHOICE)
    assert warning is not None and "expect α to fall" in warning


@pytest.mark.parametrize(
    ("target", "head", "effect"),
    [
        (-1.0, CHOICE, "α would fall to 0"),  # −1 for a categorical: entropies are above 0
        (-math.log(4), CHOICE, "α would fall to 0"),
        (0.0, CHOICE, "α would fall to 0"),
        (1.4, CHOICE, "α would grow without end"),  # log 4 = 1.386
        (2.1, BOX, "α would grow without end"),  # 3·log 2 = 2.079
        (3.0, TanhNormal(1), "α would grow without end"),
    ],
)
def test_a_target_that_no_policy_has_is_refused_with_its_interval(
    target: float, head: ActionHead, effect: str
) -> None:
    with pytest.raises(ConfigError, match="no policy of the") as caught:
        check_reachable(target, head)
    assert effect in str(caught.value) and "allowed: (" in str(caught.value)


def test_a_plain_gaussian_may_have_more_entropy_than_the_unit_box() -> None:
    assert check_reachable(2.5, Normal(1)) is None  # up to ½log(2πe) + 2 = 3.419
    with pytest.raises(ConfigError, match="α would grow"):
        check_reachable(3.5, Normal(1))
    with pytest.raises(ConfigError, match="α would fall"):
        check_reachable(-3.6, Normal(1))  # from 1.419 − 5 = −3.581
