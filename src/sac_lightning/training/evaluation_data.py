"""EvaluationDataModule: evaluations of a policy as a LightningDataModule."""

import logging
from collections.abc import Callable
from contextlib import closing, suppress
from functools import cached_property
from typing import Any, Literal

import torch

from sac_lightning.algorithm.policy import Policy
from sac_lightning.collect.evaluation import (
    NO_TIME_LIMIT,
    Evaluation,
    EvaluationStopped,
    Evaluator,
    check_max_steps,
    episode_observations,
    has_time_limit,
)
from sac_lightning.collect.loaders import SizedLoader
from sac_lightning.core.hardware import flush_denormals
from sac_lightning.core.ranks import Ranks
from sac_lightning.envs import EnvConfig, action_spec, env_config, obs_spec
from sac_lightning.envs.guard import Env
from sac_lightning.spaces import ActionSpec, Array, ObsSpec
from sac_lightning.training.lightning_package import LightningDataModule
from sac_lightning.training.loops import fast_dev_run
from sac_lightning.training.trainer_options import ranks_of

log = logging.getLogger(__name__)


class EvaluationDataModule(LightningDataModule):
    """Evaluates the policy of the trainer's module: one batch of validation or test is one evaluation.

    The envs are its own. Several devices share the episodes.

    Args:
        env, eval_episodes, eval_envs, eval_seed, eval_max_steps: as for ReplayDataModule.
    """

    trainer: Any  # None outside of a fit

    def __init__(
        self,
        env: EnvConfig | str | Env | Callable[..., Env],
        eval_episodes: int,
        eval_envs: int,
        eval_seed: int,
        eval_max_steps: int | None,
    ) -> None:
        super().__init__()
        self.env = env_config(env)
        self.eval_episodes, self.eval_envs, self.eval_seed = eval_episodes, eval_envs, eval_seed
        self.eval_max_steps = check_max_steps("eval_max_steps", eval_max_steps)
        self.evaluator: Evaluator | None = None
        self.evaluation_due = False  # a stop interrupted the present epoch's evaluation
        self.stop_requested: Callable[[], bool] = bool  # False; asked at every step of an evaluation
        self._ending = False  # whether the fit ends as soon as it can
        self._flushed_before: bool | None = None  # None where `setup` did not change it
        self._ranks: Ranks | None = None
        self._rank, self._num_ranks = 0, 1

    @property
    def specs(self) -> tuple[ObsSpec, ActionSpec]:
        """Spaces of obs and actions, read once from an env that is closed again."""
        obs, action, _ = self._probed
        return obs, action

    @cached_property
    def _probed(self) -> tuple[ObsSpec, ActionSpec, bool]:
        """The two specs, and whether a time limit ends the episodes."""
        with closing(self.env.build()) as env:
            obs, action = obs_spec(env.observation_space), action_spec(env.action_space)
            self._read(env, obs, action)
            return obs, action, has_time_limit(env)

    def _read(self, env: Env, obs: ObsSpec, action: ActionSpec) -> None:
        """Read what else is needed of an env."""

    def setup(self, stage: str) -> None:
        """Make the evaluator. For a trainer, denormal numbers count as 0 until `teardown`."""
        self._ranks = ranks_of(self.trainer)
        ranks = self._ranks
        self._rank, self._num_ranks = (0, 1) if ranks is None else (ranks.rank, ranks.size)
        self.teardown("validate")
        if self.trainer is not None:
            self._flushed_before = flush_denormals()
        *_, is_limited = self._probed
        if self.eval_episodes:
            episodes = min(fast_dev_run(self.trainer) or self.eval_episodes, self.eval_episodes)
            # Tests have episodes of their own: evaluations may have chosen the best checkpoint.
            first = self.eval_seed + (self.eval_episodes if stage == "test" else 0)
            seeds = range(first, first + episodes)
            self.evaluator = Evaluator(
                self.env.build, seeds, self.eval_envs, self.eval_max_steps, self._ranks
            )
            if self.eval_max_steps is None and not is_limited:
                log.warning(NO_TIME_LIMIT, self.env.id, "eval_max_steps=1000")

    def teardown(self, stage: Literal["fit", "validate", "test", "predict"] | str) -> None:
        """Close the envs, and undo what `setup` did to this thread."""
        if self._flushed_before is not None:
            flush_denormals(self._flushed_before)
            self._flushed_before = None
        if self.evaluator is not None:
            self.evaluator.close()

    def val_dataloader(self) -> SizedLoader[Evaluation | None] | list[Any]:
        """Return a loader of one evaluation of the present policy; no loader where evaluation is off."""
        return SizedLoader([1], self._evaluate) if self.eval_episodes else []

    def test_dataloader(self) -> SizedLoader[Evaluation | None] | list[Any]:
        """Return a loader of one evaluation, on the episodes after those of `val_dataloader`."""
        return self.val_dataloader()

    def predict_dataloader(self) -> SizedLoader[Array]:
        """Return one batch: the observations [T, *obs] of one episode with deterministic actions."""
        return SizedLoader([1], self._play)

    def transfer_batch_to_device(self, batch: Any, device: torch.device, dataloader_idx: int) -> Any:
        """Return `batch`: what it needs is already on the device of the networks."""
        return batch

    def _evaluate(self) -> Evaluation | None:
        """Run an evaluation; return None where a stop interrupted it."""
        assert self.evaluator is not None
        evaluation: Evaluation | None = None
        with suppress(EvaluationStopped):
            evaluation = self.evaluator.run(self._policy, self._is_stopped)
        self.evaluation_due = evaluation is None
        return evaluation

    def _is_stopped(self) -> bool:
        return self.trainer.state.fn == "fit" and (self._ending or self.stop_requested())

    def _play(self) -> Array:
        with closing(self.env.build()) as env:
            return episode_observations(env, self._policy, self.eval_seed, self.eval_max_steps)

    @property
    def _policy(self) -> Policy:
        policy: Policy = self.trainer.lightning_module.policy
        return policy
