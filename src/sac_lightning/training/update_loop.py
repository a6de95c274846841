"""What surrounds the gradient updates of a fit: noise, resets, learning rates, metrics, rows of the log."""

from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor

from sac_lightning.algorithm.diagnostics import Diagnostics
from sac_lightning.algorithm.sac import SAC, UpdateResult
from sac_lightning.collect.loaders import Iteration
from sac_lightning.compile.update import CompiledUpdate
from sac_lightning.core.ranks import Ranks, seed_of_rank
from sac_lightning.core.seeding import Streams, continue_generator, torch_generator
from sac_lightning.optim import OptimizerStep, step_schedules
from sac_lightning.replay import BatchIndex, ReplayBuffer
from sac_lightning.training.metrics import Metrics, MetricWindow, in_units, mean_of_rows
from sac_lightning.types import PackedMetrics


class UpdateLoop:
    """Says what each update of a fit is made of, and collects what it returned; SACModule makes the update.

    `start_fit` comes first, then `prepare`, once weights and optimizers stay where they are.

    Args:
        sac: the agent.
        make_sac: makes an agent like it with the weights of a generator, for resets.
        seed: of the noise of updates and of resets.
        reset_every: updates between two resets of all networks, at least 1; None for no reset.
        log_every: env steps between two rows of the log, at least 1.
    """

    def __init__(
        self, sac: SAC, make_sac: Callable[..., SAC], *, seed: int, reset_every: int | None, log_every: int
    ) -> None:
        self.sac, self._make_sac = sac, make_sac
        self._seed, self._reset_every, self._log_every = seed, reset_every, log_every
        self._diagnostics = Diagnostics(sac)
        self.compiled: CompiledUpdate | None = None
        self.updates = 0
        self.start_run()

    def start_run(self) -> None:
        """Forget the metrics and the noise of an earlier run."""
        self.window = MetricWindow(self._log_every)
        self.noise_generator: torch.Generator | None = None

    def start_fit(self, device: torch.device, rank: int, log_every: int | None) -> None:
        """Start or continue the noise of updates on `device`; `log_every` None is that of the constructor."""
        self.window.every = self._log_every if log_every is None else log_every
        self._device = device
        if self.noise_generator is None:
            self.noise_generator = torch_generator(Streams.of(seed_of_rank(self._seed, rank)).update, device)

    def prepare(
        self,
        steps: list[OptimizerStep],
        schedules: list[Any],
        replay: ReplayBuffer,
        *,
        compiled: bool,
        bfloat16: bool,
        ranks: Ranks | None,
    ) -> None:
        """Get ready for updates on mini-batches of `replay`.

        Args:
            steps, bfloat16, ranks: as for SAC.prepare.
            schedules: of the learning rates, stepped after each update.
            replay: the buffer of the run.
            compiled: whether the update runs as one compiled graph.
        """
        self._steps, self._schedules, self._ranks = steps, schedules, ranks
        self.sac.prepare(steps, bfloat16=bfloat16, ranks=ranks)
        self.compiled = CompiledUpdate(self.sac, replay) if compiled else None
        # Counted here: reading the tensor in each update would wait for a GPU.
        self.updates = int(self.sac.grad_steps)

    def state_dict(self) -> dict[str, Any]:
        """Return the state of the noise and the metrics since the last row, as plain data."""
        assert self.noise_generator is not None
        return {"noise_generator": self.noise_generator.get_state(), "window": self.window.state_dict()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore what `state_dict` returned, after `start_fit`."""
        assert self.noise_generator is not None
        continue_generator(self.noise_generator, state["noise_generator"], warn=True)
        self.window.load_state_dict(state["window"], self._device)

    def updates_of(self, iteration: Iteration) -> Iterator[tuple[BatchIndex, Tensor, bool]]:
        """Yield the mini-batch of each update, its noise [2, B, noise], and whether it steps the actor.

        Env steps are counted before the first update, diagnostics and episodes added after the last.
        """
        self._add_env_steps(iteration)
        if iteration.index is not None:
            assert self.noise_generator is not None
            shape = (iteration.updates, 2, iteration.index.index.shape[1])
            draws = self.sac.head.draw_noise(shape, self.noise_generator, self._device)  # [G, 2, B, noise]
            for index, noise in zip(iteration.mini_batches(), draws.unbind(), strict=True):
                for step in self._steps:
                    step.follow_lr()
                self._reset_where_due()
                self.updates += 1
                yield index, noise, self.sac.is_actor_due(self.updates)
            if not self.window.diagnosed:  # with the last mini-batch
                # Each rank counts the transitions of its own envs.
                age = iteration.replay.age()[-1] * (1 if self._ranks is None else self._ranks.size)
                batch = iteration.replay.gather(index)
                self.window.add(PackedMetrics.of(self._diagnostics.of(batch, noise[1], age)))
        self.window.add_episodes(iteration.finished)

    def add(self, replay: ReplayBuffer, index: BatchIndex, result: UpdateResult) -> None:
        """Add what an update returned to the metrics, and tell `replay` the TD errors."""
        replay.report(index.index, result.td_error)
        self.window.add(result.metrics)
        if self._schedules:
            step_schedules(self._schedules)

    def _add_env_steps(self, iteration: Iteration) -> None:
        """Count the env steps of an iteration and add them to the running statistics."""
        self.sac.env_steps.fill_(iteration.env_steps)
        if iteration.policy_lag is not None:
            lag = torch.tensor([float(iteration.policy_lag)], device=self._device)
            self.window.add(PackedMetrics(("time/policy_lag",), lag))
        if not iteration.stored and self._ranks is None:
            return
        others = () if self._ranks is None else (self._ranks,)
        if self.sac.normalize_obs is not None:
            newest = iteration.replay.newest_obs(iteration.stored)
            self.sac.normalize_obs.statistics.add(newest, *others)
        if self.sac.normalize_reward is not None:
            returns = torch.as_tensor(iteration.discounted_returns, device=self._device)
            self.sac.normalize_reward.statistics.add(returns, *others)

    def _reset_where_due(self) -> None:
        resets, rest = divmod(self.updates, self._reset_every or self.updates + 1)
        if resets and not rest:
            weights = torch_generator(Streams.of(self._seed).init_after(resets))
            self.sac.reset(self._make_sac(generator=weights))

    def row(self, env_steps: int) -> Metrics | None:
        """Return the row of the log that is due at `env_steps`, of all ranks; None where none is due."""
        if not self.window.due(env_steps):
            return None
        row = self.window.close(env_steps)
        if self._ranks is not None:
            row = mean_of_rows(self._ranks.gather(row))
        return in_units(row, self.sac.entropy_setting.offset)

    def check_equal_on_ranks(self) -> None:
        """Raise RanksDiffer where networks, statistics or optimizers are not the same on all ranks."""
        if self._ranks is not None:
            optimizers = {
                f"optimizer {i}, tensor {j}": tensor
                for i, step in enumerate(self._steps)
                for j, tensor in enumerate(step.state)
            }
            self._ranks.check_equal({**self.sac.state_dict(prefix="sac."), **optimizers})
