"""`rnnlane submit`."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer

from rnnlane.cli import output
from rnnlane.cli.options import Address, Experiment, Json, Overrides
from rnnlane.config import load_experiment

if TYPE_CHECKING:
    from rnnlane.runtime.job_client import Job, JobClient


class RuntimeEnv(StrEnum):
    """Where a job's packages come from."""

    cluster = "cluster"
    pip = "pip"


Again = Annotated[
    bool, typer.Option("--again", help="Run it anew, whatever became of earlier jobs of it.")
]
Detach = Annotated[bool, typer.Option("--detach", help="Send it, and do not wait for its end.")]
Packages = Annotated[
    RuntimeEnv,
    typer.Option(
        "--runtime-env",
        help="cluster: the cluster has the packages that rnnlane depends on. pip: it has Ray only; "
        "the versions installed here are installed there for the job.",
    ),
]
CredentialsFile = Annotated[
    str | None,
    typer.Option(
        "--credentials-file",
        metavar="PATH",
        help="File on the cluster, in MLflow's format, with the account for the MLflow server. "
        "Only the path is sent.",
    ),
]


def submit(  # noqa: PLR0913, PLR0917 (typer reads the options from it)
    experiment: Experiment,
    address: Address = None,
    overrides: Overrides = None,
    again: Again = False,
    detach: Detach = False,
    runtime_env: Packages = RuntimeEnv.cluster,
    credentials_file: CredentialsFile = None,
    as_json: Json = False,
) -> None:
    """Train the experiment, or where it has a search tune it, as a job on a Ray cluster.

    Follows the job's log to its end and exits with its exit code (130 if it was stopped). Ctrl-C
    leaves the job running and exits with 130. Sent twice, an experiment is one job: the second
    time finds the first; after a failed or stopped one, the next goes on with its run.
    """
    config = load_experiment(experiment, list(overrides or ()))
    from rnnlane.runtime.job_client import JobClient, resolve_address
    from rnnlane.runtime.submission import Order
    from rnnlane.runtime.submission import submit as submit_experiment

    client = JobClient(resolve_address(address))
    order = Order(again, runtime_env.value, credentials_file)
    job = submit_experiment(config, client, order, note=output.note)
    output.note(f"job {job.submission_id} on {client.address}")
    hint = f"--address {address}" if address else ""
    if not detach:
        watch(client, job.submission_id, hint=hint, as_json=as_json)
    if as_json:
        output.write_json(answer(client, client.job(job.submission_id)))
    else:
        tell_how_to_go_on(job.submission_id, hint)


def watch(client: JobClient, submission_id: str, *, hint: str, as_json: bool) -> NoReturn:
    """Passes a job's log on to its end, and exits with its exit code."""
    from rnnlane.runtime.job_log import follow

    write = output.write_error_piece if as_json else output.write_piece
    try:
        job = follow(client, submission_id, write=write, note=output.note)
        code = job.process_exit_code
    except KeyboardInterrupt:
        output.note("detached; the job goes on")
        tell_how_to_go_on(submission_id, hint)
        job, code = client.job(submission_id), 130
    if as_json:
        output.write_json(answer(client, job))
    elif job.is_final:
        output.note(f"job {submission_id} {job.status.lower()}")
    raise typer.Exit(code)


def answer(client: JobClient, job: Job) -> dict[str, Any]:
    """A job and its run, as ``--json`` prints them."""
    from rnnlane.runtime.run_marker import find_marker

    marker = find_marker(client.log(job.submission_id))
    return {
        **job.as_dict(),
        "run_id": marker.run_id if marker else None,
        "tracking_uri": marker.tracking_uri if marker else None,
        "run_url": marker.url if marker else None,
    }


def tell_how_to_go_on(submission_id: str, hint: str) -> None:
    """Says how to follow a job and how to stop it."""
    for what, verb in (("follow it", "logs -f"), ("stop it", "stop")):
        output.note(f"{what}: {' '.join(f'rnnlane jobs {verb} {submission_id} {hint}'.split())}")
