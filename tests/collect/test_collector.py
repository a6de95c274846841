"""What is stored of an episode's end, under both autoreset modes; who acts; what is counted."""

import operator
import threading
from typing import Any

import numpy as np
import pytest
import torch

from sac_lightning import ActorConfig, Policy
from sac_lightning.collect.collector import Collector, Episode
from sac_lightning.compile.fused_action import FusedAction
from sac_lightning.core.seeding import torch_generator
from sac_lightning.envs import action_spec, obs_spec
from sac_lightning.envs.guard import EnvError
from sac_lightning.heads import head_for
from sac_lightning.networks import Actor
from sac_lightning.replay import ReplayBuffer
from tasks import Clock, env_config

both_modes = pytest.mark.parametrize("autoreset", ["same_step", "next_step"])
widths = pytest.mark.parametrize("num_envs", [1, 3])


class Run:
    """A collector over clocks, with everything it is made of."""

    def __init__(
        self,
        autoreset: str = "same_step",
        num_envs: int = 1,
        *,
        length: int = 3,
        truncates: bool = False,
        learning_starts: int = 0,
        discrete: bool = True,
        seed: int = 0,
        overlap: bool = False,
        noise_hold_max: int = 1,
        make: type[Clock] = Clock,
    ) -> None:
        kwargs = {"length": length, "truncates": truncates, "discrete": discrete}
        config = env_config(make, autoreset=autoreset, kwargs=kwargs)
        self.envs = config.build_vector(num_envs)
        obs = obs_spec(self.envs.single_observation_space)
        action = action_spec(self.envs.single_action_space)
        head = head_for(action)
        actor = Actor(obs, head, ActorConfig(hidden_sizes=(4,)), torch_generator(seed))
        self.policy = Policy(actor, head, obs, action)
        self.replay = ReplayBuffer.of(1000, obs, action, seed=0)
        self.collector = Collector(
            self.envs,
            action,
            self.replay,
            env_seed=1,
            action_seed=2,
            learning_starts=learning_starts,
            next_step_autoreset=autoreset == "next_step",
            overlap=overlap,
            noise_hold_max=noise_hold_max,
        )

    def collect(self, steps: int) -> list[Episode]:
        return self.collector.collect(self.policy, steps)

    @property
    def stored(self) -> list[tuple[tuple[int, int], float, tuple[int, int], bool]]:
        """(episode, count), reward, next (episode, count), terminated of each row."""
        fields = (self.replay.store.obs, self.replay.store.reward, self.replay.store.next_obs)
        obs, reward, next_obs = (field[: len(self.replay)].tolist() for field in fields)
        ends = self.replay.store.terminated[: len(self.replay)].tolist()
        return [
            ((int(o[0]), int(o[1])), r, (int(n[0]), int(n[1])), e)
            for o, r, n, e in zip(obs, reward, next_obs, ends, strict=True)
        ]


@both_modes
@widths
@pytest.mark.parametrize("truncates", [False, True])
def test_no_stored_transition_crosses_an_episode_s_boundary(
    autoreset: str, num_envs: int, truncates: bool
) -> None:
    run = Run(autoreset, num_envs, truncates=truncates)
    run.collect(12)
    rows = run.stored
    for (episode, count), reward, next_obs, terminated in rows:
        # The reward of a clock is the number of the step, and next_obs is one later in the SAME episode.
        assert next_obs == (episode, count + 1)
        assert reward == count + 1
        assert terminated == (count + 1 == 3 and not truncates)
    # Every step of every episode is there as often as there are envs: 12 calls make 4 episodes of 3
    # under SAME_STEP, and 3 of (3 steps + 1 for the reset) under NEXT_STEP.
    episodes = 4 if autoreset == "same_step" else 3
    expected = [(episode, count) for episode in range(episodes) for count in range(3)] * num_envs
    assert sorted(obs for obs, *_ in rows) == sorted(expected)


@both_modes
def test_a_truncated_transition_leads_to_the_final_observation(autoreset: str) -> None:
    run = Run(autoreset, length=2, truncates=True)
    run.collect(3)
    # The step that was cut: from (0, 1) to the final observation (0, 2), which is no start of an episode.
    assert run.stored[1] == ((0, 1), 2.0, (0, 2), False)


@both_modes
def test_envs_out_of_step_with_one_another_keep_their_own_boundaries(autoreset: str) -> None:
    run = Run(autoreset, 3, truncates=True)
    for i, env in enumerate(run.envs.unwrapped.envs):
        env.unwrapped.length = 2 + i
    run.collect(24)
    for (episode, count), reward, next_obs, terminated in run.stored:
        assert next_obs == (episode, count + 1) and reward == count + 1 and not terminated


@widths
def test_the_inserted_step_is_counted_but_not_stored(num_envs: int) -> None:
    run = Run("next_step", num_envs)
    run.collect(8)
    # 2 · (3 steps + the reset) = 8 calls; 6 of them are transitions
    assert run.collector.env_steps == 8 * num_envs
    assert len(run.replay) == 6 * num_envs


@both_modes
@widths
def test_episodes_are_returned_with_their_return_and_length(autoreset: str, num_envs: int) -> None:
    run = Run(autoreset, num_envs)
    finished = run.collect(12)
    # 1 + 2 + 3 = 6
    episodes = 4 if autoreset == "same_step" else 3
    assert finished == [Episode(6.0, 3)] * episodes * num_envs


def test_an_episode_is_returned_by_the_call_that_ends_it() -> None:
    run = Run(length=3)
    assert run.collect(2) == []
    assert run.collect(1) == [Episode(6.0, 3)]


@pytest.mark.parametrize(("num_envs", "learning_starts"), [(1, 7), (3, 9), (1, 0)])
def test_the_warm_up_is_uniform_and_lasts_exactly_learning_starts_steps(
    num_envs: int, learning_starts: int
) -> None:
    run = Run(num_envs=num_envs, learning_starts=learning_starts, discrete=False, length=1000)
    # A policy that always gives almost exactly +1 of the unit box, the upper bound 2 of the env
    last = run.policy.actor.output
    with torch.no_grad():
        last.weight.zero_()
        last.bias.copy_(torch.tensor([20.0, -20.0]))
    run.collect(20)
    stored = run.replay.store.action[: len(run.replay), 0]
    assert (stored[:learning_starts] < 0.999).all()
    assert (stored[learning_starts:] == 1.0).all()
    sent = [env.unwrapped.actions for env in run.envs.unwrapped.envs]
    received = np.stack([np.asarray(actions)[:, 0] for actions in sent], axis=1).reshape(-1)
    # What is stored is the unit box's, what the env receives is twice that: bounds ±2
    np.testing.assert_allclose(received, 2 * stored.numpy(), rtol=1e-6)


def test_warm_up_actions_cover_the_whole_range() -> None:
    run = Run(learning_starts=500, discrete=False, length=1000)
    run.collect(500)
    stored = run.replay.store.action[:500, 0]
    assert stored.min() < -0.98 and stored.max() > 0.98 and abs(stored.mean()) < 0.1
    choices = Run(learning_starts=300, length=1000)
    choices.collect(300)
    counts = torch.bincount(choices.replay.store.action[:300], minlength=3)
    assert counts.min() > 70  # 100 expected, standard deviation √(300·⅓·⅔) = 8.2


@both_modes
@pytest.mark.parametrize("discrete", [True, False])
def test_the_same_seeds_collect_the_same(autoreset: str, discrete: bool) -> None:
    stores = []
    for global_seed in (1, 2):
        torch.manual_seed(global_seed)
        np.random.seed(global_seed)
        run = Run(autoreset, 2, learning_starts=4, discrete=discrete)
        run.collect(10)
        stores.append(run.replay.store)
    # A density that is not known is NaN in both.
    assert all(
        torch.equal(one.nan_to_num(9.0), other.nan_to_num(9.0)) for one, other in zip(*stores, strict=True)
    )


def test_a_bad_learning_starts_is_refused() -> None:
    with pytest.raises(ValueError, match="learning_starts=-1"):
        Run(learning_starts=-1)


@both_modes
@widths
def test_overlap_changes_when_the_envs_step_and_nothing_of_what_is_stored(
    autoreset: str, num_envs: int
) -> None:
    runs = [
        Run(autoreset, num_envs, learning_starts=5, discrete=False, overlap=overlap)
        for overlap in (False, True)
    ]
    finished = [[run.collect(1) for _ in range(20)] for run in runs]
    assert finished[0] == finished[1]
    assert runs[0].collector.env_steps == runs[1].collector.env_steps == 20 * num_envs
    for one, other in zip(*(run.replay.store for run in runs), strict=True):
        assert torch.equal(one.nan_to_num(9.0), other.nan_to_num(9.0))
    runs[1].collector.close()


@pytest.mark.parametrize(("overlap", "expected"), [(False, [1.0, -1.0, -1.0]), (True, [1.0, 1.0, -1.0])])
def test_with_overlap_an_action_is_that_of_the_policy_one_iteration_before(
    overlap: bool, expected: list[float]
) -> None:
    run = Run(discrete=False, length=1000, overlap=overlap)
    last = run.policy.actor.output
    for bias in (20.0, -20.0, -20.0):  # the policy after the updates of each iteration
        with torch.no_grad():
            last.weight.zero_()
            last.bias.copy_(torch.tensor([bias, -20.0]))
        run.collect(1)
    assert run.replay.store.action[:3, 0].tolist() == expected
    run.collector.close()


class Waits(Clock):
    """From its second step on, it waits in each step for `may_end`."""

    may_end = threading.Event()

    def step(self, action: Any) -> Any:
        if self.count >= 1 and not self.may_end.wait(timeout=20):
            raise TimeoutError("nothing ran beside this step")
        return super().step(action)


def test_with_overlap_the_envs_step_while_the_caller_continues() -> None:
    run = Run(length=1000, overlap=True, make=Waits)
    run.collect(1)  # returns, though the second step has begun and waits for what follows
    Waits.may_end.set()
    run.collect(1)
    assert run.collector.env_steps == 2
    run.collector.close()


class Breaks(Clock):
    """Its second step fails."""

    def step(self, action: Any) -> Any:
        if self.count == 1:
            raise RuntimeError("the joint is broken")
        return super().step(action)


def test_a_step_that_fails_in_the_thread_is_raised_by_the_iteration_that_needs_it() -> None:
    run = Run(overlap=True, make=Breaks)
    run.collect(1)
    with pytest.raises(EnvError, match="the joint is broken, at env step 2"):
        run.collect(1)
    run.collector.close()


@pytest.mark.parametrize("overlap", [False, True])
def test_the_state_of_a_collector_is_plain_and_complete(tmp_path: Any, overlap: bool) -> None:
    run = Run("next_step", 2, learning_starts=4, length=1000, overlap=overlap)
    run.collect(7)
    torch.save(run.collector.state_dict(), tmp_path / "state.pt")
    state = torch.load(tmp_path / "state.pt", weights_only=True)
    expected = run.collector.state_dict()
    other = Run("next_step", 2, learning_starts=4, length=1000, overlap=overlap)
    other.collector.load_state_dict(state, torch.device("cpu"), envs_restored=True)
    assert other.collector.env_steps == 14
    restored = other.collector.state_dict()
    assert restored.keys() == expected.keys()
    for key, value in _flat(expected).items():
        equal = torch.equal if isinstance(value, torch.Tensor) else operator.eq
        assert equal(_flat(restored)[key], value), key
    assert (expected["pending_step"] is not None) == overlap
    for each in (run, other):
        each.collector.close()


def _flat(state: dict[str, Any]) -> dict[str, Any]:
    """Flattens the dict of a pending step; log_prob may be unknown."""
    pending = {
        f"pending.{key}": value.nan_to_num(9.0) for key, value in (state["pending_step"] or {}).items()
    }
    return {**{key: value for key, value in state.items() if key != "pending_step"}, **pending}


def choose_fused(run: Run) -> FusedAction:
    """The next actions of `run`, chosen as an update would."""
    fused = run.collector.fuse_action(run.policy)
    with torch.no_grad():
        features = run.policy.actor(fused.obs)
        action = run.policy.head.act(features, fused.noise)
        fused.choose(action, run.policy.head.log_prob(features, action))
    return fused


@widths
@pytest.mark.parametrize("discrete", [False, True])
def test_fused_actions_are_those_of_acting_separately(num_envs: int, discrete: bool) -> None:
    separate, fused = (Run(num_envs=num_envs, discrete=discrete, noise_hold_max=16) for _ in range(2))
    separate.collect(12)
    for _ in range(12):
        choose_fused(fused)
        fused.collect(1)
    for one, other in zip(separate.replay.store, fused.replay.store, strict=True):
        np.testing.assert_array_equal(one.numpy(), other.numpy())
    assert len(separate.replay.store.action[:12].unique()) > 1


def test_fused_actions_are_saved_and_taken_by_the_run_that_continues() -> None:
    run, other = Run(discrete=False), Run(discrete=False, seed=1)
    run.collect(5)
    action, log_prob = choose_fused(run).chosen or ()
    other.collector.load_state_dict(run.collector.state_dict(), torch.device("cpu"), envs_restored=True)
    for each in (run, other):
        each.collector.env_steps = 8  # a step whose density is kept
        each.collect(1)
        row = (each.replay.added - 1) % 1000
        np.testing.assert_array_equal(each.replay.store.action[row].numpy(), action[0])
        assert float(each.replay.store.log_prob[row]) == float(log_prob[0])
        assert each.collector.state_dict()["fused_action"] is None


def test_a_fresh_episode_forgets_an_action_for_the_old_one() -> None:
    run = Run(discrete=False)
    run.collect(2)
    choose_fused(run)
    run.collector.restart_episodes(7)
    assert run.collector.state_dict()["fused_action"] is None
