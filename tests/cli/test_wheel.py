"""The built package: it holds its configs, and its commands work from an empty folder."""

import json
import subprocess
import sys
import sysconfig
import venv
import zipfile
from pathlib import Path

import pytest
from tests.cli.conftest import ROOT, TINY


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel of this checkout."""
    out = tmp_path_factory.mktemp("dist")
    line = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(out), str(ROOT)]
    subprocess.run(line, check=True, capture_output=True, timeout=120)
    (built,) = out.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def scripts(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The commands of a fresh environment that holds the wheel and sees this one's other packages."""
    home = tmp_path_factory.mktemp("venv")
    venv.create(home, with_pip=False)
    site = home / "lib" / f"python{sys.version_info.major}.{sys.version_info.minor}" / "site-packages"
    install = ["install", "--quiet", "--no-deps", "--no-index", str(wheel)]
    pip = [sys.executable, "-m", "pip", "--python", str(home / "bin" / "python")]
    subprocess.run([*pip, *install], check=True, capture_output=True, timeout=120)
    # After its own packages, so that the installed wheel comes first.
    (site / "parent.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return home / "bin"


def test_wheel_holds_the_configs_as_they_are_and_its_types_are_known(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as content:
        packed = {name: content.read(name) for name in content.namelist()}
    conf = {name.partition("/conf/")[2]: text for name, text in packed.items() if "/conf/" in name}
    files = (path for path in (ROOT / "conf").rglob("*") if path.is_file())
    assert conf == {str(path.relative_to(ROOT / "conf")): path.read_bytes() for path in files}
    assert "train.yaml" in conf
    assert {"sac_lightning/py.typed", "sac_lightning_report/py.typed"} <= packed.keys()
    assert {f"sac_lightning_report/templates/{name}.html" for name in ("base", "report")} <= packed.keys()


def test_installed_commands_train_and_evaluate_from_an_empty_folder(
    scripts: Path, tmp_path: Path, process_env: dict[str, str]
) -> None:
    env = {key: value for key, value in process_env.items() if key != "PYTHONPATH"}
    asked = {"cwd": tmp_path, "env": env, "capture_output": True, "text": True, "timeout": 120}
    place = [str(scripts / "python"), "-c", "import sac_lightning; print(sac_lightning.__file__)"]
    assert subprocess.run(place, check=True, **asked).stdout.startswith(str(scripts.parent))
    trained = subprocess.run([scripts / "sac-train", *TINY, "hydra.run.dir=run"], check=False, **asked)
    assert trained.returncode == 0, trained.stderr
    assert json.loads((tmp_path / "run" / "summary.json").read_text())["status"] == "done"
    seen = subprocess.run([scripts / "sac-eval", "run=run", "episodes=1"], check=False, **asked)
    assert seen.returncode == 0, seen.stderr
    assert json.loads((tmp_path / "run" / "eval.json").read_text())["episodes"] == 1
    assert [path.name for path in tmp_path.iterdir()] == ["run"]
