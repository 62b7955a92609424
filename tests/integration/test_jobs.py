"""Experiments sent to a real Ray head with a token, and to an MLflow server with accounts."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
import yaml
from ray._private.authentication_test_utils import reset_auth_token_state

from rnnlane.jobs.client import JobClient
from rnnlane.jobs.log import follow
from support.command import command_environment, wait_until
from support.jobs import AccountServer, Link, RayHead

ROWS = [("a fine film", "good"), ("a dull film", "bad"), ("fine and bright", "good")]
PRINTER = "for n in $(seq 0 59); do echo line $n; sleep 0.15; done"


class Cluster:
    """A head, a store, and the laptop that sends jobs to them."""

    def __init__(self, folder: Path):
        self.server = AccountServer(folder)
        self.head = RayHead(folder, MLFLOW_TRACKING_URI=self.server.uri)
        self.laptop = folder / "laptop"
        self.laptop.mkdir()

    def wait(self) -> None:
        self.head.wait()
        self.server.wait()

    def stop(self) -> None:
        self.head.stop()
        self.server.stop()

    def start(self, *arguments: str, **extra: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-m", "rnnlane", *arguments],
            env=command_environment(
                self.laptop / "home",
                **{"RAY_ADDRESS": self.head.address, **self.head.token_environment(), **extra},
            ),
            cwd=self.laptop,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def command(self, *arguments: str, **extra: str) -> tuple[int, str, str]:
        """Exit code, stdout and stderr."""
        process = self.start(*arguments, **extra)
        out, err = process.communicate(timeout=400)
        return process.returncode, out, err

    def submit(self, file: str, *arguments: str) -> tuple[int, dict[str, Any], str]:
        """Exit code, answer and what stood on stderr."""
        account = ("--credentials-file", str(self.server.credentials))
        code, out, err = self.command("submit", file, *account, *arguments, "--json")
        assert len(out.splitlines()) == 1, out + err
        return code, json.loads(out), err

    def status(self, job_id: str) -> dict[str, Any]:
        code, out, err = self.command("jobs", "status", job_id, "--json")
        assert code == 0, err
        return json.loads(out)

    def experiment(self, name: str, **changes: Any) -> str:
        values: dict[str, Any] = {
            "name": name,
            "data": {"source": {"kind": "csv", "path": "reviews/rows.csv"}},
            "model": {"embedding_dim": 8, "hidden_size": 8},
            "training": {"epochs": 1},
            "runtime": {"num_workers": 0, "device": "cpu"},
            "tracking": {"system_metrics": False},
        }
        values |= changes
        (self.laptop / f"{name}.yaml").write_text(yaml.safe_dump(values))
        return f"{name}.yaml"


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    pytest.importorskip("flask_wtf", reason="MLflow's accounts need flask-wtf")
    cluster = Cluster(tmp_path_factory.mktemp("jobs"))
    (cluster.laptop / "reviews").mkdir()
    lines = [f"{text} number {n},{label}" for n in range(80) for text, label in ROWS]
    (cluster.laptop / "reviews" / "rows.csv").write_text("\n".join(["text,label", *lines]))
    try:
        cluster.wait()
        yield cluster
    finally:
        cluster.stop()


@pytest.fixture(scope="module")
def first(cluster: Cluster) -> dict[str, Any]:
    """A job that trained with Ray Train, from a data file that went along."""
    file = cluster.experiment("first", runtime={"num_workers": 1, "device": "cpu"})
    code, answer, log = cluster.submit(file)
    assert code == 0, log
    return {**answer, "stderr": log}


def test_a_job_trains_on_the_cluster_and_names_its_run(
    cluster: Cluster, first: dict[str, Any]
) -> None:
    assert re.fullmatch(r"rnnlane-first-[0-9a-f]{8}-1", first["submission_id"])
    assert (first["status"], first["exit_code"]) == ("SUCCEEDED", 0)
    page = f"{cluster.server.uri}/#/experiments/1/runs/{first['run_id']}?"
    assert first["run_url"].startswith(page)
    assert f"run {first['run_id']} at {page}" in first["stderr"]
    assert first["stderr"].count("\nepoch 1 ") == 1
    assert list((cluster.head.home / "prepared").iterdir())
    assert not (cluster.laptop / "home").exists()
    assert "rnnlane-probe" not in cluster.head.get("/api/jobs/"), "it left its probe behind"


@pytest.mark.slow
def test_sent_twice_it_is_one_job_and_again_makes_another_run(
    cluster: Cluster, first: dict[str, Any]
) -> None:
    code, answer, log = cluster.submit("first.yaml")
    assert (code, answer["submission_id"]) == (0, first["submission_id"])
    assert "already succeeded" in log
    assert log.count("\nepoch 1 ") == 1
    code, answer, log = cluster.submit("first.yaml", "--again", "--set", "runtime.num_workers=0")
    assert code == 0, log
    assert answer["submission_id"] == first["submission_id"][:-1] + "2"
    assert answer["run_id"] not in {None, first["run_id"]}


def test_the_account_is_used_and_stands_nowhere(cluster: Cluster, first: dict[str, Any]) -> None:
    secrets = [cluster.server.password, cluster.head.token.read_text()]
    job_id = first["submission_id"]
    shown = [
        first["stderr"],
        cluster.head.get("/api/jobs/"),
        cluster.head.get(f"/api/jobs/{job_id}"),
        cluster.head.get(f"/api/jobs/{job_id}/logs"),
        cluster.head.get("/api/v0/actors?detail=1"),
        cluster.head.get("/api/v0/workers?detail=1"),
        cluster.head.get("/api/v0/runtime_envs?detail=1"),
        (cluster.head.home / "runs").as_posix(),
    ]
    shown += [file.read_text(errors="replace") for file in logs_of(cluster)]
    shown += [
        " ".join(process.info["cmdline"] or ()) for process in psutil.process_iter(["cmdline"])
    ]
    assert str(cluster.server.credentials) in shown[2], "the reference itself is there"
    for secret in secrets:
        assert not any(secret in text for text in shown)


def logs_of(cluster: Cluster) -> list[Path]:
    session = cluster.head.temporary / "session_latest" / "logs"
    records = (cluster.head.home / "runs").rglob("*")
    return [file for file in (*session.rglob("*"), *records) if file.is_file()]


def test_without_the_account_the_job_says_so_and_its_exit_code_is_the_commands(
    cluster: Cluster,
) -> None:
    file = cluster.experiment("nobody")
    code, out, err = cluster.command("submit", file)
    assert code == 1, err
    assert "RNNLANE_CREDENTIALS_FILE" in out
    assert "nobody" in out
    assert err.splitlines()[-1].endswith("-1 failed")


@pytest.mark.slow
def test_bad_input_found_on_the_cluster_is_exit_code_2_and_the_next_attempt_is_numbered(
    cluster: Cluster,
) -> None:
    file = cluster.experiment("lost", data={"source": {"kind": "csv", "path": "/nowhere/a.csv"}})
    code, answer, log = cluster.submit(file)
    assert code == 2, log
    assert (answer["status"], answer["exit_code"], answer["run_id"]) == ("FAILED", 2, None)
    assert "error: data.source.path /nowhere/a.csv: no such file" in log
    code, _, _ = cluster.submit(file, "--detach")
    assert code == 0
    listed = json.loads(cluster.command("jobs", "list", "--json")[1])["jobs"]
    ids = [job["submission_id"] for job in listed if job["experiment"] == "lost"]
    assert [job_id[-2:] for job_id in ids] == ["-2", "-1"]
    table = cluster.command("jobs", "list")[1]
    assert all(job_id in table for job_id in ids)


@pytest.mark.slow
def test_a_job_is_left_followed_stopped_and_goes_on(cluster: Cluster) -> None:
    file = cluster.experiment("long", training={"epochs": 100_000})
    code, answer, _ = cluster.submit(file, "--detach")
    job_id = answer["submission_id"]
    assert code == 0
    assert answer["status"] in {"PENDING", "RUNNING"}
    follower = cluster.start("jobs", "logs", "-f", job_id)
    assert follower.stdout is not None
    for line in follower.stdout:
        if line.startswith("epoch 3 "):
            break
    follower.send_signal(signal.SIGINT)
    _, err = follower.communicate(timeout=60)
    assert follower.returncode == 130
    assert f"rnnlane jobs stop {job_id}" in err
    running = cluster.status(job_id)
    assert running["status"] == "RUNNING"

    code, out, _ = cluster.command("jobs", "stop", job_id)
    assert (code, out) == (0, f"job {job_id} stopped\n")
    assert "continue with --resume" in cluster.command("jobs", "logs", job_id)[1]

    second = cluster.submit(file, "--detach")[1]["submission_id"]
    assert second == job_id[:-1] + "2"
    resumed = wait_until(lambda: cluster.status(second)["run_id"], what="the second attempt")
    assert resumed == running["run_id"]
    cluster.command("jobs", "stop", second)
    code, _, err = cluster.command("jobs", "logs", "-f", second)
    assert (code, err.splitlines()[-1]) == (130, f"job {second} stopped")


@pytest.fixture
def _token_of_the_head(cluster: Cluster) -> Iterator[None]:
    """Lets this process use the head's token, which Ray keeps until it is told to look again."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in cluster.head.token_environment().items():
            patch.setenv(name, value)
        reset_auth_token_state()
        yield
    reset_auth_token_state()


@pytest.mark.usefixtures("_token_of_the_head")
def test_a_cut_link_repeats_no_line_and_loses_none(cluster: Cluster) -> None:
    link = Link(cluster.head.port)
    client = JobClient(f"http://127.0.0.1:{link.port}")
    client.submit("printer", entrypoint=PRINTER, runtime_env={}, metadata={})
    written: list[str] = []
    notes: list[str] = []

    def write(piece: str) -> None:
        written.append(piece)
        if "line 20\n" in piece and not notes:
            link.cut()

    def pause(seconds: float) -> None:
        if len(notes) == 1 and notes[0].startswith("connection lost"):
            wait_until(lambda: "line 50" in cluster.head.get("/api/jobs/printer/logs"))
            notes.append("mended")
            link.restore()

    job = follow(client, "printer", write=write, note=notes.append, pause=pause)
    lines = [line for line in "".join(written).splitlines() if line.startswith("line ")]
    assert lines == [f"line {number}" for number in range(60)]
    assert job.process_exit_code == 0
    assert notes[1:] == ["mended", "connected again"]
    link.cut()


@pytest.mark.parametrize("token", [None, "0" * 64])
def test_without_the_token_nothing_is_told_and_nothing_is_sent(
    cluster: Cluster, token: str | None, tmp_path: Path
) -> None:
    file = tmp_path / "token"
    if token is not None:
        file.write_text(token)
    experiment = cluster.experiment("stranger")
    for command in (["jobs", "list"], ["submit", experiment]):
        code, out, err = cluster.command(*command, RAY_AUTH_TOKEN_PATH=str(file))
        assert (code, out) == (2, "")
        assert "requires its token" in err
        assert err.count("\n") == 1
    assert "rnnlane-stranger" not in cluster.head.get("/api/jobs/")


def test_an_address_where_nobody_is_and_a_job_that_nobody_knows(cluster: Cluster) -> None:
    code, _, err = cluster.command("jobs", "list", "--address", "http://127.0.0.1:9")
    assert (code, err.count("\n")) == (1, 1)
    assert "does not answer" in err
    code, _, err = cluster.command("jobs", "logs", "-f", "nope")
    assert (code, err.count("\n")) == (2, 1)
    assert "has no job 'nope'" in err
