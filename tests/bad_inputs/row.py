"""A row of the tables, and how it is tried."""

from __future__ import annotations

import re
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

from support.command import command_environment
from support.forked import rnnlane_forked

GENERATED = "name: x\ndata:\n  source: {kind: generated}\n"


@dataclass(frozen=True)
class Bad:
    """One input, and what must come out.

    Attributes:
        what: names the row.
        line: all that is printed, after "error: ". ``{dir}`` is the working directory, and ``…``
            any words.
        args: of the command; the experiment is x.yaml.
        sets: further arguments ``--set``.
        yaml: the content of x.yaml.
        files: their contents by name.
        env: environment variables.
        code: the exit code.
        needs_ray: whether the input is only seen once all rows are read; such rows share a Ray.
    """

    what: str
    line: str
    args: tuple[str, ...] = ("validate", "x.yaml")
    sets: tuple[str, ...] = ()
    yaml: str | bytes = GENERATED
    files: dict[str, str | bytes] = field(default_factory=dict)
    env: dict[str, str] = field(default_factory=dict)
    code: int = 2
    needs_ray: bool = False

    def check(self, folder: Path, **environment: str) -> None:
        """Runs the command in an empty folder; fails unless it is refused as the row says."""
        for name, content in {"x.yaml": self.yaml, **self.files}.items():
            file = folder / name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(content if isinstance(content, bytes) else content.encode())
        before = _contents(folder)
        home = folder / "home"
        overrides = [part for item in self.sets for part in ("--set", item)]
        done = self._run(
            [*self.args, *overrides], folder, command_environment(home, **environment, **self.env)
        )
        printed = done.stderr.rstrip("\n")
        assert done.returncode == self.code, printed
        assert done.stdout == ""
        expected = re.escape("error: " + self.line.replace("{dir}", str(folder)))
        assert re.fullmatch(expected.replace("…", ".*"), printed), printed
        left = {name: size for name, size in _contents(folder).items() if name not in before}
        assert not left, f"left behind: {left}"

    def _run(
        self, arguments: list[str], folder: Path, environment: dict[str, str]
    ) -> subprocess.CompletedProcess[str]:
        if not (self.env or self.needs_ray):
            return rnnlane_forked(*arguments, env=environment, cwd=folder)
        return subprocess.run(
            [sys.executable, "-m", "rnnlane", *arguments],
            check=False,
            env=environment,
            cwd=folder,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=120,
        )


def _contents(folder: Path) -> dict[str, int]:
    """The files below a folder, and their sizes in bytes."""
    return {
        str(file.relative_to(folder)): file.stat().st_size
        for file in folder.rglob("*")
        if file.is_file()
    }
