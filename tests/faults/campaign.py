"""Runs rounds one after the other, each on a machine of its own, and prints what came of them."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

from faults.machine import ROOT, isolated
from faults.plan import Plan
from faults.targets import TARGETS, reviews
from support.command import new_store

ROUND_LIMIT_S = 900.0


class Campaign:
    """Rounds that share what undisturbed rounds left.

    Args:
        folder: of this campaign; what fits the present code is used again.
    """

    def __init__(self, folder: Path):
        self._folder = folder
        self._references = folder / f"references-{_digest()}"
        self._references.mkdir(parents=True, exist_ok=True)
        self._seconds: list[float] = []
        self._num_applied = 0
        self._num_planned = 0
        store = self._references / "mlflow.db"
        if not store.exists():
            # Migrations take MLflow seconds; rounds begin after them.
            shutil.copy(new_store(), store)

    def run(self, plan: Plan) -> bool:
        """Runs a round and prints what came of it; True if it passed."""
        reference = self._references / plan.target / "expected.json"
        if not reference.exists():
            undisturbed = Plan(seed=1, target=plan.target, store="embedded")
            if not self._execute(undisturbed):
                return False
        return self._execute(plan)

    def summary(self) -> str:
        """One line about all rounds."""
        total = sum(self._seconds)
        each = total / max(1, len(self._seconds))
        return (
            f"{len(self._seconds)} rounds in {total:.0f} s, {each:.0f} s each; "
            f"{self._num_applied} of {self._num_planned} faults found their moment"
        )

    def _execute(self, plan: Plan) -> bool:
        folder = self._folder / f"round-{plan.seed}" if plan.faults else self._references / "round"
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        print(plan, flush=True)
        started = time.monotonic()
        command = isolated(
            sys.executable, "-m", "faults.round", plan.to_json(), str(folder), str(self._references)
        )
        path = [str(ROOT / "tests"), str(ROOT / "platform"), os.environ.get("PYTHONPATH", "")]
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, path))}
        with (folder / "round.log").open("w") as log:
            process = subprocess.Popen(
                command, env=environment, cwd=ROOT, stdout=log, stderr=log, start_new_session=True
            )
        try:
            process.wait(timeout=ROUND_LIMIT_S)
        except subprocess.TimeoutExpired:
            # Its first process takes all others with it.
            process.kill()
            process.wait()
        except BaseException:
            process.kill()
            raise
        file = folder / "report.json"
        report = json.loads(file.read_text()) if file.exists() else {}
        problems = report.get("problems", [f"no report: {(folder / 'round.log').read_text()}"])
        for line in report.get("log", []):
            print(f"    {line}")
        seconds = time.monotonic() - started
        if plan.faults:
            self._seconds.append(seconds)
            self._num_planned += len(plan.faults)
            self._num_applied += report.get("num_applied", 0)
        print(f"  {'FAILED' if problems else 'passed'} in {seconds:.0f} s", flush=True)
        for problem in problems:
            print(f"    {problem}", flush=True)
        if not problems:
            shutil.rmtree(folder)
        return not problems


def _digest() -> str:
    """Of all that an undisturbed round depends on."""
    hasher = hashlib.sha256()
    for file in sorted((ROOT / "platform").rglob("*.py")):
        hasher.update(file.read_bytes())
    for target in TARGETS.values():
        hasher.update(f"{target} {target.experiment()} {reviews(target.num_rows)}".encode())
    return hasher.hexdigest()[:12]
