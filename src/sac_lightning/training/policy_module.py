"""PolicyModule: a LightningModule that acts, logs its evaluations, and is loaded from a checkpoint."""

from collections.abc import Iterable, Iterator, Mapping
from importlib.metadata import version
from typing import Any, Self

import torch
from torch import Tensor

from sac_lightning.algorithm.policy import Policy
from sac_lightning.algorithm.sac import SAC
from sac_lightning.collect.evaluation import Evaluation
from sac_lightning.core.checkpoint import FORMAT, check_format
from sac_lightning.core.finite import check_weights, naming_update
from sac_lightning.spaces import ActionSpec, Array, ObsSpec
from sac_lightning.training.lightning_package import LightningModule
from sac_lightning.training.metrics import Metrics
from sac_lightning.training.trainer_options import ranks_of

CHECKPOINT_KEY = "sac_lightning"
CRITICS = ("sac.critic.", "sac.target_critic.")


class PolicyModule(LightningModule):
    """Acts with the policy of `sac`; `trainer.validate`, `test` and `predict` run it. SACModule trains it."""

    sac: SAC
    obs_spec: ObsSpec
    action_spec: ActionSpec

    def __init__(self) -> None:
        super().__init__()
        self.latest: Metrics = {}

    @property
    def env_steps(self) -> Tensor:
        """Env steps of the run so far, []."""
        return self.sac.env_steps

    @property
    def grad_steps(self) -> Tensor:
        """Gradient updates of the run so far, []."""
        return self.sac.grad_steps

    @property
    def policy(self) -> Policy:
        """The present policy; it shares this module's weights."""
        sac = self.sac
        return Policy(sac.actor, sac.head, self.obs_spec, self.action_spec, sac.normalize_obs)

    def act(self, obs: Any, deterministic: bool = False, generator: torch.Generator | None = None) -> Array:
        """Return the action for one obs `[*obs]`, or the actions for a batch `[B, *obs]`: see Policy.act."""
        return self.policy.act(obs, deterministic, generator)

    @classmethod
    def load_from_checkpoint(cls, checkpoint_path: Any, *args: Any, **options: Any) -> Self:
        """Load the module of a checkpoint, ready to act, without an env.

        A checkpoint is data: a pickled program is refused, and so is one that names a function to be called.
        `checkpoint_path` is a path or an open file.
        """
        options = {"map_location": "cpu", "weights_only": True, **options}
        check_format(checkpoint_path)
        module: Self = super().load_from_checkpoint(checkpoint_path, *args, **options)
        check_weights(module.sac)
        return module.eval()

    def policy_checkpoint(self) -> dict[str, Any]:
        """Return a small checkpoint for `torch.save`: without critics and optimizers, to play or export.

        `load_from_checkpoint` loads it; the critics are new ones then. No fit resumes from it.
        """
        state = {key: value for key, value in self.state_dict().items() if not key.startswith(CRITICS)}
        return {
            "pytorch-lightning_version": version("pytorch-lightning"),
            "epoch": 0,
            "global_step": int(self.grad_steps),
            "state_dict": state,
            "hyper_parameters": dict(self.hparams),
            CHECKPOINT_KEY: {"format": FORMAT, "policy_only": True},
        }

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Keep the critics of this module where `checkpoint` is one of `policy_checkpoint`."""
        if checkpoint.get(CHECKPOINT_KEY, {}).get("policy_only", False):
            critics = {key: value for key, value in self.state_dict().items() if key.startswith(CRITICS)}
            checkpoint["state_dict"] = {**critics, **checkpoint["state_dict"]}

    def validation_step(self, evaluations: Iterable[Evaluation | None], batch_idx: int) -> None:
        """Log an evaluation, which the loader runs."""
        self._log_evaluation(evaluations, "eval")

    def test_step(self, evaluations: Iterable[Evaluation | None], batch_idx: int) -> None:
        """Log an evaluation on other episodes, as `test/...`."""
        self._log_evaluation(evaluations, "test")

    def predict_step(self, obs: Any, batch_idx: int) -> Array:
        """Return the deterministic actions [B, ...] for a batch of observations [B, *obs]."""
        # A TensorDataset gives a list, ReplayDataModule an iterator.
        (batch,) = obs if isinstance(obs, list | tuple | Iterator) else (obs,)
        return self.act(batch.cpu() if isinstance(batch, Tensor) else batch, deterministic=True)

    def _log_evaluation(self, evaluations: Iterable[Evaluation | None], prefix: str) -> None:
        check_weights(self.sac)
        with self._without_autocast(), naming_update(self.grad_steps, self.env_steps):
            (evaluation,) = evaluations
        if evaluation is None:  # interrupted: callbacks must not judge the metrics of the one before
            self.trainer.sanity_checking = True
            return
        metrics = {
            f"{prefix}/return_mean": evaluation.return_mean,
            f"{prefix}/return_std": evaluation.return_std,
            f"{prefix}/episodes": float(len(evaluation.returns)),
        }
        if self.trainer.state.fn == "fit":
            self.log_metrics(metrics, int(self.env_steps))
        else:  # `trainer.validate` and `trainer.test` return what loggers get
            self.log_dict(metrics, batch_size=1, sync_dist=ranks_of(self.trainer) is not None)

    def _without_autocast(self) -> torch.autocast:
        """Lightning would cast the actor for every obs; an update casts what it wants itself."""
        return torch.autocast(self.device.type, enabled=False)

    def log_metrics(self, metrics: Mapping[str, float], env_steps: int) -> None:
        """Log a row at `env_steps` to all loggers, keep it in `latest`, and show it to callbacks.

        ModelCheckpoint and EarlyStopping can monitor all of it, from the first row on that has the metric.
        """
        self.latest.update(metrics)
        # Not by `log_dict`, which takes half a millisecond for each number.
        self.trainer.callback_metrics.update({key: torch.tensor(each) for key, each in metrics.items()})
        for logger in self.loggers:
            logger.log_metrics(dict(metrics), step=env_steps)
