"""Undocumented parts of other libraries: used in one package, listed in the docs, and not needed by a run."""

import ast
import json
import logging
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from pkgutil import iter_modules, resolve_name
from types import SimpleNamespace
from typing import Any

import pytest
import torch

import sac_lightning.private
from sac_lightning.compile.graph import CompiledGraph
from sac_lightning.core.hardware import has_compiler
from sac_lightning.private import MissingApi, PrivateApi
from sac_lightning.private import torch as private_torch
from sac_lightning.private.hydra import ENSURE_RUNNING, RETURN_VALUE, refusal, start_joblib_tracker
from sac_lightning.private.lightning import MAX_STEPS, limit_batches_alone
from sac_lightning.private.mujoco import take_warnings

ROOT = Path(__file__).parents[2]
SRC = ROOT / "src"
DOOR = SRC / "sac_lightning" / "private"
MODULES = sorted(module.name for module in iter_modules(sac_lightning.private.__path__))
APIS: dict[str, tuple[PrivateApi, ...]] = {
    name: resolve_name(f"sac_lightning.private.{name}").PRIVATE_APIS for name in MODULES
}
# Documented in spite of their names: of named tuples, and of `os`.
DOCUMENTED = {"_replace", "_asdict", "_fields", "_make", "_exit"}
# Modules without a public name that hold nothing documented.
UNDOCUMENTED = ("pytorch_lightning.loops", "hydra._internal", "joblib.externals", "wandb.sdk")


def trees() -> dict[Path, ast.Module]:
    return {path: ast.parse(path.read_text()) for path in SRC.rglob("*.py")}


def private(name: object) -> bool:
    return isinstance(name, str) and name.startswith("_") and not name.endswith("_") and name.isidentifier()


def defined(tree: ast.Module) -> Iterator[str]:
    """The names that the code itself gives to functions, attributes and variables."""
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            yield node.name
        elif isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store):
            if isinstance(node.value, ast.Name) and node.value.id == "self":
                yield node.attr
        elif isinstance(node, ast.AnnAssign | ast.Assign):
            for target in [node.target] if isinstance(node, ast.AnnAssign) else node.targets:
                if isinstance(target, ast.Name):
                    yield target.id


def used(tree: ast.Module) -> Iterator[tuple[int, str]]:
    """Lines that use an attribute, an import or the name of an attribute that is private."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and private(node.attr):
            yield node.lineno, node.attr
        elif isinstance(node, ast.ImportFrom | ast.Import):
            module = (getattr(node, "module", None) or "").split(".")
            names = [*module, *(part for each in node.names for part in each.name.split("."))]
            yield from ((node.lineno, part) for part in names if private(part))
            if ".".join(module).startswith(UNDOCUMENTED):
                yield node.lineno, ".".join(module)
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name | ast.Attribute):
            called = node.func.id if isinstance(node.func, ast.Name) else node.func.attr
            if called in ("getattr", "setattr", "hasattr", "delattr", "attrgetter", "Attributes"):
                texts = [each.value for each in node.args if isinstance(each, ast.Constant)]
                yield from ((node.lineno, str(text)) for text in texts if private(text))


def test_no_other_file_uses_what_a_library_does_not_document() -> None:
    own = {name for path, tree in trees().items() if DOOR not in path.parents for name in defined(tree)}
    found = [
        f"{path.relative_to(SRC)}:{line}: {name}"
        for path, tree in trees().items()
        if DOOR not in path.parents
        for line, name in used(tree)
        if name not in own | DOCUMENTED
    ]
    assert found == []


def test_no_class_uses_what_its_base_from_a_library_keeps_for_itself() -> None:
    found = []
    for path, tree in trees().items():
        if DOOR in path.parents:
            continue
        module = import_module(".".join(path.relative_to(SRC).with_suffix("").parts))
        for node in (each for each in tree.body if isinstance(each, ast.ClassDef)):
            bases = [each for each in getattr(module, node.name).__mro__ if from_a_library(each)]
            kept = {name for base in bases for name in {*vars(base), *names_in(base)}}
            found += [f"{path.relative_to(SRC)}:{line}: {name}" for line, name in used(node) if name in kept]
    assert found == []


def from_a_library(cls: type) -> bool:
    package = cls.__module__.partition(".")[0]
    return package not in sys.stdlib_module_names and not (SRC / package).exists()


def table() -> str:
    """What docs/private_apis.md lists."""
    rows = [
        f"| `{api.name}` | {api.purpose} | {api.fallback} |" for module in MODULES for api in APIS[module]
    ]
    return "\n".join(["| part | what it does for a run | without it |", "|---|---|---|", *rows])


def test_the_docs_list_every_part() -> None:
    assert table() in (ROOT / "docs" / "private_apis.md").read_text()


def test_every_part_is_in_the_installed_versions() -> None:
    for api in (api for apis in APIS.values() for api in apis):
        owner = resolve_name(api.name.rpartition(".")[0])
        in_a_method = isinstance(owner, type) and api.attribute in names_in(owner)
        assert hasattr(owner, api.attribute) or in_a_method, api.name


def names_in(cls: type) -> set[str]:
    functions = [each for owner in cls.__mro__ for each in vars(owner).values()]
    fields = {name for owner in cls.__mro__ for name in vars(owner).get("__annotations__", ())}
    codes = [each.__code__ for each in functions if hasattr(each, "__code__")]
    return fields | {name for code in codes for name in code.co_names}


def left_by(folder: Path, *modules: str) -> dict[str, dict[str, Any]]:
    line = [sys.executable, str(Path(__file__).parent / "renaming.py"), str(folder), *modules]
    environment = {
        **os.environ,
        "PYTHONPATH": str(SRC),
        "TORCHINDUCTOR_CACHE_DIR": str(folder / "cache"),
        "TORCHINDUCTOR_CPP_CACHE_PRECOMPILE_HEADERS": "0",
    }
    ended = subprocess.run(line, capture_output=True, text=True, env=environment, check=False)
    assert ended.returncode == 0, ended.stderr[-3000:]
    left: dict[str, dict[str, Any]] = json.loads(ended.stdout.splitlines()[-1])
    return left


def check_done(left: dict[str, dict[str, Any]]) -> None:
    for name, run in left.items():
        ended = {key: run[key] for key in ("env_steps", "updates", "evaluated", "saved")}
        assert ended == {"env_steps": 40, "updates": 20, "evaluated": True, "saved": True}, name
        if "nothing renamed" in name:
            assert run["warned"] == []
            assert run["guarantee"] == "exact"
        else:
            assert sum(name.rpartition(".")[2] in line for line in run["warned"]) == 1, (name, run["warned"])
            assert all("\n" not in line for line in run["warned"])


def test_a_run_ends_without_any_part_of_lightning_or_gymnasium(tmp_path: Path) -> None:
    left = left_by(tmp_path, "lightning", "gymnasium")
    check_done(left)
    exact = {name for name, run in left.items() if run["guarantee"] == "exact"}
    restarts = {api.name for api in APIS["gymnasium"] if "restarts its episodes" in api.fallback}
    assert restarts == left.keys() - exact
    (refused,) = [run["resuming"] for run in left.values() if "resuming" in run]
    assert "_FitLoop.reset_restart_stage, so a new run trains, but none can be resumed" in refused


@pytest.fixture
def warned(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> Callable[[], list[str]]:
    """The warnings of a missing part so far."""
    monkeypatch.setattr(sac_lightning.private, "_reported", set())
    return lambda: [each.getMessage() for each in caplog.records if each.levelno == logging.WARNING]


def hide(monkeypatch: pytest.MonkeyPatch, module: str, api: PrivateApi) -> PrivateApi:
    """Lets the door ask for a name that the library does not have, as after a release that renamed it.

    The library itself keeps the part, for it uses most of them too.
    """
    door = resolve_name(f"sac_lightning.private.{module}")
    (constant,) = [name for name, value in vars(door).items() if value is api]
    hidden = replace(api, name=f"{api.name}_of_yesterday")
    monkeypatch.setattr(door, constant, hidden)
    return hidden


@pytest.mark.skipif(not has_compiler(), reason="needs a C++ compiler (g++ or clang++)")
@pytest.mark.parametrize("api", APIS["torch"], ids=lambda api: api.attribute)
def test_a_function_compiles_to_the_same_numbers_without_any_part_of_pytorch(
    api: PrivateApi, monkeypatch: pytest.MonkeyPatch, warned: Callable[[], list[str]]
) -> None:
    # The tests' type checker draws numbers, which a graph refuses.
    monkeypatch.setattr("sac_lightning.compile.graph.same_rng_state", lambda *states: True)
    weight, rows, drawn = torch.eye(4), torch.randn(9, 4), torch.tensor([1, 3])

    def step(drawn: torch.Tensor) -> list[torch.Tensor]:
        trained = weight.detach().requires_grad_()
        loss = (rows[drawn] @ trained).square().mean()
        weight.sub_(torch.autograd.grad(loss, trained)[0])
        return [loss.detach()]

    expected = [*step(drawn), *step(drawn), weight.clone()]
    weight.copy_(torch.eye(4))
    hidden, graph = hide(monkeypatch, "torch", api), CompiledGraph(step, [weight], rows=[rows])
    if api.attribute == "mark_static_address":  # for a GPU alone
        private_torch.keep_addresses([weight])
    if api.attribute == "make_fx":  # nothing to compile: tests/compile trains eagerly, with one warning
        with pytest.raises(MissingApi, match=f"{hidden}, so the update runs eagerly"):
            graph(drawn)
        return
    torch.testing.assert_close([*graph(drawn), *graph(drawn), weight], expected)
    (warning,) = warned()
    assert hidden.missing in warning and "\n" not in warning


@pytest.mark.parametrize("api", APIS["mujoco"], ids=lambda api: api.attribute)
def test_mujoco_prints_its_warnings_itself_without_a_part(
    api: PrivateApi, monkeypatch: pytest.MonkeyPatch, warned: Callable[[], list[str]]
) -> None:
    mujoco = pytest.importorskip("mujoco")
    monkeypatch.delattr(mujoco, api.attribute)
    for _ in range(2):
        take_warnings(lambda message: None)
    (warning,) = warned()
    assert api.missing in warning


def test_fast_dev_run_starts_without_the_limit_of_a_loop(warned: Callable[[], list[str]]) -> None:
    fit_loop = SimpleNamespace(epoch_loop=SimpleNamespace())
    limit_batches_alone(SimpleNamespace(fit_loop=fit_loop))  # type: ignore[arg-type]
    (warning,) = warned()
    assert MAX_STEPS.missing in warning


def test_a_sweep_needs_neither_part_of_hydra_and_joblib(
    monkeypatch: pytest.MonkeyPatch, warned: Callable[[], list[str]]
) -> None:
    from joblib.externals.loky.backend import resource_tracker

    monkeypatch.delattr(resource_tracker, "ensure_running")
    start_joblib_tracker()
    assert refusal(object()) == "a job was refused"  # as an answer whose attribute has another name
    expected = [f"{api.missing}, so {api.fallback}" for api in (ENSURE_RUNNING, RETURN_VALUE)]
    assert warned() == expected
