"""All that only a machine with a GPU can show, in under eight minutes: run it there.

    python tests/gpu/check.py --out FOLDER

Its parts run in the order of their worth, each in a process of its own and with a limit of its own;
one that fails or comes too late is said, and the next one begins. Everything that they print goes
to FOLDER/check.txt as well, and the figures to FOLDER/check.json. A table for experiments/LOG.md
ends it. Needs what rnnlane needs, pytest and hypothesis; no network. Exits with 1 if a part failed.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, TextIO

import psutil

ROOT = Path(__file__).parents[2]
# A part that cannot have this much of the time is left out.
LEAST_S = 20.0

MACHINE = """
import platform, torch
print("Python", platform.python_version(), "torch", torch.__version__, "CUDA", torch.version.cuda)
if torch.cuda.is_available():
    properties = torch.cuda.get_device_properties(0)
    print(properties, "cuDNN", torch.backends.cudnn.version(), "NCCL", torch.cuda.nccl.version())
else:
    print("torch sees no GPU: tests are skipped, and speeds are not measured")
"""


@dataclass(frozen=True)
class Part:
    """Something to run.

    Attributes:
        name: for people, and to pick it by.
        limit_s: seconds after which it is stopped.
        arguments: of Python.
        measures: whether it writes figures as JSON.
    """

    name: str
    limit_s: float
    arguments: tuple[str, ...]
    measures: bool = False


@dataclass(frozen=True)
class Ended:
    """How a part ended.

    Attributes:
        name: of the part.
        outcome: in words.
        seconds: that it took.
        said: its last line, which of tests says how many there were, and how many skipped.
    """

    name: str
    outcome: str
    seconds: float
    said: str = ""

    @property
    def is_good(self) -> bool:
        return self.outcome == "passed"


def parts(*, marked: str) -> list[Part]:
    """In the order of their worth.

    Args:
        marked: which tests; ``gpu`` there, ``not gpu`` to try this file without one.
    """

    def tests(name: str, limit_s: float) -> Part:
        options = ("-q", "-m", marked, "-p", "no:cacheprovider")
        shown = ("--tb=short", "--durations=3", "-W", "default")
        file = f"tests/gpu/test_{name}.py"
        return Part(name, limit_s, ("-m", "pytest", *options, *shown, file))

    def speed(key: str) -> Part:
        arguments = ("-m", "tests.benchmarks", "--only", f"gpu/{key}", "--seconds", "1.5")
        return Part(f"speed/{key}", 70, arguments, measures=True)

    return [
        Part("machine", 30, ("-c", MACHINE)),
        tests("models", 90),
        speed("bilstm-3/32"),
        tests("training", 150),
        speed("lstm-1/32"),
        tests("commands", 120),
        speed("bilstm-3/512"),
        speed("lstm-1/512"),
        tests("batches", 30),
        speed("rnn-1/32"),
        speed("birnn-3/32"),
        speed("rnn-1/512"),
        speed("birnn-3/512"),
    ]


class Output:
    """Prints, and writes the same to a file at once."""

    def __init__(self, file: TextIO):
        self._file = file
        self.last = ""

    def line(self, text: str) -> None:
        self.last = text
        print(text, flush=True)
        self._file.write(text + "\n")
        self._file.flush()


def run(part: Part, *, limit_s: float, figures: Path, home: Path, output: Output) -> Ended:
    """Runs a part to its end, or stops it and all that it has started."""
    paths = [str(ROOT / "platform"), os.environ.get("PYTHONPATH", "")]
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(filter(None, paths)),
        "PYTHONUNBUFFERED": "1",
        "RNNLANE_HOME": str(home),
    }
    options = ("--json", str(figures)) if part.measures else ()
    started = time.monotonic()
    process = subprocess.Popen(
        [sys.executable, *part.arguments, *options],
        cwd=ROOT,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
    )
    assert process.stdout is not None
    # What outlives the part may hold its end of the pipe: this thread is not waited for long.
    reader = threading.Thread(target=_copy, args=(process.stdout, output), daemon=True)
    reader.start()
    try:
        code = process.wait(timeout=limit_s)
        outcome = "passed" if code == 0 else f"FAILED (exit {code})"
    except subprocess.TimeoutExpired:
        outcome = f"STOPPED after {limit_s:.0f} s"
        _stop(process.pid)
        process.wait()
    reader.join(timeout=5)
    said = "" if part.measures else output.last.strip("= ")
    return Ended(part.name, outcome, time.monotonic() - started, said)


def _copy(lines: TextIO, output: Output) -> None:
    for line in lines:
        output.line(line.rstrip("\n"))


def _stop(pid: int) -> None:
    """A process and all below it."""
    try:
        process = psutil.Process(pid)
        below = [*process.children(recursive=True), process]
    except psutil.Error:
        return
    for one in below:
        try:
            one.kill()
        except psutil.Error:
            continue


def read_rows(file: Path) -> list[dict[str, Any]]:
    """The rows that a part has measured until its end; none if it did not come to one."""
    try:
        rows: list[dict[str, Any]] = json.loads(file.read_text(encoding="utf-8"))["rows"]
    except (OSError, ValueError):
        return []
    return rows


def table(ended: list[Ended], rows: list[dict[str, Any]]) -> list[str]:
    """The lines for the log, in Markdown."""
    lines = ["| Part | Outcome | Seconds | Said |", "|---|---|---|---|"]
    lines += [f"| {one.name} | {one.outcome} | {one.seconds:.0f} | {one.said} |" for one in ended]
    lines += ["", "| Measured | Value | Rounds | Goal | Behind it |", "|---|---|---|---|---|"]
    for row in rows:
        if row["skipped"]:
            lines.append(f"| {row['name']} | skipped: {row['skipped']} | | | |")
            continue
        goal = "" if row["goal"] is None else f"{row['goal']:g}"
        behind = ", ".join(
            f"{key} {value if isinstance(value, str) else f'{value:,.4g}'}"
            for key, value in row["details"].items()
        )
        rounds = f"{row['low']:.3g} to {row['high']:.3g}"
        lines.append(f"| {row['name']} | {row['value']:.3g} | {rounds} | {goal} | {behind} |")
    return lines


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--out", type=Path, default=os.environ.get("OUT") or "gpu-check")
    parser.add_argument("--limit-s", type=float, default=460.0, help="for all parts together")
    parser.add_argument("--only", nargs="*", default=[""], help="the beginnings of parts' names")
    parser.add_argument(
        "--marked", default="gpu", help='which tests; "not gpu" tries this file without a GPU'
    )
    arguments = parser.parse_args()
    out = Path(arguments.out)
    out.mkdir(parents=True, exist_ok=True)
    end = time.monotonic() + arguments.limit_s
    picked = tuple(arguments.only)
    ended: list[Ended] = []
    rows: list[dict[str, Any]] = []
    with (
        (out / "check.txt").open("w", encoding="utf-8") as file,
        tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as scratch,
    ):
        output = Output(file)
        for part in parts(marked=arguments.marked):
            if not part.name.startswith(picked):
                continue
            left = end - time.monotonic()
            if left < LEAST_S:
                ended.append(Ended(part.name, "left out: no time", 0.0))
                continue
            output.line(f"\n== {part.name}: {arguments.limit_s - left:.0f} s")
            figures = Path(scratch) / "figures.json"
            figures.unlink(missing_ok=True)
            ended.append(
                run(
                    part,
                    limit_s=min(part.limit_s, left),
                    figures=figures,
                    home=Path(scratch) / "home",
                    output=output,
                )
            )
            rows += read_rows(figures)
            output.line(f"== {part.name}: {ended[-1].outcome}")
            found = {"parts": [asdict(one) for one in ended], "rows": rows}
            (out / "check.json").write_text(json.dumps(found, indent=1), encoding="utf-8")
        output.line("\n" + "\n".join(table(ended, rows)))
    return 0 if all(one.is_good for one in ended) else 1


if __name__ == "__main__":
    sys.exit(main())
