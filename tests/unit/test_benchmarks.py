"""Benchmarks are run by hand, so what they use may change unnoticed: they must at least start."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
MODULES = sorted(file.stem for file in (ROOT / "tests" / "benchmarks").glob("[a-z]*.py"))


def run(*arguments: str) -> str:
    done = subprocess.run(
        [sys.executable, *arguments], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_each_can_be_imported():
    imports = ", ".join(f"benchmarks.{name}" for name in MODULES)
    run("-c", f"import sys; sys.path.insert(0, 'tests'); import {imports}")


@pytest.mark.parametrize("name", ["", ".search", ".learning_curve"])
def test_those_with_arguments_say_which(name):
    assert "usage" in run("-m", f"tests.benchmarks{name}", "--help")


def test_what_grows_with_the_rows_can_be_computed():
    printed = run("-m", "tests.benchmarks.scale", "--most-rows", "1e6")
    assert "First limits" in printed
    assert "500,000 rows of a partition selected" in printed
