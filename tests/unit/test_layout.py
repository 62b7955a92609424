"""The rules of the source tree: who may import whom, and what must not be there."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "platform" / "rnnlane"
LAYERS = [
    {"errors"},
    {"config"},
    {"data", "models", "tracking"},
    {"training"},
    {"runtime"},
    {"pipeline"},
    {"cli"},
]
LEVEL = {name: level for level, names in enumerate(LAYERS) for name in names}
# Light by design: who is told how work goes is part of the package's face.
FACE = {"__init__", "__main__"}
MODULES = sorted(PACKAGE.rglob("*.py"))


def part_of(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imported(path: Path) -> list[str]:
    names = []
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            names.append(node.module or "")
            names += [f"{node.module}.{alias.name}" for alias in node.names]
    return names


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_imports_only_go_left(path):
    part = part_of(path)
    if part in FACE:
        return
    for name in imported(path):
        if not name.startswith("rnnlane."):
            continue
        other = name.split(".")[1]
        if other not in LEVEL:
            continue
        allowed = other == part or LEVEL[other] < LEVEL[part]
        assert allowed, f"{part} may not import {name}"


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_libraries_stay_where_they_belong(path):
    place = str(path.relative_to(PACKAGE))
    part = part_of(path)
    for name in imported(path):
        top = name.split(".")[0]
        if top == "mlflow":
            assert part == "tracking", f"{place} imports {name}"
        if name.startswith(("ray.train", "ray.tune", "ray.job_submission")):
            assert part == "runtime", f"{place} imports {name}"
        if top == "optuna":
            assert part == "runtime", f"{place} imports {name}"
        if name.startswith("ray.data"):
            assert part == "runtime" or place in {"data/sources.py", "data/prepare.py"}
        if top in {"torch", "ray"}:
            assert part != "config", f"{place} imports {name}"
        if top == "ray":
            assert part not in {"training", "models", "tracking"}, f"{place} imports {name}"
        assert top not in {"pickle", "cloudpickle", "dill"}, f"{place} imports {name}"


def test_every_package_part_has_a_layer():
    parts = {part_of(path) for path in MODULES} - FACE
    assert parts == set(LEVEL)


def test_platform_is_a_source_root_and_does_not_shadow_the_standard_library():
    assert not (ROOT / "platform" / "__init__.py").exists()
    code = "import platform, torch; print(platform.system(), platform.__file__)"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert str(ROOT) not in done.stdout
    module = [sys.executable, "-m", "rnnlane", "validate", "experiments/demo.yaml"]
    subprocess.run(module, cwd=ROOT, capture_output=True, check=True)


def test_files_and_functions_are_of_readable_size():
    for path in MODULES:
        text = path.read_text(encoding="utf-8")
        assert len(text.splitlines()) < 400, path
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.FunctionDef):
                body = (node.end_lineno or 0) - node.body[0].lineno + 1
                assert body <= 60, f"{path}: {node.name} has {body} lines"
