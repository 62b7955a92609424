"""The files that `rnnlane init` writes: an experiment, its schema, the shipped experiments."""

from __future__ import annotations

import os
from pathlib import Path

import rnnlane
from rnnlane.config.schema import SCHEMA_FILE, schema_text
from rnnlane.errors import ConfigError, disk_errors

_SUFFIXES = {".yaml", ".yml"}


def check_is_new(file: Path, *, force: bool) -> None:
    """Refuses a path at which no experiment can be written.

    Raises:
        ConfigError: there is something, and ``force`` is not given; its folder is missing; or its
            name is not that of an experiment.
    """
    if file.suffix.lower() not in _SUFFIXES:
        raise ConfigError(
            f"the name of an experiment must end in .yaml, but got {file.name!r}",
            where=str(file),
            remedy="give --output NAME.yaml",
        )
    if file.is_dir() or (file.exists() and not force):
        raise ConfigError(
            "the file to write must not exist, but it does",
            where=str(file),
            remedy="give another one by --output, or --force to replace it",
        )
    if not file.parent.is_dir():
        raise ConfigError(
            f"the folder of the file to write must exist, but {str(file.parent)!r} is none",
            where=str(file),
            remedy="make it, or give another --output",
        )


def write_experiment(file: Path, text: str) -> None:
    """Writes an experiment, and beside it the schema for editors.

    Raises:
        ResourceError: the disk is full, or the folder cannot be written.
    """
    _write(file, text.encode())
    _write_schema(file.parent)


def shipped_experiments() -> dict[str, Path]:
    """The experiments and notebooks that come with rnnlane, in the wheel or in the checkout.

    Returns:
        The files by their paths below the folder, sorted.

    Raises:
        ConfigError: neither has them.
    """
    package = Path(rnnlane.__file__).parent
    for folder in (package / "examples", package.parents[1] / "experiments"):
        found = [*sorted(folder.glob("*.yaml")), *sorted(folder.glob("notebooks/*.ipynb"))]
        if found:
            return {str(file.relative_to(folder)): file for file in found}
    raise ConfigError(
        f"the examples must come with rnnlane, but {package} has none",
        remedy="install rnnlane again",
    )


def write_examples(folder: Path, *, force: bool) -> list[str]:
    """Copies the shipped experiments and the schema into a folder, and makes it if need be.

    Returns:
        The paths written.

    Raises:
        ConfigError: one is there already, with another content, and ``force`` is not given.
        ResourceError: the disk is full, or the folder cannot be written.
    """
    shipped = {name: file.read_bytes() for name, file in shipped_experiments().items()}
    for name, content in shipped.items():
        target = folder / name
        if target.exists() and not force and target.read_bytes() != content:
            raise ConfigError(
                "the file to write must not exist, but it does, with another content",
                where=str(target),
                remedy="name another folder, or give --force to replace it",
            )
    for name, content in shipped.items():
        with disk_errors(folder):
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
        _write(folder / name, content)
    _write_schema(folder)
    return [str(folder / name) for name in (*shipped, SCHEMA_FILE)]


def _write_schema(folder: Path) -> None:
    """Writes the schema, or replaces that of another version; a file by that name is no other's."""
    _write(folder / SCHEMA_FILE, schema_text().encode())


def _write(file: Path, content: bytes) -> None:
    """Writes a file so that it is never there in half."""
    draft = file.with_name(f".{file.name}.{os.getpid()}")
    with disk_errors(file):
        try:
            draft.write_bytes(content)
            draft.replace(file)
        finally:
            draft.unlink(missing_ok=True)
