"""rnnlane's own wheel: it installs, and an installed copy makes the same one."""

from __future__ import annotations

import importlib.metadata
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import rnnlane
from rnnlane.tracking import wheel as module
from rnnlane.tracking.wheel import build_wheel, installed_metadata, package_files

MAKE = "import sys; from pathlib import Path; from rnnlane.tracking.wheel import build_wheel; "
MAKE += "print(build_wheel(Path(sys.argv[1])))"


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_wheel(tmp_path_factory.mktemp("wheel") / "new")


def test_the_wheel_installs_without_a_network_and_makes_itself_again(
    wheel: Path, tmp_path: Path
) -> None:
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-index", "--no-deps"]
    installed = tmp_path / "installed"
    subprocess.run([*pip, "--target", str(installed), str(wheel)], check=True)
    assert (installed / "rnnlane" / "reports" / "search_report.html.j2").is_file()
    assert (installed / "bin" / "rnnlane").is_file()
    environment = {**os.environ, "PYTHONPATH": str(installed)}
    done = subprocess.run(
        [sys.executable, "-c", MAKE, str(tmp_path)],
        check=True,
        env=environment,
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    again = Path(done.stdout.strip())
    assert again.name == wheel.name
    assert again.read_bytes() == wheel.read_bytes()


def test_the_wheel_needs_what_the_package_needs(wheel: Path, tmp_path: Path) -> None:
    shutil.unpack_archive(wheel, tmp_path, "zip")
    (found,) = importlib.metadata.distributions(path=[str(tmp_path)])
    assert found.version == wheel.name.split("-")[1]
    assert found.requires == importlib.metadata.requires("rnnlane")


def copied_package(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    package = folder / "rnnlane"
    (package / "__pycache__").mkdir(parents=True)
    (package / "__init__.py").write_text("")
    (package / "__pycache__" / "__init__.cpython-311.pyc").write_bytes(b"x")
    monkeypatch.setattr(rnnlane, "__file__", str(package / "__init__.py"))
    return package


def test_another_code_is_another_version(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = copied_package(tmp_path, monkeypatch)
    assert [name for name, _ in package_files()] == ["__init__.py"]
    first = build_wheel(tmp_path / "wheels")
    (package / "__init__.py").write_text("more = 1\n")
    second = build_wheel(tmp_path / "wheels")
    public = importlib.metadata.version("rnnlane")
    assert first.name != second.name
    assert all(path.name.startswith(f"rnnlane-{public}+sha") for path in (first, second))


def test_without_what_an_installation_writes_there_is_no_wheel(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert (installed_metadata() / "METADATA").is_file()
    monkeypatch.setattr(module, "DISTRIBUTION", "rnnlane-not-installed")
    with pytest.raises(importlib.metadata.PackageNotFoundError):
        build_wheel(tmp_path)
