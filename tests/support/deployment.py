"""The files below ``cluster/``, read as plain values, and what the project pins."""

import re
import tomllib
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[2]
CLUSTER = ROOT / "cluster"
BASE = CLUSTER / "kubernetes" / "base"
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
VERSION = PYPROJECT["project"]["version"]


def pinned() -> dict[str, str]:
    """Exact version of each package that constraints.txt names, by lower-case name."""
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    pairs = [line.partition("==") for line in lines if not line.startswith("#")]
    return {name.lower(): version for name, _, version in pairs}


def documents(path: Path) -> list[dict[str, Any]]:
    """The YAML documents of a file."""
    return [value for value in yaml.safe_load_all(path.read_text()) if value is not None]


def dockerfile() -> list[tuple[str, str]]:
    """Instruction and arguments of each step, continuation lines joined, comments left out."""
    lines = (CLUSTER / "docker" / "Dockerfile").read_text().splitlines()
    text = "\n".join(line for line in lines if not line.lstrip().startswith("#"))
    steps = re.sub(r"\\\n\s*", " ", text).splitlines()
    return [(step.split()[0], step.split(maxsplit=1)[1]) for step in steps if step.strip()]
