"""`rnnlane submit`."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import typer

from rnnlane.cli import output
from rnnlane.cli.job_watch import answer, tell_how_to_go_on, watch
from rnnlane.cli.options import Address, CredentialsFile, Experiment, Json, Overrides
from rnnlane.config import load_experiment


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
    from rnnlane.jobs.client import JobClient, resolve_address
    from rnnlane.jobs.submission import SubmitOptions
    from rnnlane.jobs.submission import submit as submit_experiment

    client = JobClient(resolve_address(address))
    options = SubmitOptions(again, runtime_env.value, credentials_file)
    job = submit_experiment(config, client, options, note=output.note)
    output.note(f"job {job.submission_id} on {client.address}")
    hint = f"--address {address}" if address else ""
    if not detach:
        watch(client, job.submission_id, hint=hint, as_json=as_json)
    if as_json:
        output.write_json(answer(client, client.job(job.submission_id)))
    else:
        tell_how_to_go_on(job.submission_id, hint)
