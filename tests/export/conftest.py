"""Real runs of every kind of policy, made once, and the export command."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tests.cli.conftest import IMPORTABLE, ROOT, TINY, Command, Server, server  # noqa: F401 - fixtures are used by name
from tests.export.hub_stand_in import TOKEN, Hub

OWN = Path(__file__).parent / "importable"
_ALLOW = ("env.imports=[export_envs]", "env.allowed_prefixes=[export_envs]")
RUNS = {
    "tanh_normal": ("env=pendulum",),
    "uneven": ("env=gym", "env.id=Uneven-v0", "num_envs=3", *_ALLOW),
    "normal": ("env=gym", "env.id=Unbounded-v0", "num_envs=2", "env.autoreset=next_step", *_ALLOW),
    "categorical": ("env=cartpole", "num_envs=2", "replay.capacity=24"),
    "pixels": ("env=gym", "env.id=Pixels-v0", *_ALLOW),
    "several": ("env=gym", "env.id=Several-v0", "num_envs=2", *_ALLOW),
    "many": ("env=gym", "env.id=Many-v0", "head=sampled_multi_categorical", *_ALLOW),
    "mixed": ("env=gym", "env.id=Mixed-v0", "head=hybrid", "num_envs=2", *_ALLOW),
}


@pytest.fixture(scope="session")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The user's home directory."""
    return tmp_path_factory.mktemp("home")


@pytest.fixture(scope="session")
def hub() -> Iterator[Hub]:
    """What stands in for huggingface.co."""
    hub = Hub()
    hub.start()
    yield hub
    hub.stop()


@pytest.fixture(scope="session")
def process_env(home: Path, hub: Hub) -> dict[str, str]:
    """The environment of the commands."""
    hidden = ("WANDB_API_KEY", "WANDB_MODE", "HYDRA_FULL_ERROR", "MINARI_DATASETS_PATH")
    env = {key: value for key, value in os.environ.items() if key not in hidden}
    path = os.pathsep.join(map(str, (IMPORTABLE, OWN, ROOT / "src")))
    to_hub = {"HF_ENDPOINT": hub.url, "HF_HOME": str(home / "hf"), "HF_TOKEN": TOKEN}
    return {**env, **to_hub, "NETRC": os.devnull, "PYTHONPATH": path, "COLUMNS": "250", "HOME": str(home)}


@pytest.fixture(scope="session")
def run_of(tmp_path_factory: pytest.TempPathFactory, server: Server) -> Callable[[str], Path]:  # noqa: F811 - asks for the fixture
    """`run_of("normal")`: the directory of a finished run with that policy."""
    made: dict[str, Path] = {}

    def run(kind: str) -> Path:
        if kind not in made:
            folder = tmp_path_factory.mktemp(kind)
            ended = server.call("train", folder, (*TINY, *RUNS[kind], f"hydra.run.dir={folder}/run"))
            assert ended.code == 0, ended.err
            made[kind] = folder / "run"
        return made[kind]

    return run


@pytest.fixture
def export(tmp_path: Path, server: Server) -> Command:  # noqa: F811 - asks for the fixture
    """The export command."""
    return lambda *arguments, **options: server.call("export", tmp_path, arguments, **options)
