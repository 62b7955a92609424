"""The documentation: its links lead somewhere, and what it names exists."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest
import typer

from rnnlane.cli.main import app
from rnnlane.config.experiment import ExperimentConfig

ROOT = Path(__file__).parents[3]
DOCS = ROOT / "platform/docs"
PAGES = sorted((DOCS / "pages").rglob("*.md"))
SECTIONS = [key for key, field in ExperimentConfig.model_fields.items()]


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """The built site; --strict fails for a link or an anchor that leads to nothing."""
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "-q", "-d", str(folder)]
    done = subprocess.run(
        [*command, "-f", str(DOCS / "mkdocs.yml")], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return folder


def test_every_link_leads_somewhere_and_nothing_is_fetched_from_elsewhere(site):
    for page in site.rglob("*.html"):
        loaded = re.findall(
            r'<(?:script|img|link)[^>]*(?:src|href)="(https?:[^"]*)"', page.read_text()
        )
        assert not loaded, f"{page}: {loaded}"
    front = (site / "index.html").read_text()
    assert "Distributed experiments" in front
    assert (site / "experiments/pictures/demo-curves.png").stat().st_size > 0


def test_the_reference_has_every_key_and_every_verb(site):
    keys = (site / "reference/experiment.html").read_text()
    for section, field in ExperimentConfig.model_fields.items():
        model = field.annotation
        for key in getattr(model, "model_fields", {}):
            assert f"<code>{key}</code>" in keys or f"{section}.{key}" in keys, (section, key)
    commands = (site / "reference/commands.html").read_text()
    for name in _verbs():
        assert f"<code>rnnlane {name}" in commands


def _verbs() -> set[str]:
    return set(typer.main.get_command(app).commands)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_a_page_names_only_verbs_and_keys_that_exist(page):
    text = page.read_text(encoding="utf-8")
    verbs = re.findall(r"^    rnnlane ([a-z]+)|`rnnlane ([a-z]+)", text, re.MULTILINE)
    assert {first or second for first, second in verbs} <= _verbs()
    for path in re.findall(rf"`((?:{'|'.join(SECTIONS)})\.[a-z_.]+[a-z_])(?::[^`]*)?`", text):
        assert _has_key(path), path


def _has_key(path: str) -> bool:
    model = ExperimentConfig.model_json_schema()
    found = [model]
    for name in path.split("."):
        inner = [each.get("properties", {}).get(name) for each in found]
        found = [choice for entry in inner if entry for choice in _choices(entry, model)]
    return bool(found)


def _choices(entry, model):
    entries = entry.get("anyOf") or entry.get("oneOf") or [entry]
    return [
        model["$defs"][each["$ref"].rsplit("/", 1)[1]] if "$ref" in each else each
        for each in entries
    ]


def test_the_errors_that_are_explained_are_errors_of_ours():
    texts = [text for file in (ROOT / "platform/rnnlane").rglob("*.py") for text in _texts(file)]
    page = (DOCS / "pages/errors.md").read_text(encoding="utf-8")
    headings = re.findall(r"^#### `(.*)`$", page, re.MULTILINE)
    assert len(headings) > 10
    for heading in headings:
        assert any(heading in text for text in texts), heading


def _texts(file: Path) -> list[str]:
    """The strings of a module; what an f-string fills in is left out."""
    found = []
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.JoinedStr):
            parts = [part.value for part in node.values if isinstance(part, ast.Constant)]
            found += ["…".join(parts), *parts]
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            found.append(node.value)
    return found
