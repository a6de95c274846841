"""A run's folder that another command reads: its env, its checkpoints, its policy."""

from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf

from sac_lightning.cli import hub
from sac_lightning.cli.command_line import typed_path
from sac_lightning.cli.rundir import replace_text
from sac_lightning.cli.targets import check_wrappers, read_saved
from sac_lightning.collect.evaluation import check_max_steps, has_time_limit
from sac_lightning.core.errors import ConfigError, require
from sac_lightning.core.files import DamagedFile, check_no_links
from sac_lightning.core.finite import NotFiniteError
from sac_lightning.core.hardware import resolve_device
from sac_lightning.envs import EnvConfig, action_spec, obs_spec
from sac_lightning.training.module import SACModule


@dataclass(frozen=True)
class Run:
    """A run directory to read: its config is data about the env, and nothing in it is instantiated.

    `results` is where commands write: the run directory itself, or a folder under runs/ for a policy that has
    a name.
    """

    path: Path
    config: dict[str, Any]
    results: Path

    @classmethod
    def at(cls, path: str) -> "Run":
        """The run in the folder `path`, or the policy that it names: `hf:USER/NAME`, `zoo:pendulum`.

        Raises ConfigError that says what is missing there.
        """
        named = hub.has_name(path)
        folder = hub.folder_of(path) if named else typed_path(path)
        require(folder.is_dir(), "run", path, "is no run: there is no such folder")
        file = folder / "config.yaml"
        require(file.is_file(), "run", path, "is no run: it has no config.yaml")
        try:
            if not named:  # the Hub's cache consists of links, and nothing is written there
                check_no_links(folder)
            config: Any = OmegaConf.to_container(read_saved(file), resolve=False)
        except OSError as error:
            raise ConfigError("run", path, f"cannot be read: {error}") from None
        env = config.get("env")
        known = isinstance(env, dict) and isinstance(env.get("id"), str)
        require(known, "run", path, "is no run: its config.yaml names no env.id")
        return cls(folder, config, hub.results_of(path, folder) if named else folder)

    def env(self, allowed_prefixes: list[str]) -> EnvConfig:
        """The run's env. What its file allows does not count: only `allowed_prefixes` does."""
        left_out = ("_target_", "allowed_prefixes", "make")
        said = {key: value for key, value in self.config["env"].items() if key not in left_out}
        check_wrappers(said.get("wrappers"), self.path, allowed_prefixes)
        placed = replace_text(said, "${paths.run_dir}", str(self.results.absolute()))
        try:
            env = EnvConfig(**placed, allowed_prefixes=allowed_prefixes)
            env.check()
        except TypeError as error:
            raise ConfigError("run", self.path, f"its config.yaml describes no env: {error}") from None
        except ConfigError as error:
            advice = error.allowed.replace("env.allowed_prefixes", "allowed_prefixes")
            raise ConfigError(error.key, error.value, advice) from None
        return env

    @property
    def max_steps(self) -> int | None:
        """The run's `eval_max_steps`. Raises ConfigError where its config.yaml has none that can be used."""
        return check_max_steps("max_steps", self.config.get("eval_max_steps"))

    def checkpoint(self, which: str) -> Path:
        """The file of `best`, `last` or a path; a run without a best one has its last, or a policy alone."""
        folder = self.path / "checkpoints"
        best, last, policy = folder / "best.ckpt", folder / "last.ckpt", self.path / hub.POLICY
        names = {"best": [policy] if self.path != self.results else [best, last, policy], "last": [last]}
        places = names[which] if which in names else [typed_path(which)]
        found = next((place for place in places if place.is_file()), None)
        if found is None:
            raise ConfigError("checkpoint", which, f"there is no {' and no '.join(map(str, places))}")
        return found


def load(path: Path, typed: str, device: str) -> SACModule:
    """The module of a checkpoint. Raises ConfigError unless it is whole and holds data alone."""
    place = resolve_device(device)
    try:
        return SACModule.load_from_checkpoint(path).to(place)
    except DamagedFile:  # of another format
        raise
    except NotFiniteError as error:
        raise ConfigError("checkpoint", path, f"{error}: its run diverged, name another one") from None
    except Exception as error:
        # The first line: what torch adds advises to switch its protection off.
        reason = str(error).strip().partition("\n")[0].partition(". ")[0] or type(error).__name__
        raise ConfigError(
            "checkpoint",
            typed if typed == str(path) else f"{typed} ({path})",
            f"is damaged, or holds more than data, or is none of sac_lightning: {reason}",
        ) from None


def check_spaces(module: SACModule, env: EnvConfig, checkpoint: Path) -> bool:
    """Whether the run's env limits its episodes.

    Raises ConfigError unless the checkpoint was trained on spaces like those of the env.
    """
    with closing(env.build()) as probe:
        obs, action = obs_spec(probe.observation_space), action_spec(probe.action_space)
        has_limit = has_time_limit(probe)
    require(
        (obs, action) == (module.obs_spec, module.action_spec),
        "checkpoint",
        checkpoint,
        f"was trained on obs {module.obs_spec.shape} and {module.action_spec}; "
        f"{env.id} has obs {obs.shape} and {action}",
    )
    return has_limit
