"""`python export.py run=RUN_DIR format=onnx`, `sac-export`: a run's policy or replay as a file for others."""

import math
import shlex
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sac_lightning.cli.command_line import (
    FAILED,
    check_installed,
    command_of,
    is_installed,
    load_frameworks,
    print_rows,
    typed_path,
)
from sac_lightning.cli.mistakes import print_mistake
from sac_lightning.cli.train import hydra_command
from sac_lightning.core.errors import ConfigError, require
from sac_lightning.core.fields import BOOL
from sac_lightning.core.files import DamagedFile

if TYPE_CHECKING:
    from omegaconf import DictConfig

    from sac_lightning.algorithm.policy import Policy
    from sac_lightning.cli.saved_run import Run

NEEDS = {
    "torch": (),
    "onnx": ("onnx", "onnxscript", "onnxruntime"),
    "minari": ("minari", "h5py"),
    "hub": (),
}
PLACES = {"torch": "export/policy.pt2", "onnx": "export/policy.onnx", "minari": "minari"}
ENDS = {"terminated": "terminated", "truncated": "truncated", "checkpoint": "cut by the checkpoint"}


def main() -> None:
    """Run the command; exit with 0 done, 1 failed, 2 a mistake in the arguments, 130 interrupted."""
    sys.exit(command())


def command() -> int:
    """The command's exit status; a mistake is one line on stderr."""
    one = "exports one run at a time; call it once for each"
    return hydra_command("export", _job, paths=("run", "checkpoint", "out"), no_multirun=one)


def _job(cfg: "DictConfig") -> tuple[int, float]:
    load_frameworks()
    from sac_lightning.cli.saved_run import Run
    from sac_lightning.export import ExportError

    kind = str(cfg.format)
    require(kind in NEEDS, "format", kind, f"must be one of {', '.join(NEEDS)}")
    run = Run.at(str(cfg.run))
    checkpoint = run.checkpoint(str(cfg.checkpoint))
    need(kind)
    _check_hub(cfg)
    out = run.results / PLACES.get(kind, "") if cfg.out is None else typed_path(str(cfg.out))
    export = {"minari": _dataset, "hub": _hub}.get(kind, _policy)
    try:
        return 0, export(cfg, run, checkpoint, out)
    except DamagedFile as error:
        return print_mistake(DamagedFile(error.path, error.what)), math.nan
    except ExportError as error:
        print(f"error: {error}; nothing was written", file=sys.stderr)
        return FAILED, math.nan
    except OSError as error:
        raise ConfigError("out", str(out), f"cannot be written: {error.strerror or error}") from None


def need(kind: str) -> None:
    """Raise ConfigError unless the packages that `format=kind` needs are installed."""
    for name in NEEDS[kind]:
        check_installed("format", kind, name, "export")


def _policy(cfg: "DictConfig", run: "Run", checkpoint: Path, out: Path) -> float:
    from sac_lightning import export
    from sac_lightning.cli.saved_run import load
    from sac_lightning.core.files import write_atomically

    require(not out.is_dir(), "out", out, "is a folder: name a file")
    module = load(checkpoint, str(cfg.checkpoint), "cpu")
    policy = module.policy
    about = export.describe(policy, env_id=run.config["env"]["id"], env_steps=int(module.env_steps))
    content, difference = _graph(policy, about, str(cfg.format))
    write_atomically(out, lambda temporary: temporary.write_bytes(content))
    print_rows(
        f"{about['env_id']}: the policy after {about['env_steps']:,} env steps",
        {
            "input": f"obs [batch, {', '.join(map(str, policy.reads.shape))}] of {policy.reads.dtype}",
            "output": f"the deterministic action, as env.step takes it: {policy.action}",
            "largest difference": f"{difference:.3g} (allowed {export.TOLERANCE:g})",
        },
        {"checkpoint": str(checkpoint), "written": f"{out} ({len(content):,} bytes)"},
    )
    return difference


def _graph(policy: "Policy", about: dict[str, Any], kind: str) -> tuple[bytes, float]:
    """The policy as a file, and how far its actions are from the policy's own."""
    from sac_lightning import export

    write: Callable[..., bytes] = export.torch_bytes if kind == "torch" else export.onnx_bytes
    content = write(policy, about)
    act = export.run_torch(content) if kind == "torch" else export.run_onnx(content)
    difference = export.largest_difference(policy, act)
    if not difference <= export.TOLERANCE:
        by = f"largest difference {difference:.3g}, allowed {export.TOLERANCE:g}"
        raise export.ExportError(f"format={kind}: the file does not act as the policy does ({by})")
    return content, difference


def _check_hub(cfg: "DictConfig") -> None:
    from sac_lightning.cli import hub

    if cfg.format != "hub":
        require(cfg.repo is None, "repo", cfg.repo, "is for format=hub")
        return
    BOOL.check("private", cfg.private)
    one = (cfg.repo is None) != (cfg.out is None)
    require(one, "repo", cfg.repo, "must be USER/NAME on the Hub, or null with out=FOLDER: one of the two")
    if cfg.repo is not None:
        hub.check_repo("repo", str(cfg.repo))
        check_installed("format", "hub", hub.PACKAGE, "hub")
        return
    out = typed_path(str(cfg.out))
    require(not out.exists() or out.is_dir(), "out", out, "is a file: name a folder")
    free = not out.exists() or not any(out.iterdir()) or (out / hub.POLICY).is_file()
    require(free, "out", out, "contains other files than those of a policy: name another folder")


def _hub(cfg: "DictConfig", run: "Run", checkpoint: Path, out: Path) -> float:
    from sac_lightning import export
    from sac_lightning.cli import hub
    from sac_lightning.cli.model_card import card, evaluation_of, permission, policy_files
    from sac_lightning.cli.saved_run import load

    module = load(checkpoint, str(cfg.checkpoint), "cpu")
    files, difference = policy_files(run, module), math.nan
    note = "not written: the packages of the extra export are not installed"
    if all(map(is_installed, NEEDS["onnx"])):
        about = export.describe(
            module.policy, env_id=run.config["env"]["id"], env_steps=int(module.env_steps)
        )
        try:
            files[hub.ONNX], difference = _graph(module.policy, about, "onnx")
            note = f"largest difference {difference:.3g} (allowed {export.TOLERANCE:g})"
        except ConfigError as error:  # a head or network of one's own
            note = f"not written: {error.allowed}"
    name = f"{hub.HUB}{cfg.repo}" if cfg.repo is not None else hub.name_of(out)
    files[hub.CARD] = card(run, module, name, files).encode()
    if cfg.repo is None:
        hub.write_files(files, out)
        place, name = str(out), name if hub.has_name(name) else str(out)
    else:
        place = hub.push(files, str(cfg.repo), cfg.private)
    shown = evaluation_of(run, module)
    print_rows(
        f"{run.config['env']['id']}: the policy after {int(module.env_steps):,} env steps",
        {
            "return": "not evaluated" if shown is None else shown.text,
            hub.ONNX: note,
            "files": f"{len(files)}, {sum(map(len, files.values())):,} bytes",
        },
        {
            "checkpoint": str(checkpoint),
            "written": place,
            "play it": command_of("eval", f"run={name}", *permission(run)),
        },
    )
    return difference


def _dataset(cfg: "DictConfig", run: "Run", checkpoint: Path, out: Path) -> float:
    from sac_lightning import export
    from sac_lightning.cli.saved_run import load
    from sac_lightning.core.checkpoint import read_checkpoint, replay_state

    env_id = str(run.config["env"]["id"])
    dataset = str(cfg.dataset) if cfg.dataset is not None else export.default_name(env_id)
    export.check_name(dataset)
    require(not out.exists() or out.is_dir(), "out", out, "is a file: name a folder")
    module = load(checkpoint, str(cfg.checkpoint), "cpu")
    specs = module.obs_spec, module.action_spec
    state = replay_state(read_checkpoint(checkpoint))
    if not state.get("journal"):
        raise DamagedFile(checkpoint, "refers to no replay journal: there is nothing to export")
    rows = export.read_rows(state, run.path / "replay", specs)
    cut = export.episodes(rows)
    last = rows.first + len(rows.reward) - 1
    described = f"Replay of SAC on {env_id}: transitions {rows.first} to {last} of the run {run.path.name}."
    folder = export.write_dataset(
        out, dataset, rows, cut, specs, description=described, algorithm_name="SAC (sac_lightning)"
    )
    counts = ", ".join(f"{sum(each.ends == end for each in cut)} {label}" for end, label in ENDS.items())
    place = shlex.quote(str(out.absolute()))
    print_rows(
        f"{env_id}: the replay after {int(module.env_steps):,} env steps",
        {
            "transitions": f"{len(rows.reward):,}",
            "episodes": f"{len(cut):,}: {counts}",
        },
        {
            "checkpoint": str(checkpoint),
            "written": str(folder),
            "open it": f"MINARI_DATASETS_PATH={place} and minari.load_dataset('{dataset}')",
        },
    )
    return float(len(cut))


if __name__ == "__main__":
    main()
