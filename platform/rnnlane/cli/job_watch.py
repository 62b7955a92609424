"""Follows a job's log, and describes a job as the verbs print it."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NoReturn

import typer

from rnnlane.cli import output
from rnnlane.cli.progress import interrupt_says

if TYPE_CHECKING:
    from rnnlane.jobs.client import Job, JobClient


def watch(client: JobClient, submission_id: str, *, hint: str, as_json: bool) -> NoReturn:
    """Prints a job's log until the job ends, and exits with its exit code."""
    from rnnlane.jobs.log import follow

    write = output.write_error_piece if as_json else output.write_piece
    try:
        with interrupt_says("detaching ..."):
            job = follow(client, submission_id, write=write, note=output.note)
        code = job.process_exit_code
    except KeyboardInterrupt:
        output.note("detached; the job keeps running")
        note_commands(submission_id, hint)
        job, code = client.job(submission_id), 130
    else:
        output.note(f"job {submission_id} {job.status.lower()}")
    if as_json:
        output.write_json(job_summary(client, job))
    elif job.status == "SUCCEEDED":
        output.note_table(next_commands(job_summary(client, job)))
    raise typer.Exit(code)


def job_summary(client: JobClient, job: Job) -> dict[str, Any]:
    """A job and its run, as ``--json`` prints them; no run if the log was lost with its node."""
    from rnnlane.jobs.client import UnreachableError
    from rnnlane.records.run_marker import find_marker

    try:
        marker = find_marker(client.log(job.submission_id))
    except UnreachableError:
        marker = None
    return {
        **job.as_dict(),
        "run_id": marker.run_id if marker else None,
        "tracking_uri": marker.tracking_uri if marker else None,
        "run_url": marker.url if marker else None,
    }


def note_commands(submission_id: str, hint: str) -> None:
    """Prints the commands that follow and stop a job."""
    verbs = (("follow it", "logs -f"), ("stop it", "stop"))
    output.note_table(
        [[what, f"rnnlane jobs {verb} {submission_id} {hint}".rstrip()] for what, verb in verbs]
    )


def next_commands(summary: Mapping[str, Any]) -> list[tuple[str, str]]:
    """What can be done with a job's run from this machine: rows of a name and a command.

    A store that is no server is a file on the cluster, of no use here.
    """
    run_id, uri, url = (summary[key] for key in ("run_id", "tracking_uri", "run_url"))
    if run_id is None:
        return []
    if url is None:
        return [("run", f"{run_id} in {uri} on the cluster's head")]
    # A job knows the server by an address that may not lead there from here.
    here = os.environ.get("MLFLOW_TRACKING_URI", "")
    store = "" if here.startswith(("http://", "https://")) else f" --tracking-uri {uri}"
    download = f"mlflow artifacts download --run-id {run_id} --artifact-path best.yaml --dst-path ."
    ask = f'rnnlane predict{store} --run {run_id[:8]} "a text"'
    is_search = summary["metadata"].get("rnnlane.verb") == "tune"
    next_step = ("get the winner", download) if is_search else ("ask", ask)
    return [("run", run_id), ("browse", url), next_step]
