"""What the diagnostics say, against numbers worked out apart from them; and that looking changes nothing."""

import math
from typing import Any

import pytest
import torch
from scipy import stats
from torch import Tensor, nn

from sac_lightning import ActorConfig, CriticConfig, ReplayDataModule, SACModule
from sac_lightning.algorithm.diagnostics import Diagnostics
from sac_lightning.algorithm.sac import SAC
from sac_lightning.entropy import Constant, Fixed, LearnedTemperature, TemperatureRule
from sac_lightning.heads import ActionHead, Categorical, Normal, TanhNormal
from sac_lightning.networks import Actor, Critic
from sac_lightning.replay import ReplayBuffer
from sac_lightning.spaces import ActionSpec, BoxAction, DiscreteAction, ObsSpec
from sac_lightning.types import Batch, WeightedActions
from tasks import Clock, env_config, fit

NOTHING = torch.zeros(4, dtype=torch.int64), torch.full((4,), math.nan)
SPACES: dict[type[ActionHead], ActionSpec] = {
    Categorical: DiscreteAction(3),
    TanhNormal: BoxAction((-1.0,), (1.0,), (1,)),
    Normal: BoxAction((-math.inf,), (math.inf,), (1,)),
}


class Says(Actor):
    """An actor of known features."""

    def __init__(self, answer: Tensor) -> None:
        nn.Module.__init__(self)
        self.answer, self.action_mask = answer, None

    def forward(self, obs: Tensor) -> Tensor:
        return self.answer


class Values(Critic):
    """Two critics: the square of the action and one more, or a table [n] for choices."""

    def __init__(self, table: Tensor | None = None) -> None:
        nn.Module.__init__(self)
        self.table = table

    def features_of_policy(self, obs: Tensor, actions: WeightedActions) -> Tensor:
        if self.table is None:
            q = actions.action[..., 0].square()
        else:
            q = self.table[:, None].expand(-1, len(obs))
        return torch.stack((q, q + 1.0))[..., None]


def seen(
    head: ActionHead,
    features: Tensor,
    action: Tensor,
    *,
    table: Tensor | None = None,
    age_and_log_prob: tuple[Tensor, Tensor] = NOTHING,
    temperature: TemperatureRule | None = None,
    noise: Tensor | None = None,
) -> dict[str, float]:
    b, (age, log_prob) = len(features), age_and_log_prob
    batch = Batch(
        obs=torch.zeros(b, 1),
        action=action,
        reward=torch.zeros(b),
        next_obs=torch.zeros(b, 1),
        discount=torch.ones(b),
        weight=torch.ones(b),
        index=torch.arange(b),
        log_prob=log_prob,
    )
    rule = temperature or Fixed(0.5)
    noise = torch.zeros(b, head.noise_size) if noise is None else noise
    obs, small = ObsSpec((1,), "float32"), {"hidden_sizes": (8,)}
    actor, critic = ActorConfig(**small), CriticConfig(**small)
    sac = SAC(obs, SPACES[type(head)], head, rule, actor, critic, generator=torch.Generator())
    sac.actor, sac.critic = Says(features), Values(table)
    found = Diagnostics(sac).of(batch, noise, age)
    return {key.removeprefix("diagnostics/"): value.item() for key, value in found.items()}


def test_choices_by_hand() -> None:
    prob = torch.tensor([0.5, 0.25, 0.25])
    metrics = seen(
        Categorical(3),
        prob.log().expand(4, 3),
        torch.tensor([0, 0, 1, 2]),
        table=torch.tensor([1.0, 2.0, 4.0]),
        age_and_log_prob=(torch.tensor([0, 10, 20, 50]), torch.full((4,), math.log(1 / 3))),
        temperature=LearnedTemperature(init=0.5, target_entropy=Constant(0.4)),
    )
    entropy = 1.5 * math.log(2)  # ½ log 2 + 2·¼ log 4
    assert metrics["entropy_squashed"] == pytest.approx(entropy)
    assert metrics["effective_actions"] == pytest.approx(2**1.5)
    assert metrics["q_gap"] == pytest.approx(2.0)  # 4 − (½·1 + ¼·2 + ¼·4)
    assert metrics["q_disagreement"] == pytest.approx(1.0)
    assert metrics["q_spread"] == 0.0
    assert metrics["data_age"] == 20.0
    # mean of log(π/⅓) = ½ log 1.5 + ½ log 0.75
    assert metrics["policy_shift"] == pytest.approx(0.5 * math.log(1.5 * 0.75))
    assert metrics["alpha_grad"] == pytest.approx(entropy - 0.4)
    assert not {"sigma", "saturated"} & metrics.keys()


def test_the_gaussian_before_squashing_stands_beside_the_squashed_action() -> None:
    # log σ = −5 + 3.5·(tanh r + 1) = 0 for tanh r = 3/7: σ = 1
    features = torch.tensor([[3.0, math.atanh(3 / 7)]]).expand(4, 2)
    metrics = seen(TanhNormal(1), features, torch.tensor([[0.9], [0.99], [-0.5], [1.0]]))
    assert metrics["sigma"] == pytest.approx(1.0, rel=1e-5)
    assert metrics["entropy_gaussian"] == pytest.approx(1.4189385, rel=1e-5)  # ½ log 2πe
    # ε = 0, u = 3: −log π = ½ log 2π + log(1 − tanh² 3) = 0.9189385 − 4.6186627
    assert metrics["entropy_squashed"] == pytest.approx(
        0.9189385 + math.log(1 - math.tanh(3.0) ** 2), rel=1e-5
    )
    assert metrics["saturated"] == 1.0  # tanh 3 = 0.995
    assert math.isnan(metrics["policy_shift"])  # nothing is known of where these actions come from
    half = torch.tensor([[-2.0], [-2.0], [1.0], [1.0]])
    features = torch.tensor([[0.0, math.atanh(3 / 7)]]).expand(4, 2)
    # tanh of 2 is 0.964, of 3 is 0.995
    assert seen(TanhNormal(1), features, half.tanh(), noise=1.5 * half)["saturated"] == 0.5


def test_the_gap_of_a_continuous_policy_is_that_of_eight_draws() -> None:
    features = torch.tensor([[0.0, math.atanh(3 / 7)]]).expand(16, 2)
    noise = torch.arange(16.0)[:, None] / 4
    # Two states, eight draws each: u = 0, ½, 1 … 3½ and ¼, ¾ … 3¾; Q = u²
    draws = (noise[:, 0].view(8, 2)) ** 2
    gap = (draws.amax(0) - draws.mean(0)).mean().item()
    nothing = torch.zeros(16, dtype=torch.int64), torch.zeros(16)
    metrics = seen(Normal(1), features, torch.zeros(16, 1), noise=noise, age_and_log_prob=nothing)
    assert metrics["q_gap"] == pytest.approx(gap, rel=1e-4) and gap > 5


@pytest.mark.parametrize("head", [Normal(2), TanhNormal(2)])
def test_density_of_a_given_action_is_that_of_the_atom_it_came_from(head: ActionHead) -> None:
    features, noise = 0.3 * torch.randn(50, 4), torch.randn(50, 2).clamp(-2, 2)
    actions = head.weighted_actions(features, noise)
    torch.testing.assert_close(
        head.log_prob(features, actions.action[0]), actions.log_prob[0], atol=2e-3, rtol=1e-3
    )


def test_density_of_a_plain_gaussian_is_scipy_s() -> None:
    features = torch.tensor([[0.5, math.atanh(3 / 7)]])
    found = Normal(1).log_prob(features, torch.tensor([[1.7]])).item()
    assert found == pytest.approx(stats.norm(0.5, 1.0).logpdf(1.7), rel=1e-5)


def test_density_stays_finite_where_an_action_has_rounded_to_one() -> None:
    found = TanhNormal(1).log_prob(torch.tensor([[9.0, 0.0]] * 2), torch.tensor([[1.0], [-1.0]]))
    assert torch.isfinite(found).all()


def clocks(discrete: bool, **options: Any) -> ReplayDataModule:
    common = {"total_env_steps": 60, "steps_per_epoch": 60, "learning_starts": 20, "batch_size": 8}
    config = env_config(Clock, kwargs={"length": 4, "discrete": discrete})
    return ReplayDataModule(config, **{**common, **options})


def nets() -> dict[str, Any]:
    small: dict[str, Any] = {"hidden_sizes": (8,), "lr": 3e-3}
    return {"actor": ActorConfig(**small), "critic": CriticConfig(**small)}


@pytest.mark.parametrize("discrete", [True, False])
def test_every_run_tells_them_once_a_row(discrete: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    looks: list[int] = []
    rows: list[dict[str, float]] = []
    of, log_metrics = Diagnostics.of, SACModule.log_metrics
    monkeypatch.setattr(Diagnostics, "of", lambda self, *rest: looks.append(1) or of(self, *rest))
    monkeypatch.setattr(
        SACModule,
        "log_metrics",
        lambda self, row, steps: rows.append(row) or log_metrics(self, row, steps),
    )
    fit(clocks(discrete), log_every_n_env_steps=10, **nets())
    assert len(looks) == 4  # rows at 30, 40, 50, 60; the warm-up's have no update
    metrics = [{key for key in row if key.startswith("diagnostics/")} for row in rows if "train/alpha" in row]
    common = (
        "alpha_grad data_age effective_actions entropy_squashed policy_shift q_disagreement q_gap q_spread"
    )
    gaussian = set() if discrete else {"sigma", "saturated", "entropy_gaussian"}
    assert metrics == [{f"diagnostics/{name}" for name in {*common.split(), *gaussian}}] * 4
    assert all(math.isfinite(value) for row in rows for value in row.values())


@pytest.mark.parametrize("discrete", [True, False])
def test_looking_changes_no_weight(discrete: bool) -> None:
    often = fit(clocks(discrete), log_every_n_env_steps=1, **nets())
    never = fit(clocks(discrete), log_every_n_env_steps=1000, **nets())
    for name, value in often.state_dict().items():
        assert torch.equal(value, never.state_dict()[name]), name


@pytest.mark.parametrize("discrete", [True, False])
def test_a_policy_that_has_not_moved_has_no_shift_and_ages_are_env_steps(discrete: bool) -> None:
    still = ActorConfig(hidden_sizes=(8,), lr=1e-40)
    data = clocks(
        discrete, learning_starts=0, replay=ReplayBuffer(40), total_env_steps=100, steps_per_epoch=100
    )
    # A density divides the rounding of the action by σ, and batches of other sizes round in another way.
    head = None if discrete else TanhNormal(1, log_std_min=-1.0)
    fit(data, actor=still, critic=CriticConfig(hidden_sizes=(8,)), head=head)
    assert data.experience is not None
    replay = data.experience.replay
    batch, age = replay.sample(500), replay.age()[0]
    module = SACModule(*data.specs, actor=still, head=head)
    now, then = module.sac.head.log_prob(module.sac.actor(batch.obs), batch.action), batch.log_prob
    known = torch.isfinite(then)  # of every eighth step
    torch.testing.assert_close(now[known], then[known], atol=1e-5, rtol=0.0)
    assert torch.equal(known, (99 - age) % 8 == 0)
    assert int(age.min()) >= 0 and int(age.max()) == 39  # the ring holds the last 40
    # A clock's episodes have length 4, so transition i began at step i mod 4 of its episode i // 4.
    number = batch.obs[:, 0] * 4 + batch.obs[:, 1]
    torch.testing.assert_close(99 - number, age.float())


@pytest.mark.parametrize("discrete", [True, False])
def test_every_eighth_action_has_its_density_in_the_warm_up_the_uniform_one(discrete: bool) -> None:
    data = clocks(discrete)
    fit(data, **nets())
    assert data.experience is not None
    log_prob = data.experience.replay.store.log_prob
    uniform = -math.log(3) if discrete else -math.log(2)  # three choices; a box of width 2
    known = torch.isfinite(log_prob)
    assert known.nonzero().flatten().tolist() == list(range(0, len(log_prob), 8))
    assert log_prob[:20:8].tolist() == pytest.approx([uniform] * 3)
    assert (log_prob[24::8] - uniform).abs().min() > 0
