"""Entropy below its target raises α and above lowers it, whatever rule sets the target."""

import pytest
import torch
from torch import nn

from sac_lightning.algorithm import losses
from sac_lightning.entropy import (
    Constant,
    EpsPeaked,
    HeadDefault,
    LearnedTemperature,
    MaxEntropy,
    MaxRatio,
    NegDim,
    NegHalfDim,
    PerPart,
    Schedule,
    Sigma,
    TargetEntropyRule,
    Tes,
    Zero,
)
from sac_lightning.heads import (
    ActionHead,
    Categorical,
    Hybrid,
    MultiCategorical,
    SampledMultiCategorical,
    TanhNormal,
)

BOX, CHOICE, BOTH = TanhNormal(3), Categorical(4), Hybrid(3, 2)
RULES: list[tuple[TargetEntropyRule, ActionHead]] = [
    (HeadDefault(), BOX),
    (HeadDefault(), CHOICE),
    (HeadDefault(), BOTH),
    (HeadDefault(), MultiCategorical((2, 3))),
    (HeadDefault(), SampledMultiCategorical((20, 20))),
    (PerPart(), BOTH),
    (NegDim(), BOX),
    (NegHalfDim(), BOX),
    (Zero(), BOX),
    (Sigma(), BOX),
    (MaxRatio(), CHOICE),
    (MaxRatio(0.5), BOX),
    (MaxEntropy(), CHOICE),
    (EpsPeaked(), CHOICE),
    (Constant(-2.5), BOX),
    (Constant(0.7), CHOICE),
    (Schedule(start=1.0, end=-3.0, steps=1000), BOX),
    (Schedule(start=1.0, end=0.2, steps=1000), CHOICE),
    (Tes(start=1.0), BOX),
    (Tes(), CHOICE),
]


def alpha_after_one_update(
    rule: TargetEntropyRule, head: ActionHead, form: losses.LossForm, above: float
) -> float:
    """α, 1 before, of a policy whose entropy is that far above the rule's present target."""
    auto = LearnedTemperature(lr=0.1, loss_form=form, target_entropy=rule)
    log_alpha = nn.Parameter(torch.tensor(auto.initial).log())
    optimizer = auto.optimizer.build([log_alpha], auto.lr)
    target, memory = torch.tensor(rule.value(head)), torch.tensor(rule.memory())
    env_steps = torch.tensor(500)
    moved, _ = rule.update(head, target, memory, target, env_steps)
    entropy = moved + above
    target, _ = rule.update(head, target, memory, entropy, env_steps)
    losses.alpha_loss(log_alpha, entropy, target, auto.loss_form).backward()
    optimizer.step()
    return float(auto.alpha(log_alpha, env_steps))


@pytest.mark.parametrize("form", ["log_alpha", "alpha"])
@pytest.mark.parametrize(("rule", "head"), RULES, ids=lambda each: type(each).__name__)
def test_entropy_below_target_raises_alpha_and_above_lowers_it(
    rule: TargetEntropyRule, head: ActionHead, form: losses.LossForm
) -> None:
    assert alpha_after_one_update(rule, head, form, above=-0.3) > 1.0
    assert alpha_after_one_update(rule, head, form, above=0.3) < 1.0


def test_no_rule_is_left_out() -> None:
    # Rules of other packages, which other tests import, are no part of this one.
    ours = {
        each for each in TargetEntropyRule.__subclasses__() if each.__module__.startswith("sac_lightning.")
    }
    assert {type(rule) for rule, _ in RULES} == ours
