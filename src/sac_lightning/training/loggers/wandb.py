"""A Weights & Biases logger whose x-axis is env steps, and which never asks for input."""

import logging
import netrc
import os
import secrets
import shlex
import string
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, cast
from urllib.parse import urlsplit

from torch import nn
from typing_extensions import override

from sac_lightning.core.errors import require
from sac_lightning.core.fields import FOLDER, TEXT, Whole, check_arguments
from sac_lightning.training.lightning_package import (
    ModelCheckpoint,
    WandbLogger,
    rank_zero_experiment,
    rank_zero_only,
)
from sac_lightning.training.loggers.wandb_media import HISTOGRAMS, ModelArtifacts, histograms

if TYPE_CHECKING:
    import wandb
    from pytorch_lightning import LightningModule

log = logging.getLogger(__name__)

STEP = "env_steps"
TRAINING_ROW = "train/critic_loss"  # a metric that rows of training have, and no others
FORBIDDEN_IN_PROJECT = "/\\#?%:"
MODES = ("auto", "online", "offline", "disabled")
# W&B refuses longer ones, and a run named after its overrides can be long.
LONGEST_NAME, LONGEST_TAG = 128, 64
INIT_TIMEOUT_S, FINISH_TIMEOUT_S = 60.0, 120.0


class EnvStepWandbLogger(WandbLogger):
    """A `WandbLogger` whose x-axis is `env_steps`, online only where that can work.

    It asks for no input, saves no code and leaves the environment variables as they are.

    Args:
        project: name of the W&B project.
        dir: the folder in which W&B makes its own folder `wandb`.
        name, group, job_type, tags: how W&B shows the run; None for W&B's choice.
        id: the `run_id` of a run to continue; None for a new run.
        mode: "online", "offline", "disabled" or "auto", which is online with an API key and offline without.
        entity: the team or user that owns the run; None is the account's own.
        notes: text about the run, shown beside it.
        log_model: send best.ckpt and last.ckpt as versions of the artifact `model-RUN_ID` when a fit ends,
            with the aliases `best` or `last`, and `env_steps-N`.
        video_every: epochs between two films of an episode (`EvaluationVideo`); None makes no film.
        histograms: "gradients", "parameters" or "all" with each row of training metrics, or None (`watch`).
    """

    @check_arguments()
    def __init__(
        self,
        project: str = "sac_lightning",
        dir: Annotated[str | os.PathLike[str], FOLDER] = ".",
        *,
        name: Annotated[str | None, TEXT] = None,
        group: Annotated[str | None, TEXT] = None,
        job_type: Annotated[str | None, TEXT] = None,
        tags: Iterable[str] = (),
        id: Annotated[str | None, TEXT] = None,
        mode: str = "auto",
        entity: Annotated[str | None, TEXT] = None,
        notes: Annotated[str | None, TEXT] = None,
        log_model: bool = False,
        video_every: Annotated[int | None, Whole("[1, inf)", "epochs")] = None,
        histograms: str | None = None,
    ) -> None:
        listed = isinstance(tags, Iterable) and not isinstance(tags, str | Mapping)
        require(listed, "tags", tags, "must be a list of words")
        ok = isinstance(project, str) and bool(project) and not set(project) & set(FORBIDDEN_IN_PROJECT)
        require(ok, "project", project, f"must be a name without any of {FORBIDDEN_IN_PROJECT}")
        ok = histograms in (None, *HISTOGRAMS)
        require(ok, "histograms", histograms, f"must be {', '.join(HISTOGRAMS)} or null")
        self.video_every, self.histograms = video_every, histograms
        self._watched: tuple[LightningModule, str] | None = None
        self._artifacts = ModelArtifacts() if log_model else None
        self.mode = choose_mode(mode)
        self._run_id = id or _id_from_agent() or _new_id()
        folder, shown_as = Path(dir).absolute(), _short(name)
        options: dict[str, Any] = {
            "group": _short(group),
            "job_type": _short(job_type, LONGEST_TAG),
            "tags": [tag[:LONGEST_TAG] for tag in map(str, tags) if tag],
            "entity": entity,
            "notes": notes,
        }
        super().__init__(shown_as, folder, self._run_id, project=project, **options)
        self._arguments = {
            **options,
            "name": shown_as,
            "project": project,
            "dir": str(folder),
            "id": self._run_id,
            "resume": "allow",
        }
        self._requested_mode = mode
        self._env_steps = 0
        self._run: wandb.Run | None = None

    def __getstate__(self) -> dict[str, Any]:
        """The logger without its W&B run, which belongs to this process."""
        return {**vars(self), "_run": None}

    @property
    def version(self) -> str:
        """The run's id at W&B, the same before, while and after it runs."""
        return self._run_id

    @property
    def run_id(self) -> str:
        """`version` under its W&B name."""
        return self.version

    @property
    @rank_zero_experiment
    def experiment(self) -> "wandb.Run":
        """The W&B run, started on first use."""
        if self._run is None:
            self._run = self._start()
            self._run.define_metric(STEP)
            self._run.define_metric("*", step_metric=STEP)
            if self.mode == "offline":
                log.info("W&B: this run is kept offline; send it with: %s", self.sync_command)
        return self._run

    @property
    def sync_dir(self) -> str:
        """The directory that `wandb sync` takes, empty while nothing is recorded."""
        run = self._run
        return "" if run is None or self.mode == "disabled" else str(Path(run.dir).parent)

    @property
    def sync_command(self) -> str:
        """The command that sends what was recorded here, under `run_id`."""
        moved = self._run is not None and self._run.id != self.run_id
        return f"wandb sync {f'--id {self.run_id} ' if moved else ''}{shlex.quote(self.sync_dir)}"

    @override
    @rank_zero_only
    def log_metrics(self, metrics: Mapping[str, Any], step: int | None = None) -> None:
        """Log one row at `step` env steps; without a step, at the last one logged."""
        self._env_steps = int(metrics.get(STEP, self._env_steps if step is None else step))
        row = {key: value for key, value in metrics.items() if key != "epoch"}
        if self._watched is not None and TRAINING_ROW in row:
            row |= histograms(*self._watched)
        if row:
            self.experiment.log({**row, STEP: self._env_steps})

    @override
    def watch(
        self, model: nn.Module, log: str | None = "gradients", log_freq: int = 0, log_graph: bool = False
    ) -> None:
        """Add histograms to each row of training metrics: "gradients", "parameters", "all"; None for none.

        W&B's own hooks wait for `backward()`, which updates here do not call; `log_freq` and `log_graph` have
        no meaning.
        """
        require(log in (None, *HISTOGRAMS), "log", log, f"must be {', '.join(HISTOGRAMS)} or None")
        self._watched = None if log is None else (cast("LightningModule", model), log)

    @override
    @rank_zero_only
    def log_graph(self, model: nn.Module, input_array: Any = None) -> None:
        """Watch `model` as `histograms` says: Lightning calls this when a fit begins."""
        if self.histograms is not None:
            self.watch(model, self.histograms)
        callbacks = vars(cast("LightningModule", model).trainer).get("callbacks", ())
        if self.video_every is not None and not any(hasattr(each, "films") for each in callbacks):
            log.warning("video_every=%s: give the Trainer the callback EvaluationVideo", self.video_every)

    @override
    @rank_zero_only
    def after_save_checkpoint(self, checkpoint_callback: ModelCheckpoint) -> None:
        """Checkpoints stay in the run directory; with `log_model` they are logged when the fit ends."""
        if self._artifacts is not None:
            self._artifacts.remember(checkpoint_callback)

    @override
    @rank_zero_only
    def finalize(self, status: str) -> None:
        """Log the checkpoints, if `log_model` is set: the fit has ended."""
        if self._artifacts is not None and self.mode != "disabled":
            self._artifacts.log_to(self.experiment)

    @rank_zero_only
    def finish(self, exit_code: int = 0) -> None:
        """Close the run, as failed unless `exit_code` is 0. Its rows are on disk whatever the network."""
        if self._run is None:
            return
        try:
            self._run.finish(exit_code=exit_code)
        except Exception as error:  # a run's result must not depend on its record
            log.warning("W&B: the run could not be closed (%s); send it with: %s", error, self.sync_command)

    def _start(self) -> "wandb.Run":
        import wandb

        Path(str(self.save_dir)).mkdir(parents=True, exist_ok=True)
        try:
            return self._init()
        except wandb.errors.CommError as error:
            if self._requested_mode == "online":
                raise
            log.warning("W&B: the server does not answer (%s)", str(error).partition("\n")[0])
            self.mode = "offline"
            # W&B keeps the id for the attempt that failed.
            return self._init(id=_new_id())

    def _init(self, **changed: str) -> "wandb.Run":
        import wandb

        arguments = {**self._arguments, **changed, "mode": self.mode, "settings": _settings()}
        if self.mode != "online":
            arguments.pop("resume", None)  # means nothing there, and W&B says so each time
        return wandb.init(**arguments)


def choose_mode(requested: str = "auto") -> str:
    """Return `online`, `offline` or `disabled`, without using the network and without a question.

    `auto` follows WANDB_MODE and W&B's own settings, and is online only where an API key is configured.
    """
    require(requested in MODES, "mode", requested, f"must be one of {', '.join(MODES)}")
    if requested in ("offline", "disabled"):
        return requested
    if requested == "online":
        allowed = "online needs an API key: run `wandb login`, or set WANDB_API_KEY"
        require(_has_key(), "mode", requested, allowed)
        return requested
    mode = os.environ.get("WANDB_MODE", "").lower() or _setting("mode")
    if mode == "disabled":
        return "disabled"
    return "offline" if mode in ("offline", "dryrun") or not _has_key() else "online"


def _has_key() -> bool:
    if os.environ.get("WANDB_API_KEY") or os.environ.get("WANDB_IDENTITY_TOKEN_FILE"):
        return True
    host = urlsplit(os.environ.get("WANDB_BASE_URL") or _setting("base_url")).netloc
    places = [os.environ["NETRC"]] if os.environ.get("NETRC") else ["~/.netrc", "~/_netrc"]
    for place in places:
        try:
            entry = netrc.netrc(Path(place).expanduser()).authenticators(host)
        except (OSError, netrc.NetrcParseError):
            continue
        if entry and entry[2]:
            return True
    return bool(_setting("api_key"))


def _setting(key: str) -> str:
    """Return a value of W&B's own settings files, which `wandb offline` and `wandb login` write."""
    import wandb

    return str(getattr(wandb.setup().settings, key, None) or "")


def _settings() -> "wandb.Settings":
    import wandb

    wanted: dict[str, Any] = {
        "silent": True,
        "console": "off",
        "save_code": False,
        "disable_git": True,
        "disable_job_creation": True,
        # Neither joins nor ends a run of the calling program.
        "reinit": "create_new",
        "init_timeout": INIT_TIMEOUT_S,
        "finish_timeout": FINISH_TIMEOUT_S,
    }
    known = wandb.Settings.model_fields
    return wandb.Settings(**{key: value for key, value in wanted.items() if key in known})


def _id_from_agent() -> str | None:
    """The id that a W&B sweep has chosen for this process; its controller knows the run by it alone."""
    return os.environ.get("WANDB_RUN_ID") if os.environ.get("WANDB_SWEEP_ID") else None


def _new_id() -> str:
    # As W&B makes its own; `secrets` leaves the seeded generators alone.
    return "".join(secrets.choice(string.ascii_lowercase + string.digits) for _ in range(8))


def _short(text: str | None, longest: int = LONGEST_NAME) -> str | None:
    return text if text is None or len(text) <= longest else f"{text[: longest - 1]}…"
