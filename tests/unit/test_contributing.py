"""The examples of CONTRIBUTING.md, carried out on a copy of the package."""

import os
import re
import shutil
import subprocess
import sys
from collections import defaultdict
from pathlib import Path
from xml.etree import ElementTree

import pytest

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```(\w*)\n(.*?)^```$", TEXT, re.DOTALL | re.MULTILINE)
SHOWN_TESTS = re.findall(r"^# (tests/\S+\.py)$", TEXT, re.MULTILINE)
LAYOUT = "tests/unit/test_layout.py"
CONFORMANCE = "tests/unit/models/test_encoder_conformance.py"
SUITES = [LAYOUT, CONFORMANCE]
COPIED = ["pyproject.toml", "platform/rnnlane", "tests/support", "tests/conftest.py", *SUITES]
# Of the suites, what concerns the examples.
SELECTED = "not (layout or conformance) or imports_only_go_left or convolution"


def apply_block(root: Path, language: str, block: str) -> None:
    """Creates the file that a ``python`` block names, or edits the one that a ``diff`` names."""
    first, _, content = block.partition("\n")
    marker, _, name = first.partition(" ")
    assert marker == {"python": "#", "diff": "---"}[language], first
    file = root / name
    if language == "python":
        assert not file.exists(), name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(content, encoding="utf-8")
        return
    lines = content.splitlines(keepends=True)
    before = "".join(line[1:] for line in lines if line[0] in " -")
    after = "".join(line[1:] for line in lines if line[0] in " +")
    text = file.read_text(encoding="utf-8")
    assert text.count(before) == 1, f"{name} must hold these lines once:\n{before}"
    file.write_text(text.replace(before, after), encoding="utf-8")


@pytest.fixture(scope="module")
def copy(tmp_path_factory):
    """A copy of the package with every example applied."""
    root = tmp_path_factory.mktemp("project")
    for name in COPIED:
        target = root / name
        target.parent.mkdir(parents=True, exist_ok=True)
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, target, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(ROOT / name, target)
    for language, block in BLOCKS:
        apply_block(root, language, block)
    return root


@pytest.fixture(scope="module")
def outcomes(copy):
    """For each test file that was run on the copy, what its tests did: "" if they passed."""
    report = copy / "report.xml"
    hidden = {key for key in os.environ if key.startswith("PYTEST_")}
    environment = {key: value for key, value in os.environ.items() if key not in hidden}
    paths = [str(copy / "platform"), environment.get("PYTHONPATH", "")]
    options = ["-q", f"--junitxml={report}", "-k", SELECTED]
    subprocess.run(
        [sys.executable, "-m", "pytest", *options, *SHOWN_TESTS, *SUITES],
        check=False,
        cwd=copy,
        capture_output=True,
        env={**environment, "PYTHONPATH": os.pathsep.join(filter(None, paths))},
    )
    found = defaultdict(list)
    for case in ElementTree.parse(report).iter("testcase"):
        problems = [child.text or "" for child in case if child.tag in ("failure", "error")]
        found[case.get("classname")].append("\n".join(problems))
    return found


@pytest.mark.parametrize("name", [*SHOWN_TESTS, *SUITES])
def test_an_example_works(name, outcomes):
    results = outcomes[name.removesuffix(".py").replace("/", ".")]
    assert results
    assert not any(results), "\n".join(results)
