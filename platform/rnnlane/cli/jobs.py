"""`rnnlane jobs list | status | logs | stop`."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

from rnnlane.cli import output
from rnnlane.cli.job_watch import answer, watch
from rnnlane.cli.options import Address, Json

if TYPE_CHECKING:
    from rnnlane.jobs.client import JobClient

app = typer.Typer(name="jobs", help="Look at the jobs of a Ray cluster.", no_args_is_help=True)

JobId = Annotated[str, typer.Argument(metavar="ID", help="The job's submission id.")]
Limit = Annotated[int, typer.Option("--limit", "-n", min=1, help="Most jobs to show.")]
Follow = Annotated[
    bool,
    typer.Option("--follow", "-f", help="Go on until the job has ended; exit with its exit code."),
]
HEADER = ("job", "experiment", "status", "since", "user", "run")


@app.command("list")
def list_jobs(address: Address = None, limit: Limit = 20, as_json: Json = False) -> None:
    """Show the newest jobs: experiment, status, since when, and the run in MLflow."""
    client = _client(address)
    jobs = [job for job in client.jobs() if job.experiment][:limit]
    with ThreadPoolExecutor(max_workers=8) as pool:
        answers = list(pool.map(lambda job: answer(client, job), jobs))
    if as_json:
        output.write_json({"jobs": answers})
    elif not answers:
        output.write("no jobs yet; `rnnlane submit experiments/demo.yaml` sends one")
    else:
        output.write_table([_row(found) for found in answers], header=HEADER)


@app.command()
def status(job_id: JobId, address: Address = None, as_json: Json = False) -> None:
    """Show how a job stands."""
    client = _client(address)
    found = answer(client, client.job(job_id))
    if as_json:
        output.write_json(found)
        return
    keys = ("experiment", "status", "since", "user", "run")
    rows = list(zip(keys, _row(found)[1:], strict=True))
    if found["exit_code"] is not None:
        rows.append(("exit code", str(found["exit_code"])))
    elif found["status"] == "FAILED":
        rows.append(("reason", found["message"]))
    output.write_table(rows, title=job_id)


@app.command()
def logs(
    job_id: JobId, follow: Follow = False, address: Address = None, as_json: Json = False
) -> None:
    """Print what a job has printed by now."""
    client = _client(address)
    if follow:
        watch(client, job_id, hint=f"--address {address}" if address else "", as_json=as_json)
    text = client.log(job_id)
    if as_json:
        output.write_json({**answer(client, client.job(job_id)), "log": text})
    else:
        output.write_piece(text)


@app.command()
def stop(job_id: JobId, address: Address = None, as_json: Json = False) -> None:
    """Stop a job; its run is KILLED in MLflow, and the next `rnnlane submit` goes on with it."""
    from rnnlane.jobs.log import wait_for_end

    client = _client(address)
    client.job(job_id)
    client.stop(job_id)
    job = wait_for_end(client, job_id)
    if as_json:
        output.write_json(answer(client, job))
    else:
        output.write(f"job {job_id} {job.status.lower()}")


def _client(address: str | None) -> JobClient:
    from rnnlane.jobs.client import JobClient, resolve_address

    return JobClient(resolve_address(address))


def _row(found: dict[str, Any]) -> list[str]:
    since = found["ended_at"] or found["started_at"]
    when = datetime.fromtimestamp(since).strftime("%Y-%m-%d %H:%M") if since else ""
    run = found["run_url"] or (
        f"{found['run_id']} in {found['tracking_uri']}" if found["run_id"] else ""
    )
    user = found["metadata"].get("rnnlane.user", "")
    return [found["submission_id"], found["experiment"], found["status"], when, user, run]
