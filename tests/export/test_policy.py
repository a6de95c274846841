"""Exported policies act, in a process without this package, as the run's own policy does."""

import json
import subprocess
import sys
import sysconfig
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from tests.cli.conftest import Server
from tests.export.conftest import OWN, RUNS

from sac_lightning import export
from sac_lightning.cli.export import command
from sac_lightning.export.check import _Float64, _in_float64, probes
from sac_lightning.heads import PREFERRED
from sac_lightning.spaces import Array, BoxAction
from sac_lightning.training.module import SACModule

FORMATS = {"torch": "pt2", "onnx": "onnx"}
Outside = dict[tuple[str, str], dict[str, Array]]


def observations(module: SACModule) -> dict[str, Array]:
    """Batches of several sizes and magnitudes."""
    spec, rng = module.obs_spec, np.random.default_rng(3)
    if spec.dtype == "uint8":
        batches = {f"of_{size}": rng.integers(0, 256, (size, *spec.shape)) for size in (1, 3, 64)}
        batches |= {"zero": np.zeros((1, *spec.shape)), "full": np.full((1, *spec.shape), 255)}
    else:
        batches = {f"of_{size}": rng.standard_normal((size, *spec.shape)) for size in (1, 3, 64)}
        batches |= {"zero": np.zeros((1, *spec.shape)), "far": 1e4 * rng.standard_normal((64, *spec.shape))}
    return {name: batch.astype(spec.dtype) for name, batch in batches.items()}


@pytest.fixture(scope="session")
def modules(run_of: Callable[[str], Path]) -> dict[str, SACModule]:
    """The runs' own modules."""
    return {k: SACModule.load_from_checkpoint(run_of(k) / "checkpoints" / "last.ckpt") for k in RUNS}


@pytest.fixture(scope="session")
def outside(
    run_of: Callable[[str], Path],
    modules: dict[str, SACModule],
    server: Server,
    process_env: dict[str, str],
    tmp_path_factory: pytest.TempPathFactory,
) -> Outside:
    """{(kind, format): {batch: actions}} of one process that does not have the package."""
    folder, jobs = tmp_path_factory.mktemp("outside"), []
    for kind in RUNS:
        np.savez(folder / f"{kind}.npz", **observations(modules[kind]))
        for name, ending in FORMATS.items():
            out = folder / f"{kind}.{ending}"
            line = (f"run={run_of(kind)}", f"format={name}", "checkpoint=last", f"out={out}")
            ended = server.call("export", folder, line)
            assert ended.code == 0, ended.err
            assert "largest difference" in ended.out
            assert ended.err == ""
            jobs.append([str(out), str(folder / f"{kind}.npz"), str(folder / f"{kind}-{name}.npz")])
    # -S reads no .pth files, so the package, installed by one, is not to be found.
    env = {**process_env, "PYTHONPATH": sysconfig.get_paths()["purelib"]}
    line = [sys.executable, "-S", str(OWN / "outside.py")]
    ended = subprocess.run(line, input=json.dumps(jobs), env=env, cwd=folder, text=True, capture_output=True)
    assert ended.returncode == 0, ended.stderr
    return {
        (kind, name): dict(np.load(folder / f"{kind}-{name}.npz").items())
        for kind in RUNS
        for name in FORMATS
    } | {("folder", ""): {"path": np.array(str(folder))}}


@pytest.mark.parametrize("kind", RUNS)
def test_torch_program_gives_identical_actions(
    kind: str, modules: dict[str, SACModule], outside: Outside
) -> None:
    for name, obs in observations(modules[kind]).items():
        expected, found = modules[kind].act(obs, deterministic=True), outside[kind, "torch"][name]
        assert found.dtype == expected.dtype
        np.testing.assert_array_equal(found, expected, err_msg=name)


@pytest.mark.parametrize("kind", RUNS)
def test_onnx_model_gives_the_same_actions_to_1e5(
    kind: str, modules: dict[str, SACModule], outside: Outside
) -> None:
    for name, obs in observations(modules[kind]).items():
        expected, found = modules[kind].act(obs, deterministic=True), outside[kind, "onnx"][name]
        assert (found.dtype, found.shape) == (expected.dtype, expected.shape)
        # Far out, a sum of numbers near 1e4 is exact to 1e-3 and no better.
        apart = 1e-5 if name != "far" else 1e-5 * float(np.abs(obs).max())
        np.testing.assert_allclose(found, expected, rtol=1e-5, atol=apart, err_msg=name)
        if isinstance(modules[kind].action_spec, BoxAction):
            flat = found.reshape(len(found), -1)
            low, high = (np.float32(getattr(modules[kind].action_spec, end)) for end in ("low", "high"))
            assert ((flat >= low) & (flat <= high)).all()


@pytest.mark.parametrize("kind", RUNS)
def test_every_policy_computes_in_float64(kind: str, modules: dict[str, SACModule]) -> None:
    policy = modules[kind].policy
    exact, obs = _in_float64(policy), next(probes(policy.reads, np.random.default_rng(0)))
    with torch.inference_mode():
        features = policy.features(torch.from_numpy(obs))
        with _Float64():
            wide = exact.features(torch.from_numpy(obs.astype(exact.obs.dtype)))
    assert (features.dtype, wide.dtype) == (torch.float32, torch.float64)
    torch.testing.assert_close(wide.float(), features, rtol=1e-4, atol=1e-4)
    assert not torch.equal(wide, features.double())


def test_kinds_are_the_heads_they_stand_for(modules: dict[str, SACModule]) -> None:
    heads = {kind: module.sac.head.name() for kind, module in modules.items()}
    assert set(heads.values()) == {head.name() for head in PREFERRED}
    assert modules["pixels"].obs_spec.dtype == "uint8"


@pytest.mark.parametrize("kind", ["uneven", "pixels", "normal", "several", "mixed"])
def test_file_describes_itself(kind: str, outside: Outside) -> None:
    folder = Path(str(outside["folder", ""]["path"]))
    extra = {"policy.json": ""}
    torch.export.load(str(folder / f"{kind}.pt2"), extra_files=extra)
    about = json.loads(extra["policy.json"])
    (entry,) = onnx.load(folder / f"{kind}.onnx").metadata_props
    assert (entry.key, json.loads(entry.value)) == ("sac_lightning", about)
    action = {
        "uneven": {"kind": "box", "shape": [2, 2], "high": pytest.approx([0.1, 9.0, 6.0, 0.7])},
        "pixels": {"kind": "discrete", "n": 3, "start": 5},
        "several": {"kind": "multi_discrete", "shape": [2], "sizes": [2, 3], "starts": [0, 5]},
        "mixed": {"kind": "hybrid", "n": 3, "low": [-2.0, -2.0], "high": [5.0, 5.0]},
        "normal": {"kind": "box", "shape": [2], "low": [None, -1.0], "high": [None, 3.0]},
    }[kind]
    assert action.items() <= about["action"].items()
    assert about["env_steps"] == 60


@pytest.mark.parametrize("kind", RUNS)
def test_files_name_no_folder_of_the_machine(kind: str, outside: Outside) -> None:
    folder = Path(str(outside["folder", ""]["path"]))
    for ending in FORMATS.values():
        content = (folder / f"{kind}.{ending}").read_bytes()
        assert b"site-packages" not in content
        assert str(Path(__file__).parents[2]).encode() not in content


def test_file_that_acts_otherwise_is_not_written(
    run_of: Callable[[str], Path],
    modules: dict[str, SACModule],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def spoiled(obs: Array) -> Array:
        actions = modules["tanh_normal"].act(obs, deterministic=True)
        return actions - np.float32(4e-5) * (actions > 0.0)  # 2e-5 of half the width, 2

    monkeypatch.setattr(export, "torch_bytes", lambda policy, about: b"a program")
    monkeypatch.setattr(export, "run_torch", lambda content: spoiled)
    arguments = [f"run={run_of('tanh_normal')}", "format=torch", "checkpoint=last", "out=p.pt2"]
    monkeypatch.setattr(sys, "argv", ["export.py", *arguments])
    monkeypatch.setenv("HYDRA_FULL_ERROR", "1")  # the command sets it
    monkeypatch.chdir(tmp_path)
    assert command() == 1
    (message,) = capsys.readouterr().err.splitlines()
    begins = "error: format=torch: the file does not act as the policy does (largest difference 2"
    assert message.startswith(begins)
    assert message.endswith("e-05, allowed 1e-05); nothing was written")
    assert not list(tmp_path.iterdir())
