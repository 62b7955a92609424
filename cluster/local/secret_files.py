"""Passwords and tokens: generated once, kept in files that only their owner can read."""

from __future__ import annotations

import configparser
import os
import secrets
from pathlib import Path


def write_secret(path: Path, text: str) -> None:
    """Writes a file of mode 600 atomically."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.new")
    temporary.unlink(missing_ok=True)
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(text)
    temporary.replace(path)


def kept_secret(path: Path) -> str:
    """The content of the file; on first use 256 random bits."""
    if not path.exists():
        write_secret(path, secrets.token_hex(32))
    return path.read_text(encoding="utf-8").strip()


def kept_account(path: Path, username: str) -> tuple[str, str]:
    """Name and password in MLflow's own credentials format; on first use a random password."""
    if not path.exists():
        password = secrets.token_urlsafe(24)
        write_secret(
            path,
            f"[mlflow]\nmlflow_tracking_username = {username}\n"
            f"mlflow_tracking_password = {password}\n",
        )
    parser = configparser.ConfigParser(interpolation=None)
    parser.read_string(path.read_text(encoding="utf-8"))
    section = parser["mlflow"]
    return section["mlflow_tracking_username"], section["mlflow_tracking_password"]
