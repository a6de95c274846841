"""Envs of this process, stepped one after the other."""

from typing import TYPE_CHECKING, Any

import numpy as np
from gymnasium.vector import AutoresetMode, SyncVectorEnv

from sac_lightning.envs.guard import Array, Step

# Before Gymnasium 1.4 this is no generic class.
if TYPE_CHECKING:
    SyncEnvs = SyncVectorEnv[Any, Any]
else:
    SyncEnvs = SyncVectorEnv


class SameProcessEnvs(SyncEnvs):
    """Gymnasium's SyncVectorEnv of Box observations, with a shorter `step`.

    Gymnasium's serves every space: observations are listed, put together and copied, infos gone through.
    Between two updates, which leave nothing of all that in the processor's caches, each call counts.
    """

    def step(self, actions: Array) -> Step:
        """obs [E, ...], reward [E], terminated [E], truncated [E], info: new arrays each time."""
        obs = np.empty_like(self._observations)
        reward = np.zeros(self.num_envs)
        terminated, truncated = np.zeros((2, self.num_envs), np.bool_)
        infos: dict[str, Any] = {}
        for i, (env, action) in enumerate(zip(self.envs, actions, strict=True)):
            if self._autoreset_envs[i] and self.autoreset_mode is AutoresetMode.NEXT_STEP:
                new, info = env.reset()
            else:
                new, reward[i], terminated[i], truncated[i], info = env.step(action)
                if self.autoreset_mode is AutoresetMode.SAME_STEP and (terminated[i] or truncated[i]):
                    infos = self._add_info(infos, {"final_obs": new, "final_info": info}, i)
                    new, info = env.reset()
            if np.shape(new) != obs.shape[1:]:  # NumPy would repeat it to make it fit
                raise ValueError(
                    f"an observation of shape {np.shape(new)}, where {obs.shape[1:]} is declared"
                )
            np.copyto(obs[i : i + 1], new)
            if info:
                infos = self._add_info(infos, info, i)
        # What Gymnasium's `reset` and a captured state read. The arrays that are handed out are the caller's.
        np.copyto(self._observations, obs)
        self._env_obs = list(self._observations)
        self._autoreset_envs = terminated | truncated
        return obs, reward, terminated, truncated, infos
