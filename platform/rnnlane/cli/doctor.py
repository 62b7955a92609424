"""`rnnlane doctor`."""

from __future__ import annotations

from dataclasses import asdict

import typer

from rnnlane.cli import output
from rnnlane.cli.options import Json, TrackingUri


def doctor(tracking_uri: TrackingUri = None, as_json: Json = False) -> None:
    """Look at versions, disk, Ray, GPUs, store and data, and say what to do about each problem."""
    from rnnlane.runtime.diagnosis import diagnose

    findings = []
    for finding in diagnose(tracking_uri):
        findings.append(finding)
        if not as_json:
            mark = "ok     " if finding.ok else "PROBLEM"
            remedy = f" -- {finding.remedy}" if finding.remedy else ""
            output.write(f"{mark} {finding.what}: {finding.found}{remedy}")
    ok = all(finding.ok for finding in findings)
    if as_json:
        output.write_json({"ok": ok, "findings": [asdict(finding) for finding in findings]})
    if not ok:
        raise typer.Exit(1)
