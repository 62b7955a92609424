"""The rules of the source tree: who may import whom, and what must not be there."""

import ast
import graphlib
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "platform" / "rnnlane"
LAYERS = [
    {"errors"},
    {"config"},
    {"records"},
    {"data", "models", "tracking"},
    {"training"},
    {"pretraining"},
    {"inference"},
    {"reports"},
    {"ray_cluster"},
    {"execution"},
    {"search"},
    {"pipeline", "jobs"},
    {"doctor"},
    {"cli"},
    {"api"},
]
LEVEL = {name: level for level, names in enumerate(LAYERS) for name in names}
# The package's public face imports what it shows; __main__ runs the command line.
FACE = {"__init__", "__main__"}
# Which rooms may import a library or a part of one.
ONLY_IN = {
    "mlflow": {"tracking"},
    "optuna": {"ray_cluster", "search"},
    "ray.train": {"ray_cluster", "execution", "search"},
    "ray.tune": {"ray_cluster", "search"},
    "ray.job_submission": {"ray_cluster"},
    "ray.data": {"data"},
    "ray": {"data", "ray_cluster", "execution", "search", "jobs", "doctor"},
    "torch": set(LEVEL) - {"errors", "config", "records"},
    "pickle": set(),
    "dill": set(),
    "cloudpickle": set(),
}
# The only modules that may use what these libraries do not promise to keep.
INTERNALS = {"ray_cluster/internals.py", "ray_cluster/internals_train.py"}
PRIVATE = re.compile(r"(ray|optuna|mlflow)\.(.+\.)?(_\w+|v2)(\.|$)")
MODULES = sorted(PACKAGE.rglob("*.py"))


def room_of(path: Path) -> str:
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


def module_name(path: Path) -> str:
    parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_imports_only_go_left(path):
    room = room_of(path)
    if room in FACE:
        return
    for name in imported(path):
        if not name.startswith("rnnlane."):
            continue
        other = name.split(".")[1]
        if other not in LEVEL:
            continue
        allowed = other == room or LEVEL[other] < LEVEL[room]
        assert allowed, f"{room} may not import {name}"


def test_no_modules_import_each_other_in_a_circle():
    # Not the face: whoever asks where the package lies imports it.
    known = {module_name(path) for path in MODULES} - {"rnnlane"}
    graph = {
        module_name(path): {name for name in imported(path) if name in known} for path in MODULES
    }
    try:
        graphlib.TopologicalSorter(graph).prepare()
    except graphlib.CycleError as error:
        pytest.fail(" -> ".join(error.args[1]))


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_libraries_stay_where_they_belong(path):
    room = room_of(path)
    for name in imported(path):
        for library, rooms in ONLY_IN.items():
            if name == library or name.startswith(f"{library}."):
                assert room in rooms, f"{room} may not import {name}"


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_private_names_of_libraries_are_used_by_internals_alone(path):
    private = [name for name in imported(path) if PRIVATE.match(name)]
    assert not private or str(path.relative_to(PACKAGE)) in INTERNALS, private


def test_every_room_has_a_layer():
    rooms = {room_of(path) for path in MODULES} - FACE
    assert rooms == set(LEVEL)


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
        assert len(text.splitlines()) <= 500, path
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.FunctionDef):
                body = (node.end_lineno or 0) - node.body[0].lineno + 1
                assert body <= 60, f"{path}: {node.name} has {body} lines"


MARKED = [("slow", "test-slow"), ("hosts", "test-hosts"), ("release", "test-release")]


@pytest.mark.parametrize(("marker", "target"), MARKED)
def test_make_finds_all_tests_of_a_marker(marker, target):
    """It names folders, so that what is in others need not be imported."""
    shown = subprocess.run(
        ["make", "-n", target], cwd=ROOT, check=True, capture_output=True, text=True
    )
    named = [word for word in shown.stdout.split() if word.startswith("tests/")]
    assert named
    files = (ROOT / "tests").rglob("test_*.py")
    texts = {str(path.relative_to(ROOT)): path.read_text() for path in files}
    marked = [path for path, text in texts.items() if f"pytest.mark.{marker}" in text]
    assert marked
    if marker == "slow":
        marked = [path for path in marked if "mark.hosts" not in texts[path]]
    assert not [path for path in marked if not path.startswith(tuple(named))]


def test_the_gpu_tests_need_nothing_that_only_development_needs():
    """They run where rnnlane, pytest and hypothesis are, with nothing to install from."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    names = [re.match(r"[\w-]+", one).group() for one in project["dependencies"]]
    spelled = {"scikit-learn": "sklearn", "pyyaml": "yaml"}
    there = {spelled.get(name, name.replace("-", "_")) for name in names}
    there |= {"rnnlane", "pytest", "hypothesis", "numpy", *sys.stdlib_module_names}
    tests = ROOT / "tests"
    waiting = [*sorted((tests / "gpu").glob("*.py")), tests / "conftest.py"]
    seen = set(waiting)
    for file in waiting:
        for name in imported(file):
            room, *rest = name.split(".")
            if room in {"support", "benchmarks"}:
                found = tests.joinpath(room, *rest[:1]).with_suffix(".py")
                if found not in seen:
                    seen.add(found)
                    waiting.append(found)
            else:
                assert room in there, f"{file.relative_to(tests)} imports {name}"
    assert tests / "support" / "tiny.py" in seen
