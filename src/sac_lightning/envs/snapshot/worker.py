"""The env that a vector env steps: it answers for its state from inside a worker process."""

from typing import Any

import gymnasium as gym

from sac_lightning.envs.raw_reward import raw_info
from sac_lightning.envs.snapshot.chain import capture_env, obstacle, restore_env


class ResumableEnv(gym.Wrapper[Any, Any, Any, Any]):
    """Answers a parent that asks for the env's state, or sends one.

    Whether the next step is a reset (`next_step` autoreset) is a local variable of Gymnasium's worker,
    out of reach. After a restore this wrapper therefore answers one reset and one step from the state,
    without touching the env; the worker draws the right conclusion from that answer.

    Infos end here. A vector env puts those of all envs together, key by key, and fails where their arrays
    differ in length; nobody reads them, but for the raw reward.
    """

    def __init__(self, env: gym.Env[Any, Any]) -> None:
        super().__init__(env)
        self.received: dict[str, Any] | None = None
        self._over = False
        self._answer: tuple[Any, bool] | None = None

    def step(self, action: Any) -> tuple[Any, Any, bool, bool, dict[str, Any]]:
        """One step of the env, or the answer that is due after a restore."""
        if self._answer is not None:
            (obs, over), self._answer = self._answer, None
            return obs, 0.0, over, False, {}
        obs, reward, terminated, truncated, info = self.env.step(action)
        self._over = bool(terminated or truncated)
        return obs, reward, terminated, truncated, raw_info(info)

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Any, dict[str, Any]]:
        """A new episode, or the answer that is due after a restore."""
        if self._answer is not None:
            return self._answer[0], {}
        self._over = False
        return self.env.reset(seed=seed, options=options)[0], {}

    # The parent calls these by name. They return errors: one that is raised would end the worker.

    def resume_obstacle(self) -> str | None:
        """The class whose state nobody knows."""
        return obstacle(self.env)

    def resume_state(self) -> dict[str, Any] | str:
        """The env's state and whether its episode is over; a string is an error."""
        try:
            return {"env": capture_env(self.env), "over": self._over}
        except Exception as error:
            return str(error)

    def resume_received(self, answer: bool) -> str | None:
        """Restore `received`; with `answer`, be ready to answer for it. A string is an error."""
        received, self.received = self.received, None
        try:
            assert received is not None, "no state has arrived"
            restore_env(self.env, received["env"])
        except Exception as error:
            return str(error)
        self._over = received["over"]
        self._answer = (received["obs"], self._over) if answer else None
        return None
