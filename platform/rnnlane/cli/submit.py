"""`rnnlane submit`."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import typer

from rnnlane.cli import output
from rnnlane.cli.job_watch import job_summary, note_commands, watch
from rnnlane.cli.options import Address, CredentialsFile, Experiment, Json, Overrides
from rnnlane.config import load_experiment


class RuntimeEnv(StrEnum):
    """Where a job's packages come from."""

    cluster = "cluster"
    pip = "pip"


Again = Annotated[
    bool, typer.Option("--again", help="Run it again, whatever the state of its earlier jobs.")
]
Detach = Annotated[bool, typer.Option("--detach", help="Submit the job and do not wait for it.")]
Packages = Annotated[
    RuntimeEnv,
    typer.Option(
        "--runtime-env",
        help="cluster: the cluster has the packages that rnnlane depends on. pip: it has only Ray; "
        "the job installs the versions that are installed here.",
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
    """Train the experiment, or tune it if it has a search, as a job on a Ray cluster.

    Follows the job's log to its end and exits with its exit code (130 if it was stopped). Ctrl-C
    leaves the job running and exits with 130. The same experiment, code and data submitted twice
    are one job: the second command follows the first one's. After a failed or stopped job, the next
    continues its run; after a success, changed code or data start a new one.

    Examples:
        rnnlane submit experiments/demo.yaml --address http://HOST:8265
        rnnlane submit tickets.yaml --detach
        rnnlane submit tickets.yaml --runtime-env pip --again
    """
    config = load_experiment(experiment, list(overrides or ()))
    from rnnlane.jobs.client import JobClient, resolve_address
    from rnnlane.jobs.submission import SubmitOptions
    from rnnlane.jobs.submission import submit as submit_experiment
    from rnnlane.ray_cluster.address import token_hint

    client = JobClient(resolve_address(address))
    options = SubmitOptions(again, runtime_env.value, credentials_file)
    job = submit_experiment(config, client, options, note=output.note)
    output.note(f"job {job.submission_id} on {client.address}")
    output.note(f"its page: {client.address}/#/jobs/{job.submission_id}{token_hint()}")
    hint = f"--address {address}" if address else ""
    if not detach:
        watch(client, job.submission_id, hint=hint, as_json=as_json)
    if as_json:
        output.write_json(job_summary(client, client.job(job.submission_id)))
    else:
        note_commands(job.submission_id, hint)
