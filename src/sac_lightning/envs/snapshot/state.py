"""Saves a vector env in the middle of its episodes, and continues from there bit for bit.

`capture` and `restore` cover the simulator, every wrapper, the random generators and the vector env's own
memory, where all of these are known: Gymnasium's classic control, toy text and MuJoCo (v4, v5) envs under
its standard wrappers. An env or wrapper of your own takes part with two methods,

    def capture_state(self) -> dict: ...        # plain data: numbers, strings, NumPy arrays, lists, dicts
    def restore_state(self, state: dict) -> None: ...

which need not deal with `np_random` or the spaces. Any other env cannot be captured: a run that is resumed
restarts its episodes, and `guarantee` returns "episode-restart" beforehand.
"""

from typing import Any, Literal, Protocol, runtime_checkable

import numpy as np
from gymnasium.vector import AsyncVectorEnv, AutoresetMode, SyncVectorEnv
from gymnasium.vector.utils import create_empty_array, iterate

from sac_lightning.envs.guard import LOST_WORKER, CheckedVectorEnv, EnvError
from sac_lightning.envs.snapshot import layers
from sac_lightning.envs.snapshot.serialize import (
    from_checkpoint,
    plain,
    restore_spaces,
    spaces_state,
    to_checkpoint,
)
from sac_lightning.private import PrivateApi
from sac_lightning.private.gymnasium import (
    FastSyncVectorEnv,
    async_observations,
    missing_in_vector_env,
    restore_sync_memory,
    shares_memory,
    sync_memory,
)

VERSION = 1

# "unordered": all state continues exactly, but what comes from several processes is stored as it comes.
Guarantee = Literal["exact", "unordered", "episode-restart"]
State = dict[str, Any]


@runtime_checkable
class OwnState(Protocol):
    """Envs that save and restore their own state: TorchVectorEnv, and envs in other processes."""

    def obstacle(self) -> str | PrivateApi | None: ...

    def capture(self) -> State: ...

    def restore(self, state: State) -> None: ...


AnyVectorEnv = CheckedVectorEnv | OwnState


def guarantee(vector_env: AnyVectorEnv) -> Guarantee:
    """Returns what resuming a run with these envs can promise. Warns where an attribute is missing."""
    why = obstacle(vector_env)
    if isinstance(why, PrivateApi):
        why.warn()
    return "exact" if why is None else "episode-restart"


def obstacle(vector_env: AnyVectorEnv) -> str | PrivateApi | None:
    """Returns what prevents capturing: a class whose state is unknown, or an attribute that is missing.

    Returns None when nothing does.
    """
    if not isinstance(vector_env, CheckedVectorEnv):
        return vector_env.obstacle()
    envs: Any = vector_env.env
    known = type(envs) in (SyncVectorEnv, FastSyncVectorEnv, AsyncVectorEnv)
    if known and (missing := missing_in_vector_env(envs)) is not None:
        return missing
    if type(envs) in (SyncVectorEnv, FastSyncVectorEnv):
        found: list[str | PrivateApi | None] = [layers.obstacle(env) for env in envs.envs]
        return next((each for each in found if each is not None), None)
    if type(envs) is AsyncVectorEnv:
        if not all(_call(vector_env, "has_wrapper_attr", "resume_obstacle")):
            return "a worker process without ResumableEnv"
        unshared = _next_step(envs) and not shares_memory(envs)
        why = "AsyncVectorEnv(shared_memory=False) with next_step autoreset" if unshared else None
        return why or next(filter(None, _call(vector_env, "resume_obstacle")), None)
    return f"{type(envs).__module__}.{type(envs).__qualname__}"


def capture(vector_env: AnyVectorEnv) -> State | None:
    """Returns the state of the envs, for a checkpoint; None when they cannot be captured.

    It is made of tensors, numbers, strings, lists, tuples and dicts. Does not disturb the envs. Raises
    EnvError when an env's own `capture_state` fails, or returns what is no plain data.
    """
    if obstacle(vector_env) is not None:
        return None
    if not isinstance(vector_env, CheckedVectorEnv):
        return vector_env.capture()
    envs: Any = vector_env.env
    if isinstance(envs, SyncVectorEnv):
        states = [layers.capture_env(env) for env in envs.envs]
        resetting, observations = sync_memory(envs)
    else:
        answers = _checked(vector_env, _call(vector_env, "resume_state"))
        states, resetting = [answer["env"] for answer in answers], [answer["over"] for answer in answers]
        observations = async_observations(envs)
    # A sync vector env's rewards, terminations and truncations are overwritten before they are read.
    state = {
        "version": VERSION,
        "autoreset": envs.autoreset_mode.value,
        "env_steps": vector_env.env_steps,
        "envs": states,
        "resetting": resetting,
        "observations": plain(observations, "observations"),
        "spaces": spaces_state(envs),
    }
    result: State = to_checkpoint(state)
    return result


def restore(vector_env: AnyVectorEnv, state: State) -> None:
    """Makes fresh envs of the same configuration continue where `capture` was called; no reset is needed.

    A state may move between sync and async. Raises EnvError when the envs are not the ones that were
    captured; they must then be reset.
    """
    if not isinstance(vector_env, CheckedVectorEnv):
        vector_env.restore(state)
        return
    found: State = from_checkpoint(state)
    _check_same(vector_env, found)
    envs: Any = vector_env.env
    rows = list(iterate(envs.observation_space, found["observations"]))
    if isinstance(envs, SyncVectorEnv):
        for env, env_state in zip(envs.envs, found["envs"], strict=True):
            layers.restore_env(env, env_state)
        restore_sync_memory(envs, found["resetting"], found["observations"], rows)
    else:
        each = zip(found["envs"], found["resetting"], rows, strict=True)
        _send(vector_env, [{"env": env, "over": over, "obs": obs} for env, over, obs in each])
        if isinstance(async_observations(envs), np.ndarray):
            async_observations(envs)[...] = found["observations"]
    restore_spaces(envs, found["spaces"])
    vector_env.env_steps = found["env_steps"]


def _check_same(vector_env: CheckedVectorEnv, state: State) -> None:
    why = obstacle(vector_env)
    if why is not None:
        raise EnvError(f"{vector_env.name}: the state of {why} cannot be restored")
    if actors := len(state.get("actors", [])):  # of collector=ray, which has other envs
        raise EnvError(f"{vector_env.name}: the state is of actors={actors}; this run has actors=0")
    if state["version"] > VERSION:
        raise EnvError(f"{vector_env.name}: the state has format {state['version']}; this reads {VERSION}")
    envs: Any = vector_env.env
    for what, saved, present in (
        ("num_envs", len(state["envs"]), vector_env.num_envs),
        ("autoreset", state["autoreset"], envs.autoreset_mode.value),
    ):
        if saved != present:
            raise EnvError(
                f"{vector_env.name}: the state is of {what}={saved}; this run has {what}={present}"
            )


def _send(vector_env: CheckedVectorEnv, states: list[State]) -> None:
    """Restores the envs of the workers, and with `next_step` what each worker remembers of the last step."""
    envs: Any = vector_env.env
    remembers = _next_step(envs)
    try:
        envs.set_attr("received", states)
        _checked(vector_env, _call(vector_env, "resume_received", remembers))
        if remembers:
            envs.reset()
            envs.step(create_empty_array(envs.single_action_space, n=envs.num_envs, fn=np.zeros))
    except LOST_WORKER as error:
        raise EnvError(f"{vector_env.name}: a worker process ended unexpectedly") from error


def _next_step(envs: Any) -> bool:
    # Not of the metadata: before Gymnasium 1.4 all vector envs of one env class share them.
    return bool(envs.autoreset_mode is AutoresetMode.NEXT_STEP)


def _call(vector_env: CheckedVectorEnv, name: str, *arguments: Any) -> tuple[Any, ...]:
    envs: Any = vector_env.env
    try:
        answers: tuple[Any, ...] = envs.call(name, *arguments)
    except LOST_WORKER as error:
        raise EnvError(f"{vector_env.name}: a worker process ended unexpectedly") from error
    return answers


def _checked(vector_env: CheckedVectorEnv, answers: tuple[Any, ...]) -> tuple[Any, ...]:
    for answer in answers:
        if isinstance(answer, str):
            raise EnvError(f"{vector_env.name}: {answer}")
    return answers
