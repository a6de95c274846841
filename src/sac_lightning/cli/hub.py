"""Policies that have a name: `hf:USER/NAME` on the Hugging Face Hub, `zoo:pendulum` in this repository."""

import logging
import os
import re
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

import yaml

from sac_lightning.cli.command_line import check_installed, start_folder
from sac_lightning.cli.train import config_dir
from sac_lightning.core.errors import ConfigError, did_you_mean, one_line, require
from sac_lightning.core.files import write_atomically
from sac_lightning.core.screen import log_level
from sac_lightning.core.yaml_text import LOADER, read_yaml_text

HUB, ZOO = "hf:", "zoo:"
PACKAGE = "huggingface_hub"
CARD, CONFIG, POLICY, ONNX = "README.md", "config.yaml", "policy.ckpt", "policy.onnx"
CURVE, METRICS = "plots/learning_curve.png", "metrics.csv"
# All that is written to a repository or read from one.
FILES = (CARD, CONFIG, POLICY, ONNX, CURVE, METRICS)
LOG_IN = "log in with `hf auth login`, or set HF_TOKEN"


def has_name(run: str) -> bool:
    """Whether `run` is the name of a policy, and no folder."""
    return run.startswith((HUB, ZOO))


def folder_of(run: str) -> Path:
    """The folder with the policy that `run` names; one of the Hub is downloaded into the Hub's cache.

    Raises ConfigError that says why there is none.
    """
    return _pulled(run) if run.startswith(HUB) else _of_zoo(run)


def results_of(run: str, folder: Path) -> Path:
    """Where commands write about the policy that `run` names, in `folder`: `runs/zoo/pendulum`."""
    kind, _, name = run.partition(":")
    return start_folder() / "runs" / kind / (name if run.startswith(HUB) else folder.name)


def name_of(folder: Path) -> str:
    """What a card writes behind `run=` for the policy in `folder`: `zoo:pendulum`, or the folder's name."""
    in_zoo = folder.resolve().parent == zoo_folder().resolve()
    return f"{ZOO}{folder.name}" if in_zoo else folder.name


def check_repo(key: str, value: str) -> None:
    """Raise ConfigError unless `value` is a name that a repository of the Hub can have, with its owner."""
    repo = value.removeprefix(HUB)
    ok = re.fullmatch(r"\w[\w.-]*/\w[\w.-]*", repo, re.ASCII) is not None and ".." not in repo
    require(ok, key, value, "must be USER/NAME, in letters, digits, '-', '_' and '.'")


def write_files(files: Mapping[str, bytes], folder: Path) -> None:
    """Write `files` to `folder`, and remove what an earlier policy has left there and this one has not."""
    for name in FILES:
        if name in files:
            write_atomically(folder / name, partial(_write, files[name]))
        else:
            (folder / name).unlink(missing_ok=True)


def _write(content: bytes, temporary: Path) -> None:
    temporary.write_bytes(content)


def push(files: Mapping[str, bytes], repo: str, private: bool) -> str:
    """Push `files` to the repository as one commit, and return its address.

    A new repository is private with `private`. Raises ConfigError where the Hub does not take them.
    """
    with TemporaryDirectory() as folder, _hub_errors("repo", repo):
        from huggingface_hub import HfApi

        write_files(files, Path(folder))
        api = HfApi(library_name="sac_lightning")
        api.create_repo(repo, private=private or None, exist_ok=True)
        if private and not api.repo_info(repo).private:
            raise ConfigError(
                "private", True, f"{repo} exists and is public: make it private in its settings"
            )
        gone = [name for name in FILES if name not in files]
        message = f"Upload the policy of {repo.partition('/')[2]} with sac_lightning"
        commit = api.upload_folder(
            repo_id=repo, folder_path=folder, commit_message=message, delete_patterns=gone or None
        )
        return str(commit.commit_url)


def _pulled(run: str) -> Path:
    repo = run.removeprefix(HUB)
    check_repo("run", run)
    check_installed("run", run, PACKAGE, "hub")
    with _hub_errors("run", run):
        from huggingface_hub import snapshot_download

        return Path(snapshot_download(repo, allow_patterns=list(FILES), library_name="sac_lightning"))


@contextmanager
def _hub_errors(key: str, value: str) -> Iterator[None]:
    """Turn what goes wrong with the Hub into one line; without its progress bars and remarks."""
    os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
    from huggingface_hub import errors

    try:
        with log_level(logging.ERROR, PACKAGE):
            yield
        return
    except ConfigError:
        raise
    except errors.RepositoryNotFoundError:
        reason = f"there is no such repository, or it is private: {LOG_IN}"
    except errors.HfHubHTTPError as error:
        status = error.response.status_code
        refused = status in (401, 403)
        reason = f"the Hub refuses this (status {status}): {LOG_IN}" if refused else f"the Hub fails: {error}"
    except errors.LocalEntryNotFoundError as error:
        cause = "" if error.__cause__ is None else f" ({error.__cause__})"
        reason = f"the Hub cannot be reached{cause}, and this is not in its cache"
    except Exception as error:  # those of its HTTP library, which differs between its versions
        kind = type(error).__name__
        done = "reached" if re.search("Connect|Timeout|Proxy|Offline", kind) else "used"
        reason = f"the Hub cannot be {done} ({kind}: {error})"
    raise ConfigError(key, value, one_line(reason)[:300])


def zoo_folder() -> Path:
    """The folder `zoo` of the repository: beside conf/, or, with an installed package, beside its eval.py."""
    places = Path(config_dir()).with_name("zoo"), Path(sys.argv[0]).resolve().with_name("zoo")
    return next((place for place in places if place.is_dir()), places[0])


def _of_zoo(run: str) -> Path:
    name, zoo = run.removeprefix(ZOO), zoo_folder()
    advice = "the zoo is no part of the installed package: clone the repository, and use its eval.py"
    require(zoo.is_dir(), "run", run, advice)
    ids = {
        folder.name: _env_id(folder / CONFIG)
        for folder in sorted(zoo.iterdir())
        if (folder / CONFIG).is_file()
    }
    found = next((each for each, env_id in ids.items() if name in (each, env_id)), None)
    if found is None:
        hint = did_you_mean(name, [*ids, *ids.values()])
        raise ConfigError("run", run, f"the zoo has {', '.join(ids)}.{hint}")
    return zoo / found


def _env_id(config: Path) -> str:
    return str(yaml.load(read_yaml_text(config), LOADER)["env"]["id"])
