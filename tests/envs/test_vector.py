"""Vector envs: both autoreset modes, both vectorizations, and the ways they fail."""

import os
import signal
from typing import Any

import numpy as np
import pytest
from gymnasium.utils.step_api_compatibility import step_api_compatibility
from gymnasium.vector import AutoresetMode

from sac_lightning.envs import CheckedVectorEnv, EnvConfig, EnvError, check_finite
from sac_lightning.envs.wrappers import RAW_REWARD

from .counter import Counter

BOTH = pytest.mark.parametrize("vectorization", ["sync", "async"])
# Gymnasium repeats what its workers raise as warnings.
pytestmark = [pytest.mark.timeout(60), pytest.mark.filterwarnings("ignore:.*ERROR:UserWarning")]


def counters(num_envs: int = 2, vectorization: str = "sync", **arguments: Any) -> CheckedVectorEnv:
    config = {name: arguments.pop(name) for name in ("autoreset",) if name in arguments}
    env = EnvConfig(id="Counter-v0", make=Counter, kwargs=arguments, vectorization=vectorization, **config)
    return env.build_vector(num_envs)


def act(envs: CheckedVectorEnv) -> Any:
    return envs.step(np.zeros(envs.num_envs, np.int64))


@BOTH
@pytest.mark.parametrize("truncates", [False, True])
def test_same_step_keeps_the_last_observation_apart(vectorization: str, truncates: bool) -> None:
    envs = counters(2, vectorization, length=2, truncates=truncates, autoreset="same_step")
    assert envs.metadata["autoreset_mode"] is AutoresetMode.SAME_STEP
    envs.reset(seed=0)
    obs, reward, terminated, truncated, info = act(envs)
    assert obs.tolist() == [[1.0], [1.0]] and "final_obs" not in info
    obs, reward, terminated, truncated, info = act(envs)
    # The new episode has begun at 0, the old one ended at 2 with its own reward and flag.
    assert obs.tolist() == [[0.0], [0.0]] and reward.tolist() == [2.0, 2.0]
    assert [float(last[0]) for last in info["final_obs"]] == [2.0, 2.0]
    assert terminated.tolist() == [not truncates] * 2 and truncated.tolist() == [truncates] * 2
    assert act(envs)[0].tolist() == [[1.0], [1.0]]
    envs.close()


class Chatty(Counter):
    """Every info holds arrays of another length, names of any kind, and keys that vector envs use."""

    seen = 0

    def reset(self, **options: Any) -> Any:
        return super().reset(**options)[0], self.info()

    def step(self, action: Any) -> Any:
        return *super().step(action)[:4], self.info()

    def info(self) -> dict[str, Any]:
        type(self).seen += 1
        length = (type(self).seen + os.getpid()) % 7
        kind: Any = np.zeros(length) if length % 2 else "text"
        return {"path": np.zeros(length), "kind": kind, "lives": length, "final_obs": None, "_path": 3}


@BOTH
@pytest.mark.parametrize("autoreset", ["same_step", "next_step"])
@pytest.mark.parametrize("wrappers", [[], [{"name": "RecordEpisodeStatistics"}]], ids=["bare", "wrapped"])
def test_infos_that_nobody_reads_are_left_in_the_env(
    vectorization: str, autoreset: str, wrappers: list[dict[str, Any]]
) -> None:
    config = EnvConfig(
        id="Chatty-v0",
        make=Chatty,
        kwargs={"length": 2},
        vectorization=vectorization,
        autoreset=autoreset,
        wrappers=wrappers,
    )
    envs = config.build_vector(3)
    assert envs.reset(seed=0)[1] == {}
    for _ in range(7):
        info = act(envs)[4]
        read = {RAW_REWARD, f"_{RAW_REWARD}"} if wrappers else set()
        assert set(info) <= {"final_obs", "_final_obs", "final_info", "_final_info"} | read
        assert set(info.get("final_info", {})) <= read
    envs.close()


@BOTH
def test_next_step_spends_a_step_without_action_on_the_reset(vectorization: str) -> None:
    envs = counters(2, vectorization, length=2, autoreset="next_step")
    assert envs.metadata["autoreset_mode"] is AutoresetMode.NEXT_STEP
    envs.reset(seed=0)
    act(envs)
    obs, reward, terminated, _, info = act(envs)
    assert obs.tolist() == [[2.0], [2.0]] and terminated.all() and "final_obs" not in info
    obs, reward, terminated, truncated, _ = act(envs)
    assert obs.tolist() == [[0.0], [0.0]] and reward.tolist() == [0.0, 0.0]
    assert not terminated.any() and not truncated.any()
    assert envs.env_steps == 6  # 3 calls · 2 envs
    envs.close()


@BOTH
def test_observations_may_be_kept(vectorization: str) -> None:
    envs = counters(1, vectorization, length=9)
    first, _ = envs.reset(seed=0)
    second = act(envs)[0]
    assert (first.item(), second.item()) == (0.0, 1.0)
    envs.close()


def test_sync_and_async_walk_the_same_path() -> None:
    paths = []
    for vectorization in ("sync", "async"):
        envs = EnvConfig(id="Pendulum-v1", vectorization=vectorization, max_episode_steps=3).build_vector(2)
        obs, _ = envs.reset(seed=7)
        steps = [envs.step(np.full((2, 1), 0.5, np.float32))[0] for _ in range(7)]
        paths.append(np.stack([obs, *steps]))
        envs.close()
    np.testing.assert_array_equal(paths[0], paths[1])


@BOTH
@pytest.mark.parametrize("fault", ["raise", "unpicklable"])
def test_env_that_raises_is_named_with_its_step(vectorization: str, fault: str) -> None:
    envs = counters(2, vectorization, fault=fault, at=2)
    envs.reset(seed=0)
    act(envs)
    # The second call carries env steps 3 and 4.
    kind = "KeyError" if fault == "raise" else "TwoPartError"
    with pytest.raises(
        EnvError, match=rf"Counter-v0 \(env \d\) raised {kind} in step.*, at env step 4"
    ) as caught:
        act(envs)
    cause = caught.value.__cause__
    assert cause is not None
    message = "".join(getattr(cause, "__notes__", [])) or repr(cause.__cause__)
    assert "wheel" in message
    envs.close()
    envs.close()


@BOTH
@pytest.mark.parametrize(
    ("fault", "words"),
    [("obs", r"the observation\[0\] of env 0 is nan"), ("reward", r"the reward of env 0 is inf")],
)
def test_nan_is_named_with_its_place_and_step(vectorization: str, fault: str, words: str) -> None:
    envs = counters(1, vectorization, fault=fault, at=2)
    envs.reset(seed=0)
    act(envs)
    with pytest.raises(EnvError, match=rf"Counter-v0: {words}, at env step 2"):
        act(envs)
    envs.close()


class TwoNumbers(Counter):
    """Returns an observation of two numbers where its space has one."""

    def reset(self, **kwargs: Any) -> Any:
        return np.zeros(2, np.float32), super().reset(**kwargs)[1]


@BOTH
def test_observation_of_another_shape_than_the_space_is_named(vectorization: str) -> None:
    envs = EnvConfig(id="Counter-v0", make=TwoNumbers, vectorization=vectorization).build_vector(1)
    words = r"reset returned an observation of shape \(2,\), its observation_space has \(1,\), at env step 0"
    with pytest.raises(EnvError, match=words):
        envs.reset(seed=0)
    envs.close()


class OldGym(Counter):
    """Returns what envs of the package gym returned before its version 0.26."""

    def step(self, action: Any) -> Any:
        obs, reward, terminated, truncated, info = super().step(action)
        return obs, reward, terminated or truncated, info


class OldReset(Counter):
    """Returns an observation alone from `reset`."""

    def reset(self, **kwargs: Any) -> Any:
        return super().reset(**kwargs)[0]


@BOTH
@pytest.mark.parametrize("wrappers", [[], [{"name": "RecordEpisodeStatistics"}]], ids=["bare", "wrapped"])
def test_env_of_the_older_gym_is_told_what_step_and_reset_return(
    vectorization: str, wrappers: list[dict[str, Any]]
) -> None:
    known: Any = {"vectorization": vectorization, "wrappers": wrappers}
    envs = EnvConfig(id="OldGym-v0", make=OldGym, **known).build_vector(1)
    envs.reset(seed=0)
    words = r"step must return five values: obs, reward, terminated, truncated, info\. .*, True\)"
    with pytest.raises(EnvError, match=f"OldGym-v0.*{words}"):
        act(envs)
    envs.close()
    envs = EnvConfig(id="OldReset-v0", make=OldReset, **known).build_vector(1)
    with pytest.raises(EnvError, match=r"OldReset-v0.*reset must return two values: obs, info"):
        envs.reset(seed=0)
    envs.close()


def test_the_advice_for_an_env_of_the_older_gym_works() -> None:
    class Converted(OldGym):
        def step(self, action: Any) -> Any:
            return step_api_compatibility(super().step(action), True)

    envs = EnvConfig(id="Converted-v0", make=Converted).build_vector(1)
    envs.reset(seed=0)
    assert act(envs)[1].tolist() == [1.0]
    envs.close()


def test_nan_in_the_last_observation_of_an_episode_is_found() -> None:
    envs = counters(1, length=2, fault="obs", at=2, autoreset="same_step")
    envs.reset(seed=0)
    act(envs)
    with pytest.raises(EnvError, match=r"last observation of an episode of env 0 is \[nan\], at env step 2"):
        act(envs)


def test_step_count_continues_after_a_resume() -> None:
    envs = counters(1, fault="obs", at=1)
    envs.env_steps = 5000
    envs.reset(seed=0)
    with pytest.raises(EnvError, match="at env step 5001"):
        act(envs)


def test_single_env_that_raises_is_named() -> None:
    env = EnvConfig(id="Counter-v0", kwargs={"fault": "raise", "at": 1}).build()
    env.reset()
    with pytest.raises(EnvError, match="Counter-v0 raised KeyError in step: 'wheel'"):
        env.step(0)


def test_lost_worker_is_told_and_the_others_are_ended() -> None:
    envs = counters(2, "async", fault="exit", at=1)
    envs.reset(seed=0)
    with pytest.raises(EnvError, match="Counter-v0: a worker process ended unexpectedly, at env step 2"):
        act(envs)
    envs.close()
    assert not any(process.is_alive() for process in envs.unwrapped.processes)


def test_workers_leave_an_interrupt_to_their_parent() -> None:
    envs = counters(2, "async", length=9)
    envs.reset(seed=0)
    processes = envs.unwrapped.processes
    for process in processes:
        os.kill(process.pid, signal.SIGINT)
    assert act(envs)[0].tolist() == [[1.0], [1.0]]
    envs.close()
    assert [process.exitcode for process in processes] == [0, 0]


def test_workers_end_although_the_parent_only_takes_note_of_signals() -> None:
    before = signal.signal(signal.SIGTERM, lambda *_: None)
    try:
        envs = counters(1, "async", length=9)
        envs.reset(seed=0)
        envs.unwrapped.close(terminate=True)
    finally:
        signal.signal(signal.SIGTERM, before)


def test_numbers_pass_whose_squares_float32_can_hold() -> None:
    large = np.full((2, 3), 1.8e19, np.float32)  # the sum of squares overflows, none of them does
    assert check_finite(large, np.full(2, -1.8e19)) is None
    for too_large in (1.9e19, -1e30, 3.4e38):
        assert str(check_finite(large, np.array([0.0, too_large]))).startswith(
            f"the reward of env 1 is {too_large:g} (float32 networks can use numbers up to ±1.8e+19)"
        )
    assert check_finite(np.zeros((1, 2), np.uint8)) is None
    half = np.array([[65504.0, 1.0]], np.float16)
    assert check_finite(half) is None
    assert check_finite(half * np.float32(np.inf)) == "the observation[0] of env 0 is inf"
    assert check_finite(np.array([[1.0, np.inf]], np.float16)) == "the observation[1] of env 0 is inf"
    assert check_finite(np.array([[0.0, -np.inf]])) == "the observation[1] of env 0 is -inf"
