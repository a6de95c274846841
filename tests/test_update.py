"""Gradients of one update: each objective moves its own network and nothing else."""

import json
import os
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from sac_lightning import ActorConfig, CriticConfig, ReplayDataModule, SACModule, losses
from sac_lightning.hardware import has_compiler
from sac_lightning.heads import (
    ActionHead,
    Categorical,
    Hybrid,
    MultiCategorical,
    Normal,
    SampledMultiCategorical,
    TanhNormal,
)
from sac_lightning.learner import GradientOf
from sac_lightning.objectives import ActorObjective, CriticObjective
from sac_lightning.seeding import Streams, torch_generator
from sac_lightning.spaces import (
    ActionSpec,
    BoxAction,
    DiscreteAction,
    HybridAction,
    MultiDiscreteAction,
    ObsSpec,
)
from sac_lightning.types import Batch, PolicyAtoms, Sample
from sac_lightning.update import Parts, Update
from tasks import Clock, env_config, fit


class Scaled(TanhNormal):
    """A head from outside, with an operation at which PyTorch 2.13 ends the process if called from C++."""

    def atoms(self, features: Tensor, noise: Tensor) -> PolicyAtoms:
        (norm,) = torch._foreach_norm([features.mean()])
        return super().atoms(features / (1.0 + norm), noise)


OBS = ObsSpec((3,), "float32")
SPACES: dict[str, tuple[ActionSpec, ActionHead]] = {
    "tanh_normal": (BoxAction((-1.0,) * 2, (1.0,) * 2, (2,)), TanhNormal(2)),
    "normal": (BoxAction((-float("inf"),) * 2, (float("inf"),) * 2, (2,)), Normal(2)),
    "categorical": (DiscreteAction(4), Categorical(4)),
    "multi_categorical": (MultiDiscreteAction((2, 3), (0, 0), (2,)), MultiCategorical((2, 3))),
    "sampled": (MultiDiscreteAction((17, 17), (0, 0), (2,)), SampledMultiCategorical((17, 17))),
    "scaled": (BoxAction((-1.0,) * 2, (1.0,) * 2, (2,)), Scaled(2)),
    "hybrid": (HybridAction(3, BoxAction((-1.0,) * 2, (1.0,) * 2, (2,))), Hybrid(3, 2)),
}
every_head = pytest.mark.parametrize("head", list(SPACES))


def module_of(head: str, gamma: float = 0.9, **options: Any) -> SACModule:
    """A module whose targets lag behind its critics, as they do once it has learned something."""
    small = {"hidden_sizes": (16, 16)}
    module = SACModule(
        OBS,
        *SPACES[head],
        actor=ActorConfig(**small),
        critic=CriticConfig(**small),
        gamma=gamma,
        **options,
    )
    with torch.no_grad():
        for weight in module.target_critic.parameters():
            weight.mul_(0.7)
    return module


def batch_of(head: str, size: int = 8) -> Batch:
    rng = np.random.default_rng(torch.randint(1000, (1,)).numpy())
    action = torch.from_numpy(SPACES[head][0].random(rng, size))
    ends = torch.rand(size) < 0.3
    return Batch(torch.randn(size, 3), action, torch.randn(size), torch.randn(size, 3), ends)


def sample_of(head: str, size: int = 8) -> Sample:
    """Some of more transitions, one of them perhaps twice."""
    return Sample(batch_of(head, 3 * size), torch.randint(3 * size, (size,)))


def noise_of(head: str, size: int = 8) -> Tensor:
    return torch.randn(size, SPACES[head][1].noise_size)


@every_head
def test_critic_gradient_is_that_of_the_loss_written_out(head: str) -> None:
    module, batch, noise = module_of(head), batch_of(head), noise_of(head)
    alpha = torch.tensor(0.3)
    objective = CriticObjective(module.actor, module.critic, module.target_critic, module.head, 0.9)
    result = GradientOf(objective, "critic")(batch, noise, alpha)

    atoms = module.head.atoms(module.actor(batch.next_obs), noise)
    value = losses.soft_value(module.target_critic.of_atoms(batch.next_obs, atoms), atoms, alpha).detach()
    y = batch.reward + 0.9 * (1.0 - batch.terminated.float()) * value
    q = module.critic.taken(batch.obs, batch.action)
    loss = sum(0.5 * ((q[i] - y) ** 2).mean() for i in range(2))
    expected = torch.autograd.grad(loss, list(module.critic.parameters()))
    torch.testing.assert_close(result.loss, loss.detach())
    torch.testing.assert_close(result.told, q.mean().detach())
    torch.testing.assert_close(tuple(result.gradients), expected)


@every_head
def test_actor_gradient_is_that_of_the_loss_written_out(head: str) -> None:
    module, batch, noise = module_of(head), batch_of(head), noise_of(head)
    alpha = torch.tensor(0.3)
    result = GradientOf(ActorObjective(module.actor, module.critic, module.head), "actor")(
        batch, noise, alpha
    )

    atoms = module.head.atoms(module.actor(batch.obs), noise)
    q = module.critic.of_atoms(batch.obs, atoms).min(dim=0).values
    loss = (atoms.prob * (alpha * atoms.log_prob - q)).sum(0).mean()
    expected = torch.autograd.grad(loss, list(module.actor.parameters()))
    torch.testing.assert_close(result.loss, loss.detach())
    torch.testing.assert_close(result.told, atoms.entropy.mean().detach())
    torch.testing.assert_close(tuple(result.gradients), expected)


@every_head
def test_an_objective_leaves_no_gradient_behind_anywhere(head: str) -> None:
    module, batch, noise = module_of(head), batch_of(head), noise_of(head)
    critic = CriticObjective(module.actor, module.critic, module.target_critic, module.head, 0.9)
    critics = GradientOf(critic, "critic")(batch, noise, torch.tensor(0.3))
    actors = GradientOf(ActorObjective(module.actor, module.critic, module.head), "actor")(
        batch, noise, torch.tensor(0.3)
    )
    assert all(weight.grad is None for weight in module.parameters())
    assert [g.shape for g in critics.gradients] == [w.shape for w in module.critic.parameters()]
    assert [g.shape for g in actors.gradients] == [w.shape for w in module.actor.parameters()]
    for tensor in (critics.loss, critics.told, actors.loss, actors.told):
        assert not tensor.requires_grad


@every_head
def test_bfloat16_products_leave_densities_and_losses_in_float32(head: str) -> None:
    module, batch, noise = module_of(head), batch_of(head, 64), noise_of(head, 64)
    critic = CriticObjective(module.actor, module.critic, module.target_critic, module.head, 0.9)
    for objective, network in (
        (critic, "critic"),
        (ActorObjective(module.actor, module.critic, module.head), "actor"),
    ):
        exact = GradientOf(objective, network)(batch, noise, torch.tensor(0.3))
        half = GradientOf(objective, network, autocast=True)(batch, noise, torch.tensor(0.3))
        assert half.loss.dtype == half.told.dtype == torch.float32
        assert all(g.dtype == torch.float32 and torch.isfinite(g).all() for g in half.gradients)
        # bfloat16 has 8 bits: near, and (or autocast did nothing) not equal
        torch.testing.assert_close(half.loss, exact.loss, rtol=0.05, atol=0.05)
        assert not all(torch.equal(a, b) for a, b in zip(half.gradients, exact.gradients, strict=True))
    with torch.autocast("cpu", torch.bfloat16):
        atoms = module.head.atoms(module.actor(batch.obs), noise)
        assert atoms.log_prob.dtype == atoms.prob.dtype == torch.float32
        assert module.critic.of_atoms(batch.obs, atoms).dtype == torch.float32


def stepped_with(module: SACModule, optimizer: int) -> list[Tensor]:
    """The gradients of the first update, as Adam remembers them: its mean is then 0.1 of each."""
    return [state["exp_avg"] / 0.1 for state in module.trainer.optimizers[optimizer].state.values()]


def test_an_update_steps_the_critics_first_and_the_actor_sees_them_stepped() -> None:
    config = env_config(Clock, kwargs={"length": 4, "discrete": False})
    data = ReplayDataModule(
        config, total_env_steps=11, steps_per_epoch=11, learning_starts=10, batch_size=8, seed=6
    )
    small = {"hidden_sizes": (8,)}
    options: dict[str, Any] = {"actor": ActorConfig(**small), "critic": CriticConfig(**small), "seed": 6}
    fresh, trained = SACModule(*data.specs, **options), fit(data, **options)
    # The one update's mini-batch and noise, drawn again from the streams of the seed
    replay = data.collection.replay
    replay.generator.manual_seed(Streams.of(6).replay)
    batch, alpha = replay.sample(1, 8).at(0), torch.tensor(1.0)
    for_critic, for_actor = torch.randn(2, 8, 1, generator=torch_generator(Streams.of(6).update))
    critic = CriticObjective(fresh.actor, fresh.critic, fresh.target_critic, fresh.head, fresh.gamma)
    expected = GradientOf(critic, "critic")(batch, for_critic, alpha).gradients
    torch.testing.assert_close(stepped_with(trained, 0), list(expected))
    actor = ActorObjective(fresh.actor, trained.critic, fresh.head)
    expected = GradientOf(actor, "actor")(batch, for_actor, alpha).gradients
    torch.testing.assert_close(stepped_with(trained, 1), list(expected))


def told_by(code: str) -> Any:
    """What `code` tells last, in a process without the type checker, which a full graph cannot contain."""
    line = [sys.executable, "-c", textwrap.dedent(code), str(Path(__file__).parent)]
    ran = subprocess.run(line, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr
    return json.loads(ran.stdout.splitlines()[-1])


COMPARE = """
    import json, sys
    sys.path.insert(0, sys.argv[1])
    import torch
    from torch.optim import Adam
    torch.set_num_threads(1)
    from test_update import *
    from sac_lightning.ahead import Ahead
    from sac_lightning.entropy import Auto
    from sac_lightning.update import Parts, Update

    def stepped(module, update, *given):
        # Metrics, and the actions of two obs under the policy that has been stepped.
        obs, noise = torch.randn(2, 3), module.head.draw_acting_noise(2, torch.default_generator)
        if update.acts_ahead:
            ahead = Ahead(obs, noise)
            metrics = update(*given, ahead)
            action, log_prob = ahead.chosen
        else:
            metrics = update(*given)
            with torch.no_grad():
                features = module.actor(obs)
                action = module.head.act(features, noise)
                log_prob = module.head.log_prob(features, action)
        told = {**metrics, "log_prob": log_prob.sum()}
        told |= {f"action_{i}": each for i, each in enumerate(action.flatten())}
        return {key: float(value) for key, value in told.items()}

    def updates(head, gamma, lr, compiled, rule):
        torch.manual_seed(0)
        module = module_of(head, gamma=gamma, temperature=rule)
        owned = (module.critic.parameters(), module.actor.parameters(), [module.log_alpha])
        optimizers = [Adam(each, lr=1e-3) for each in owned]
        update = Update(Parts.of(module), optimizers, compiled=compiled)
        rows = []
        for step in range(4):
            if step == 2:
                optimizers[0].param_groups[0]["lr"] = lr
            noise = torch.stack((noise_of(head), noise_of(head)))
            rows.append(stepped(module, update, sample_of(head), noise))
        assert update.acts_ahead == (compiled and head != "scaled")
        slots = [slot for optimizer in optimizers for slot in optimizer.state.values()]
        return rows, [*module.state_dict().values(), *(each for slot in slots for each in slot.values())]

    found = {}
    # The second and third share everything with the first but a number: each needs a graph of its own.
    others = ("categorical", "sampled", "hybrid", "scaled")
    for case in (("tanh_normal", 0.9, 1e-3), ("tanh_normal", 0.5, 1e-3), ("tanh_normal", 0.9, 1e-2),
                 *((head, 0.9, 1e-3) for head in others)):
        rule = Auto(max_grad_norm=0.1, init=0.5, max=0.5)
        (rows, eager), (compiled_rows, compiled) = (updates(*case, flag, rule) for flag in (False, True))
        assert len(rows[0]) > 7
        assert len(eager) == len(compiled) > 40
        gaps = [float((a.double() - b.double()).abs().max()) for a, b in zip(eager, compiled, strict=True)]
        gaps += [abs(a[key] - b[key]) for a, b in zip(rows, compiled_rows, strict=True) for key in a]
        found[" ".join(map(str, case))] = max(gaps), rows[-1]["train/critic_loss"]
    found["recompiled"] = torch._dynamo.utils.counters["stats"]["unique_graphs"], 7
    print(json.dumps(found))
"""


@pytest.mark.skipif(not has_compiler(), reason="needs a C++ compiler (g++ or clang++)")
def test_compiled_and_eager_updates_agree_and_nothing_compiles_twice() -> None:
    found = told_by(COMPARE)
    graphs, wanted = found.pop("recompiled")
    assert graphs == wanted
    assert len(found) == 7
    assert max(gap for gap, _ in found.values()) < 1e-5, found
    losses_of = [loss for _, loss in found.values()]
    assert len(set(losses_of)) == 7


WHOLE_LOOP = """
    import json, sys
    sys.path.insert(0, sys.argv[1])
    import torch
    from sac_lightning import Policy
    from test_update import *

    torch.set_num_threads(1)
    alone, found = [], {}
    for name in ("sample", "sample_with_log_prob"):
        def counted(*given, own=getattr(Policy, name)):
            alone.append(given)
            return own(*given)
        setattr(Policy, name, counted)
    for updates, envs in ((1.0, 1), (2.0, 1), (0.5, 2)):
        stored = []
        for compiled in (False, True):
            alone.clear()
            data = ReplayDataModule("Pendulum-v1", total_env_steps=60, steps_per_epoch=60, learning_starts=20,
                                    batch_size=8, num_envs=envs, utd_ratio=updates)
            small = {"hidden_sizes": (16, 16)}
            module = fit(data, actor=ActorConfig(**small), critic=CriticConfig(**small), compile=compiled)
            store = data.collection.replay.store
            stored.append((store.obs[:60], store.action[:60], store.log_prob[:60].nan_to_num(-9.0)))
        gaps = [float((a - b).abs().max()) for a, b in zip(*stored, strict=True)]
        found[f"{updates} {envs}"] = max(gaps), len(alone), int(module.grad_steps)
    print(json.dumps(found))
"""


@pytest.mark.skipif(not has_compiler(), reason="needs a C++ compiler (g++ or clang++)")
def test_a_compiled_run_collects_what_the_eager_one_does_and_acts_in_its_updates() -> None:
    found = told_by(WHOLE_LOOP)
    assert max(gap for gap, *_ in found.values()) < 1e-3, found
    by_itself = {case: alone for case, (_, alone, _) in found.items()}
    # The first action by the policy precedes the first update; with two updates a turn all are by themselves.
    assert by_itself == {"1.0 1": 1, "2.0 1": 40, "0.5 2": 1}
    assert [updates for *_, updates in found.values()] == [40, 80, 20]


CACHED = """
    import sys
    sys.path.insert(0, sys.argv[1])
    import torch
    from torch._dynamo.utils import counters
    from test_update import *

    torch.set_num_threads(1)
    module = module_of("tanh_normal")
    owned = (module.critic.parameters(), module.actor.parameters(), [module.log_alpha])
    update = Update(Parts.of(module), [torch.optim.Adam(each) for each in owned], compiled=True)
    update(sample_of("tanh_normal"), torch.stack((noise_of("tanh_normal"), noise_of("tanh_normal"))))
    print(counters["aot_autograd"]["autograd_cache_hit"])
"""


@pytest.mark.skipif(not has_compiler(), reason="needs a C++ compiler (g++ or clang++)")
def test_a_graph_that_was_compiled_before_is_read_from_the_cache(tmp_path: Path) -> None:
    line = [sys.executable, "-c", textwrap.dedent(CACHED), str(Path(__file__).parent)]
    environment = {**os.environ, "TORCHINDUCTOR_CACHE_DIR": str(tmp_path)}
    hits = []
    for _ in range(2):
        ran = subprocess.run(line, capture_output=True, text=True, check=False, env=environment)
        assert ran.returncode == 0, ran.stderr
        hits.append(ran.stdout.splitlines()[-1])
    assert hits == ["0", "1"]


class Waits(TorchDispatchMode):
    """Fails where a number leaves its tensor: on a GPU that would wait for everything before it."""

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        assert func not in (torch.ops.aten._local_scalar_dense.default, torch.ops.aten.item.default), func
        moved = (kwargs or {}).get("device")
        assert moved is None or torch.device(moved).type == "cpu"
        return func(*args, **(kwargs or {}))


@every_head
def test_an_update_never_waits_for_the_device(head: str) -> None:
    module = module_of(head)
    owned = (module.critic.parameters(), module.actor.parameters(), [module.log_alpha])
    update = Update(Parts.of(module), [torch.optim.Adam(each) for each in owned])
    with Waits():
        for _ in range(2):
            update(sample_of(head), torch.stack((noise_of(head), noise_of(head))))
        with pytest.raises(AssertionError):
            float(torch.ones(()))  # the mode sees it
