"""Action masks: no forbidden action is ever taken, and entropies are those of the allowed actions."""

import math

import numpy as np
import pytest
import torch

from built import SPACES, sac_of
from sac_lightning.algorithm.sac import SAC
from sac_lightning.entropy import LearnedTemperature
from sac_lightning.entropy.target_entropy import Constant, PerPart
from sac_lightning.networks import ActorConfig, CriticConfig
from sac_lightning.networks.action_mask import ActionMask
from sac_lightning.spaces import ObsPart, ObsSpec
from sac_lightning.types import Batch


def masked_obs(choices: tuple[int, ...]) -> ObsSpec:
    size = sum(choices)
    parts = ObsPart("obs", (3,), "float32"), ObsPart("mask", (size,), "bool", mask_of=choices)
    return ObsSpec((3 + size,), "float32", parts)


def rows(mask: list[int], states: int) -> torch.Tensor:
    return torch.cat((torch.randn(states, 3), torch.tensor(mask).expand(states, -1)), dim=-1)


# The head, a mask of its choices, and which of its choices' values are forbidden.
MASKS = {
    "categorical": [1, 0, 1, 0],
    "multi_categorical": [0, 1, 1, 1, 0],
    "sampled": [*([0] * 15), 1, 1, *([1, 0] * 8), 1],
    "hybrid": [0, 1, 1],
}


def chosen(head: str, action: torch.Tensor) -> torch.Tensor:
    """The choices of actions, as one-hot vectors one after the other."""
    space = SPACES[head][0]
    if action.ndim == 1:
        index = torch.stack(torch.unravel_index(action, space.choices), dim=-1)
        parts = [torch.nn.functional.one_hot(index[:, d], n) for d, n in enumerate(space.choices)]
        return torch.cat(parts, dim=-1)
    return action[:, : sum(space.choices)]


@pytest.mark.parametrize("name", MASKS)
def test_no_forbidden_action_is_drawn_and_the_entropy_is_that_of_the_allowed_ones(name: str) -> None:
    (space, head), mask = SPACES[name], torch.tensor(MASKS[name])
    obs, states = rows(MASKS[name], 100_000), 100_000
    features = torch.randn(1, head.feature_size).expand(states, -1)
    masked = ActionMask(masked_obs(space.choices))(features, obs)
    drawn = chosen(name, head.sample(masked, torch.Generator().manual_seed(0)))
    assert (drawn[:, mask == 0] == 0).all() and drawn.any(dim=0).tolist() == mask.bool().tolist()
    assert (chosen(name, head.mode(masked[:1]))[:, mask == 0] == 0).all()
    noise = torch.randn(2000, head.noise_size)
    actions = head.weighted_actions(masked[:2000], noise)
    for weight, action in zip(actions.weight, actions.action, strict=True):
        assert (weight[(chosen(name, action)[:, mask == 0] != 0).any(dim=-1)] == 0.0).all()
    torch.testing.assert_close(actions.weight.sum(dim=0), torch.ones(2000))
    logits, expected = features[0, : len(mask)], 0.0
    for part, bits in zip(logits.split(space.choices), mask.split(space.choices), strict=True):
        expected += float(torch.distributions.Categorical(logits=part[bits == 1]).entropy())
    if name == "hybrid":
        expected = math.nan  # its numbers add to it, by sampling
        assert head.diagnostics(masked[:1], actions)["entropy_choice"] < math.log(2.0)
    # Two thousand estimates of the sampled head; all others are exact.
    tolerance = 0.02 if name == "sampled" else 1e-5
    assert math.isnan(expected) or float(actions.entropy.mean()) == pytest.approx(expected, abs=tolerance)


def test_nothing_allowed_means_that_everything_is() -> None:
    mask = ActionMask(masked_obs((2, 3)))
    obs = torch.cat((rows([0, 0, 0, 1, 0], 1), rows([1, 0, 1, 1, 0], 1)))
    assert mask.allowed(obs).tolist() == [[True, True, False, True, False], [True, False, True, True, False]]
    # log 2 + log 1 and log 1 + log 2, of log 2 + log 3.
    assert float(mask.share(obs)) == pytest.approx(math.log(2) / math.log(6))


def masked_sac(name: str, rule: LearnedTemperature) -> SAC:
    space, head = SPACES[name]
    small = {"hidden_sizes": (8,)}
    generator = torch.Generator().manual_seed(0)
    return SAC(
        masked_obs(space.choices),
        space,
        head,
        rule,
        ActorConfig(**small),
        CriticConfig(**small),
        generator=generator,
    )


def test_the_target_entropy_refers_to_the_allowed_actions() -> None:
    half = torch.cat((rows([1, 1, 0, 0], 1), rows([0, 0, 0, 1], 1)))  # log 2 and log 1, of log 4: a quarter
    batch = Batch(half, *(torch.zeros(2),) * 2, half, *(torch.zeros(2),) * 2, torch.arange(2), torch.zeros(2))
    sac = masked_sac("categorical", LearnedTemperature())
    assert float(sac.target_of_allowed(sac.target_entropy, batch)) == pytest.approx(0.5 * math.log(4) / 4)
    sac = masked_sac("categorical", LearnedTemperature(target_entropy=Constant(1.0)))
    assert float(sac.target_of_allowed(sac.target_entropy, batch)) == pytest.approx(0.25)
    # Hybrid: 0.3 log 3 − 2 becomes 0.3 log 2 − 2 with two of three choices.
    two = rows([0, 1, 1], 2)
    sac = masked_sac("hybrid", LearnedTemperature(target_entropy=PerPart(0.3)))
    found = float(sac.target_of_allowed(sac.target_entropy, batch._replace(obs=two)))
    assert found == pytest.approx(0.3 * math.log(2) - 2)
    unmasked = sac_of("categorical")
    assert unmasked.target_of_allowed(unmasked.target_entropy, batch) is unmasked.target_entropy


@pytest.mark.parametrize("name", MASKS)
def test_random_actions_are_allowed_and_uniform(name: str) -> None:
    space, mask = SPACES[name][0], np.array(MASKS[name], bool)
    drawn = space.random(np.random.default_rng(0), 20_000, np.tile(mask, (20_000, 1)))
    frequency = chosen(name, torch.from_numpy(drawn)).double().mean(dim=0).numpy()
    expected = np.concatenate([part / part.sum() for part in np.split(mask, np.cumsum(space.choices)[:-1])])
    assert (frequency[~mask] == 0).all() and np.abs(frequency - expected).max() < 0.02
