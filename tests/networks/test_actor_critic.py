"""The networks: a batched ensemble is its critics one by one, and a target follows slowly."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from sac_lightning import ActorConfig, ConfigError, CriticConfig
from sac_lightning.core.seeding import torch_generator
from sac_lightning.heads import ActionHead, Categorical, TanhNormal
from sac_lightning.networks import Actor, Critic, Mlp, Polyak, ScalarValue
from sac_lightning.networks.encoder import FlatObs
from sac_lightning.optim import Adam
from sac_lightning.spaces import ObsSpec
from sac_lightning.types import WeightedActions

OBS = ObsSpec((3,), "float32")
BOX, CHOICE = TanhNormal(2), Categorical(4)
MODULES = {"relu": nn.ReLU, "elu": nn.ELU, "silu": nn.SiLU, "tanh": nn.Tanh}


def ensemble(head: ActionHead, seed: int = 0, obs: ObsSpec = OBS, **config: object) -> Critic:
    settings = {"hidden_sizes": (8, 5), "num_critics": 3, **config}
    return Critic(obs, head, CriticConfig(**settings), torch_generator(seed))


def layers(network: Actor | Critic) -> list[nn.Module]:
    """The linear layers in order: weight [N, in, out], bias [N, 1, out]."""
    return [*network.torso.linear, network.output]


def q_of(critic: Critic, obs: Tensor, action: Tensor) -> Tensor:
    """Q [N, B] of the actions in a batch."""
    return ScalarValue().mean(critic.features(obs, action))


def q_of_policy(critic: Critic, obs: Tensor, actions: WeightedActions) -> Tensor:
    """Q [N, K, B] of a policy's actions."""
    return ScalarValue().mean(critic.features_of_policy(obs, actions))


def one_by_one(critic: Critic, activation: str) -> list[nn.Sequential]:
    """Each critic as an nn.Sequential with the same weights."""
    alone = []
    for i in range(critic.num_critics):
        parts: list[nn.Module] = []
        for layer in layers(critic):
            weight, bias = layer.weight[i], layer.bias[i, 0]
            linear = nn.Linear(weight.shape[0], weight.shape[1])
            linear.load_state_dict({"weight": weight.detach().T, "bias": bias.detach()})
            parts += [linear, MODULES[activation]()]
        alone.append(nn.Sequential(*parts[:-1]))
    return alone


@pytest.mark.parametrize("activation", list(MODULES))
@pytest.mark.parametrize("num_critics", [2, 3])
def test_ensemble_equals_separate_networks_in_values_and_gradients(activation: str, num_critics: int) -> None:
    critic = ensemble(BOX, torso=Mlp(activation), num_critics=num_critics)
    obs, action = torch.randn(7, 3), torch.rand(7, 2) * 2 - 1
    q = q_of(critic, obs, action)
    alone = one_by_one(critic, activation)
    expected = torch.stack([network(torch.cat((obs, action), -1))[:, 0] for network in alone])
    assert q.shape == (num_critics, 7)
    torch.testing.assert_close(q, expected)
    q.square().sum().backward()
    expected.square().sum().backward()
    for i, network in enumerate(alone):
        for layer, linear in zip(layers(critic), network[::2], strict=True):
            torch.testing.assert_close(layer.weight.grad[i], linear.weight.grad.T)
            torch.testing.assert_close(layer.bias.grad[i, 0], linear.bias.grad)


def test_critics_of_an_ensemble_begin_apart() -> None:
    q = q_of(ensemble(BOX), torch.randn(5, 3), torch.zeros(5, 2))
    assert not torch.allclose(q[0], q[1]) and not torch.allclose(q[1], q[2])


def test_a_discrete_critic_s_taken_is_its_row_of_all_actions() -> None:
    critic, obs = ensemble(CHOICE), torch.randn(6, 3)
    every = q_of_policy(critic, obs, CHOICE.weighted_actions(torch.zeros(6, 4), torch.zeros(6, 0)))
    assert every.shape == (3, 4, 6)
    action = torch.tensor([0, 3, 1, 2, 2, 0])
    picked = torch.stack([every[:, k, b] for b, k in enumerate(action.tolist())], dim=1)
    torch.testing.assert_close(q_of(critic, obs, action), picked)
    expected = torch.stack([network(obs) for network in one_by_one(critic, "relu")])  # [N, B, n]
    torch.testing.assert_close(every, expected.transpose(1, 2))


def test_of_one_atom_is_taken_and_has_a_gradient_in_the_action() -> None:
    critic, obs = ensemble(BOX), torch.randn(6, 3)
    action = torch.rand(1, 6, 2, requires_grad=True)
    log_prob = torch.zeros(1, 6)
    q = q_of_policy(critic, obs, WeightedActions(action, log_prob, log_prob + 1))
    torch.testing.assert_close(q[:, 0], q_of(critic, obs, action[0]))
    (gradient,) = torch.autograd.grad(q.sum(), action)
    assert (gradient.abs().sum(-1) > 0).all()


def test_several_actions_are_each_valued_at_their_own_state() -> None:
    critic, obs = ensemble(BOX), torch.randn(4, 3)
    action = torch.rand(5, 4, 2)
    log_prob = torch.zeros(5, 4)
    q = q_of_policy(critic, obs, WeightedActions(action, log_prob, log_prob + 0.2))
    for k in range(5):
        torch.testing.assert_close(q[:, k], q_of(critic, obs, action[k]))


def test_polyak_by_hand() -> None:
    copies = [torch.tensor([1.0, 2.0]), torch.tensor(10.0)]
    originals = [torch.tensor([3.0, 2.0]), torch.tensor(0.0)]
    Polyak(0.1).update_(copies, originals)
    # 0.9·1 + 0.1·3 = 1.2;  0.9·2 + 0.1·2 = 2;  0.9·10 + 0.1·0 = 9
    torch.testing.assert_close(copies, [torch.tensor([1.2, 2.0]), torch.tensor(9.0)])
    assert originals[0].tolist() == [3.0, 2.0]


def test_polyak_with_tau_one_copies() -> None:
    target, source, polyak = ensemble(BOX, seed=1), ensemble(BOX, seed=2), Polyak(1.0)
    polyak.update_(polyak.tensors(target), polyak.tensors(source))
    for ours, theirs in zip(target.parameters(), source.parameters(), strict=True):
        torch.testing.assert_close(ours, theirs)


def test_bytes_are_scaled_to_the_unit_interval_and_flattened() -> None:
    spec = ObsSpec((2, 2), "uint8")
    obs = torch.tensor([[[0, 51], [102, 255]]], dtype=torch.uint8)
    # 51/255 = 0.2, 102/255 = 0.4
    torch.testing.assert_close(FlatObs(spec)(obs), torch.tensor([[0.0, 0.2, 0.4, 1.0]]))
    assert FlatObs(OBS)(torch.ones(5, 3, dtype=torch.int64)).dtype == torch.float32
    critic = ensemble(CHOICE, obs=spec)
    actions = CHOICE.weighted_actions(torch.zeros(1, 4), torch.zeros(1, 0))
    scaled = [network(torch.tensor([[0.0, 0.2, 0.4, 1.0]])) for network in one_by_one(critic, "relu")]
    torch.testing.assert_close(q_of_policy(critic, obs, actions)[..., 0], torch.cat(scaled))


def test_initialization_depends_on_the_seed_alone() -> None:
    def weights(seed: int) -> list[Tensor]:
        generator = torch_generator(seed)
        networks = (
            Actor(OBS, BOX, ActorConfig(hidden_sizes=(8,)), generator),
            Critic(OBS, BOX, CriticConfig(hidden_sizes=(8,)), generator),
        )
        return [weight.detach() for network in networks for weight in network.parameters()]

    first = weights(3)
    torch.manual_seed(99)
    before = torch.get_rng_state()
    again, other = weights(3), weights(4)
    assert torch.equal(before, torch.get_rng_state())
    assert all(torch.equal(a, b) for a, b in zip(first, again, strict=True))
    assert not any(torch.equal(a, b) for a, b in zip(first, other, strict=True))


def test_initial_weights_lie_within_one_over_root_of_fan_in() -> None:
    critic = ensemble(BOX, hidden_sizes=(64, 64))
    for layer in layers(critic):
        bound = layer.weight.shape[1] ** -0.5
        for values in (layer.weight, layer.bias):
            assert values.abs().max() <= bound
        assert layer.weight.abs().max() > 0.9 * bound and abs(layer.weight.mean()) < 0.1 * bound


def test_actor_is_a_plain_network() -> None:
    actor = Actor(OBS, BOX, ActorConfig(hidden_sizes=(8, 5), torso=Mlp("tanh")), torch_generator(0))
    obs = torch.randn(7, 3)
    first, second, last = layers(actor)
    hidden = torch.tanh(second(torch.tanh(first(obs[None]))))
    torch.testing.assert_close(actor(obs), last(hidden)[0])
    assert actor(obs).shape == (7, BOX.feature_size)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"hidden_sizes": ()}, "hidden_sizes=()"),
        ({"hidden_sizes": (8, 0)}, "hidden_sizes=(8, 0)"),
        ({"num_critics": 1}, "num_critics=1"),
        ({"lr": 0.0}, "lr=0.0"),
    ],
)
def test_bad_settings_are_refused_by_name(settings: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        CriticConfig(**settings)
    assert str(caught.value).startswith(message)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Mlp("gelu"), "torso.activation=gelu"),
        (lambda: Adam(max_grad_norm=-1.0), "optimizer.max_grad_norm=-1.0"),
        (lambda: Adam(lr_schedule="steps"), "optimizer.lr_schedule=steps"),
        (lambda: Adam(lr_final_ratio=1.5), "optimizer.lr_final_ratio=1.5"),
        (lambda: Polyak(0.0), "tau=0.0"),
        (lambda: Polyak(1.5), "tau=1.5"),
    ],
)
def test_bad_settings_of_the_parts_are_refused_by_name(make: Callable[[], object], message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        make()
    assert str(caught.value).startswith(message)


def test_a_bias_is_not_rounded_with_the_products_of_bfloat16() -> None:
    critic = Critic(OBS, Categorical(4), CriticConfig(hidden_sizes=(8,)), torch_generator(0))
    with torch.no_grad():
        critic.output.weight.zero_()
        critic.output.bias.fill_(100.1)  # bfloat16 has 100 and 100.5
    with torch.autocast("cpu", torch.bfloat16):
        q = q_of(critic, torch.randn(5, 3), torch.zeros(5, dtype=torch.int64))
    assert torch.equal(q, torch.full((2, 5), 100.1))
