"""`rnnlane jobs list | status | logs | stop`."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

from rnnlane.cli import output
from rnnlane.cli.job_watch import job_summary, watch
from rnnlane.cli.options import Address, Json, whole_number

if TYPE_CHECKING:
    from rnnlane.jobs.client import JobClient

app = typer.Typer(name="jobs", help="List, follow and stop a cluster's jobs.", no_args_is_help=True)

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


@app.command("list")
def list_jobs(address: Address = None, limit: Limit = 20, as_json: Json = False) -> None:
    """Show the newest jobs: experiment, status, since when, user and run."""
    client = _client(address)
    jobs = [job for job in client.jobs() if job.experiment][:limit]
    with ThreadPoolExecutor(max_workers=8) as pool:
        summaries = list(pool.map(lambda job: job_summary(client, job), jobs))
    if as_json:
        output.write_json({"jobs": summaries})
    elif not summaries:
        output.write("no jobs yet; `rnnlane submit experiments/demo.yaml` sends one")
    else:
        output.write_table([_row(summary) for summary in summaries], header=HEADER)


@app.command()
def status(job_id: JobId, address: Address = None, as_json: Json = False) -> None:
    """Show the state of a job."""
    client = _client(address)
    summary = job_summary(client, client.job(job_id))
    if as_json:
        output.write_json(summary)
        return
    keys = ("experiment", "status", "since", "user", "run")
    rows = list(zip(keys, _row(summary)[1:], strict=True))
    if summary["exit_code"] is not None:
        rows.append(("exit code", str(summary["exit_code"])))
    elif summary["status"] == "FAILED":
        rows.append(("reason", summary["message"]))
    output.write_table(rows, title=job_id)


@app.command()
def logs(
    job_id: JobId, follow: Follow = False, address: Address = None, as_json: Json = False
) -> None:
    """Print the log of a job so far."""
    client = _client(address)
    if follow:
        watch(client, job_id, hint=f"--address {address}" if address else "", as_json=as_json)
    text = client.log(job_id)
    if as_json:
        output.write_json({**job_summary(client, client.job(job_id)), "log": text})
    else:
        output.write_piece(text)


@app.command()
def stop(job_id: JobId, address: Address = None, as_json: Json = False) -> None:
    """Stop a job; its run is KILLED in MLflow, and the next `rnnlane submit` continues it."""
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
    run = summary["run_url"] or (
        f"{summary['run_id']} in {summary['tracking_uri']}" if summary["run_id"] else ""
    )
    user = summary["metadata"].get("rnnlane.user", "")
    return [summary["submission_id"], summary["experiment"], summary["status"], when, user, run]
