"""`rnnlane jobs list | status | logs | stop`."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

from rnnlane.cli import output
from rnnlane.cli.job_watch import job_summary, next_commands, watch
from rnnlane.cli.options import Address, Json, whole_number
from rnnlane.cli.verb import Verb, VerbGroup

if TYPE_CHECKING:
    from rnnlane.jobs.client import JobClient

app = typer.Typer(
    name="jobs",
    cls=VerbGroup,
    help="List, follow and stop a cluster's jobs.",
    invoke_without_command=True,
)

JobId = Annotated[str, typer.Argument(metavar="ID", help="The job's submission id.")]
Limit = Annotated[
    int,
    typer.Option(
        "--limit", "-n", parser=whole_number(at_least=1), metavar="N", help="Jobs to show at most."
    ),
]
Follow = Annotated[
    bool,
    typer.Option(
        "--follow", "-f", help="Follow the log to its end; exit with the job's exit code."
    ),
]
HEADER = ("job", "experiment", "status", "since", "user", "run")
DROPPABLE = ("experiment", "user", "since")


@app.callback()
def jobs(context: typer.Context) -> None:
    """Without a command prints the help, as `rnnlane` does."""
    if context.invoked_subcommand is None:
        typer.echo(context.get_help())


@app.command("list", cls=Verb)
def list_jobs(address: Address = None, limit: Limit = 20, as_json: Json = False) -> None:
    """Show the newest jobs: experiment, status, since when, user and run.

    Examples:
        rnnlane jobs list
        rnnlane jobs list --address http://HOST:8265 --limit 100
    """
    client = _client(address)
    jobs = [job for job in client.jobs() if job.experiment][:limit]
    with ThreadPoolExecutor(max_workers=8) as pool:
        summaries = list(pool.map(lambda job: job_summary(client, job), jobs))
    if as_json:
        output.write_json({"jobs": summaries})
    elif not summaries:
        output.write("no jobs yet; `rnnlane submit experiments/demo.yaml` sends one")
    else:
        rows = [[*_row(summary), (summary["run_id"] or "")[:8]] for summary in summaries]
        output.write_table(rows, header=HEADER, droppable=DROPPABLE)


@app.command(cls=Verb)
def status(job_id: JobId, address: Address = None, as_json: Json = False) -> None:
    """Show the state of a job.

    Examples:
        rnnlane jobs status rnnlane-tickets-1a2b3c4d-1
    """
    client = _client(address)
    summary = job_summary(client, client.job(job_id))
    if as_json:
        output.write_json(summary)
        return
    rows = list(zip(HEADER[1:-1], _row(summary)[1:], strict=True))
    rows += next_commands(summary)
    if summary["exit_code"] is not None:
        rows.append(("exit code", str(summary["exit_code"])))
    elif summary["status"] == "FAILED":
        rows.append(("reason", summary["message"]))
    output.write_table(rows, title=job_id)


@app.command(cls=Verb)
def logs(
    job_id: JobId, follow: Follow = False, address: Address = None, as_json: Json = False
) -> None:
    """Print the log of a job so far.

    Examples:
        rnnlane jobs logs rnnlane-tickets-1a2b3c4d-1 --follow
    """
    client = _client(address)
    if follow:
        watch(client, job_id, hint=f"--address {address}" if address else "", as_json=as_json)
    text = client.log(job_id)
    if as_json:
        output.write_json({**job_summary(client, client.job(job_id)), "log": text})
    else:
        output.write_piece(text)


@app.command(cls=Verb)
def stop(job_id: JobId, address: Address = None, as_json: Json = False) -> None:
    """Stop a job; its run is KILLED in MLflow, and the next `rnnlane submit` continues it.

    Examples:
        rnnlane jobs stop rnnlane-tickets-1a2b3c4d-1
    """
    from rnnlane.jobs.log import wait_for_end

    client = _client(address)
    client.job(job_id)
    client.stop(job_id)
    job = wait_for_end(client, job_id)
    if as_json:
        output.write_json(job_summary(client, job))
    else:
        output.write(f"job {job_id} {job.status.lower()}")


def _client(address: str | None) -> JobClient:
    from rnnlane.jobs.client import JobClient, resolve_address

    return JobClient(resolve_address(address))


def _row(summary: dict[str, Any]) -> list[str]:
    since = summary["ended_at"] or summary["started_at"]
    when = datetime.fromtimestamp(since).strftime("%Y-%m-%d %H:%M") if since else ""
    user = summary["metadata"].get("rnnlane.user", "")
    return [summary["submission_id"], summary["experiment"], summary["status"], when, user]
