"""Targets that move, by hand: the schedule's course, and when tes lowers."""

import math
from collections.abc import Iterable

import pytest
import torch
from torch import Tensor

from sac_lightning import ConfigError
from sac_lightning.entropy import Schedule, TargetEntropyRule, Tes, check_rule
from sac_lightning.heads import ActionHead, Categorical, Normal, TanhNormal

BOX, CHOICE = TanhNormal(3), Categorical(4)
LOG_4 = math.log(4)


def course(
    rule: TargetEntropyRule, head: ActionHead, entropies: Iterable[float], env_steps: int = 0
) -> tuple[list[float], Tensor]:
    """H̄ at each update whose policy has these entropies, and what the rule remembers at the end."""
    target, memory = torch.tensor(rule.value(head)), torch.tensor(rule.memory())
    targets = []
    for entropy in entropies:
        target, memory = rule.update(head, target, memory, torch.tensor(entropy), torch.tensor(env_steps))
        targets.append(target.item())
    return targets, memory


@pytest.mark.parametrize(
    ("shape", "env_steps", "nats"),
    [
        ("linear", 0, 0.5),
        ("linear", 250, 0.125),  # −1 + 1.5·¾
        ("linear", 1000, -1.0),
        ("linear", 9999, -1.0),
        ("cosine", 250, 0.2803301),  # −1 + 1.5·½(1 + cos ¼π) = −1 + 1.5·0.8535534
        ("cosine", 500, -0.25),  # −1 + 1.5·½
        ("cosine", 1000, -1.0),
        ("exponential", 0, 0.5),
        # (e^−2.5 − e^−5)/(1 − e^−5) = (0.0820850 − 0.0067379)/0.9932621 = 0.0758582; −1 + 1.5·that
        ("exponential", 500, -0.8862127),
        ("exponential", 1000, -1.0),
    ],
)
def test_schedule_by_hand(shape: str, env_steps: int, nats: float) -> None:
    rule = Schedule(start=0.5, end=-1.0, steps=1000, shape=shape)
    (target,), memory = course(rule, BOX, [9.0], env_steps)
    assert target == pytest.approx(nats, abs=1e-6)
    assert rule.value(BOX) == 0.5 and rule.is_dynamic and memory.shape == (0,)


def test_a_schedule_may_rise_and_come_in_any_env_step_s_type() -> None:
    rule = Schedule(start=0.1, end=0.9, steps=10)
    target, _ = rule.update(
        CHOICE, torch.tensor(0.1), torch.empty(0), torch.tensor(1.0), torch.tensor(5, dtype=torch.int64)
    )
    assert target.item() == pytest.approx(0.5) and target.dtype == torch.float32


def test_tes_lowers_once_the_entropy_has_settled() -> None:
    rule = Tes(patience=3)
    start = 0.98 * LOG_4
    assert rule.value(CHOICE) == pytest.approx(start)
    targets, memory = course(rule, CHOICE, [start] * 3)
    assert targets == pytest.approx([start, start, 0.9 * start])  # the third update has seen three
    assert memory.tolist() == [0.0, 0.0, 0.0]  # and the statistics begin anew
    targets, _ = course(rule, CHOICE, [start] * 3 + [0.9 * start] * 3)
    assert targets[-1] == pytest.approx(0.81 * start)


def test_tes_waits_while_the_mean_is_away_from_the_target() -> None:
    rule = Tes(start=1.0, patience=2)
    assert course(rule, CHOICE, [0.985] * 50)[0][-1] == 1.0  # 0.015 away; 0.01 are allowed
    assert course(rule, CHOICE, [1.015] * 50)[0][-1] == 1.0
    assert course(rule, CHOICE, [0.992] * 2)[0][-1] == pytest.approx(0.9)


def test_tes_waits_while_the_entropy_still_swings() -> None:
    # 1 ± 0.06: the mean is 1, the deviation 0.06 > 0.05
    assert course(Tes(start=1.0, patience=2), CHOICE, [0.94, 1.06] * 30)[0][-1] == 1.0
    # 1 ± 0.04 has settled
    assert course(Tes(start=1.0, patience=2), CHOICE, [0.96, 1.04])[0][-1] == pytest.approx(0.9)


def test_tes_statistics_are_those_of_the_updates_so_far() -> None:
    values = [0.2, 0.9, 0.4, 0.7]
    _, memory = course(Tes(start=1.0), CHOICE, values)
    # the first 1/(1 − decay) updates weigh the same: the plain mean and variance
    mean = sum(values) / 4
    variance = sum((value - mean) ** 2 for value in values) / 4
    assert memory.tolist() == pytest.approx([mean, variance, 4.0])


def test_tes_forgets_by_its_decay() -> None:
    _, memory = course(Tes(start=1.0, decay=0.5), CHOICE, [1.0, 0.0, 0.0])
    # weights 1, ½, ½: mean 1 → ½ → ¼; variance 0 → ½(0 + ½·1) = ¼ → ½(¼ + ½·¼) = 3/16
    assert memory.tolist() == pytest.approx([0.25, 0.1875, 3.0])


def test_a_continuous_target_falls_by_the_width_and_stops_at_its_floor() -> None:
    rule = Tes(start=-0.1, patience=1, mean_within=100.0, deviation=100.0)
    targets, _ = course(rule, BOX, [0.0] * 40)
    assert targets[0] == pytest.approx(-0.1 + 3 * math.log(0.9))  # −0.1 − 0.3160815
    assert targets[-1] == -3.0  # −dim A
    assert targets == sorted(targets, reverse=True)
    floored = Tes(start=1.0, floor=0.5, patience=1, mean_within=100.0, deviation=100.0)
    assert course(floored, CHOICE, [0.0] * 40)[0][-1] == 0.5


@pytest.mark.parametrize(
    ("rule", "head", "message"),
    [
        (Schedule(start=0.5, end=1.5), CHOICE, "target_entropy.end=1.5: no policy of the Categorical"),
        (Schedule(start=-0.5, end=1.0), CHOICE, "target_entropy.start=-0.5: no policy"),
        (Schedule(start=0.0, end=2.2), BOX, "target_entropy.end=2.2: no policy"),  # 3·log 2 = 2.079
        (Tes(), BOX, "target_entropy.start=None: continuous actions have no usual start"),
        (Tes(), Normal(1), "target_entropy.start=None"),
        (Tes(start=2.0), CHOICE, "target_entropy.start=2: no policy"),
        (Tes(floor=-1.0), CHOICE, "target_entropy.floor=-1: no policy"),
        (Tes(start=-4.0), BOX, "target_entropy.floor=-3: must be below the start, -4"),
    ],
)
def test_a_course_out_of_reach_is_refused_by_its_key(
    rule: TargetEntropyRule, head: ActionHead, message: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        check_rule(rule, head)
    assert str(caught.value).startswith(message)


def test_only_where_a_course_ends_is_warned_of() -> None:
    assert check_rule(Tes(), CHOICE) is None  # 0.98·log n is left again
    assert check_rule(Schedule(start=0.99 * LOG_4, end=0.5), CHOICE) is None
    warning = check_rule(Schedule(start=0.5, end=0.99 * LOG_4), CHOICE)
    assert warning is not None and warning.startswith("target_entropy.end=1.372 is within 2 %")


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Schedule(start=math.nan, end=0.0), "target_entropy.start=nan"),
        (lambda: Schedule(start=0.0, end=math.inf), "target_entropy.end=inf"),
        (lambda: Schedule(start=0.0, end=1.0, steps=0), "target_entropy.steps=0"),
        (lambda: Schedule(start=0.0, end=1.0, shape="square"), "target_entropy.shape=square"),
        (lambda: Tes(start=math.inf), "target_entropy.start=inf"),
        (lambda: Tes(factor=1.0), "target_entropy.factor=1.0"),
        (lambda: Tes(factor=0.0), "target_entropy.factor=0.0"),
        (lambda: Tes(decay=1.0), "target_entropy.decay=1.0"),
        (lambda: Tes(mean_within=0.0), "target_entropy.mean_within=0.0"),
        (lambda: Tes(deviation=-1.0), "target_entropy.deviation=-1.0"),
        (lambda: Tes(patience=0), "target_entropy.patience=0"),
        (lambda: Tes(floor=math.nan), "target_entropy.floor=nan"),
    ],
)
def test_what_cannot_work_is_refused_by_name(make, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        make()
    assert str(caught.value).startswith(message)
