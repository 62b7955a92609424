"""`rnnlane doctor`."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from rnnlane.cli import output
from rnnlane.cli.options import CredentialsFile, Json, TrackingUri
from rnnlane.errors import ConfigError

if TYPE_CHECKING:
    from rnnlane.doctor.finding import Finding

Cluster = Annotated[
    str | None,
    typer.Option(
        "--cluster",
        metavar="ADDRESS",
        help="Check a cluster instead: the address of its dashboard, http://HOST:8265.",
    ),
]
Storage = Annotated[
    str | None,
    typer.Option(
        "--storage",
        metavar="PATH",
        help="With --cluster: folder or URI that every node must reach; default: the storage of "
        "its jobs.",
    ),
]


def doctor(
    cluster: Cluster = None,
    storage: Storage = None,
    tracking_uri: TrackingUri = None,
    credentials_file: CredentialsFile = None,
    as_json: Json = False,
) -> None:
    """Check this machine, or a cluster, and say how to fix each problem.

    Examples:
        rnnlane doctor
        rnnlane doctor --cluster http://HOST:8265
    """
    findings = []
    for finding in _findings(cluster, storage, tracking_uri, credentials_file):
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


def _findings(
    cluster: str | None,
    storage: str | None,
    tracking_uri: str | None,
    credentials_file: str | None,
) -> Iterator[Finding]:
    if cluster is not None:
        from rnnlane.doctor.cluster import CheckOptions, diagnose_cluster

        uri = tracking_uri or os.environ.get("MLFLOW_TRACKING_URI") or None
        return diagnose_cluster(cluster, CheckOptions(uri, storage, credentials_file))
    if storage is not None or credentials_file is not None:
        raise ConfigError(
            "--storage and --credentials-file are places on a cluster, but no cluster is given",
            where="--cluster",
            remedy="add --cluster http://HOST:8265",
        )
    from rnnlane.doctor.machine import diagnose

    return diagnose(tracking_uri)
