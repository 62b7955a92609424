"""The shell scripts of cluster/: shellcheck, and what make-secrets and Slurm's leave behind."""

import configparser
import os
import shutil
import signal
import stat
import subprocess
from pathlib import Path

import pytest

from support.command import wait_until
from support.deployment import CLUSTER, ROOT


def shell_scripts():
    found = []
    for path in sorted(CLUSTER.rglob("*")):
        if path.is_file() and path.suffix not in {".md", ".yaml", ".py"}:
            first = path.read_bytes().partition(b"\n")[0]
            if first.startswith(b"#!") and first.endswith((b"/sh", b"bash")):
                found.append(path)
    return found


@pytest.mark.parametrize("path", shell_scripts(), ids=lambda path: str(path.relative_to(CLUSTER)))
def test_shellcheck_finds_nothing(path):
    if shutil.which("shellcheck") is None:
        pytest.skip("shellcheck is not installed (Debian: apt-get install shellcheck)")
    done = subprocess.run(["shellcheck", path], check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout
    assert "set -eu" in path.read_text()


def test_every_script_was_found_and_can_be_run():
    names = {str(path.relative_to(CLUSTER)) for path in shell_scripts()}
    assert {"make-secrets", "docker/up", "docker/down", "docker/mlflow-server"} <= names
    assert "slurm/train.sbatch" in names
    for name in names:
        assert os.access(CLUSTER / name, os.X_OK), name


def make_secrets(folder):
    return subprocess.run(
        [CLUSTER / "make-secrets", folder], check=True, capture_output=True, text=True
    ).stdout


def test_secrets_are_random_private_and_kept(tmp_path):
    folder, other = tmp_path / "a b" / "secrets", tmp_path / "other"
    said = make_secrets(folder)
    make_secrets(other)
    files = {path.name: path.read_text() for path in folder.iterdir()}
    assert set(files) == {
        "ray_token",
        "postgres_password",
        "mlflow_admin_password",
        "mlflow_flask_key",
        "mlflow_credentials",
    }
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    for path in folder.iterdir():
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert path.read_text() != (other / path.name).read_text()
        assert path.read_text().strip() not in said
    account = configparser.ConfigParser()
    account.read(folder / "mlflow_credentials")
    assert account["mlflow"]["mlflow_tracking_username"] == "rnnlane"
    values = [text for name, text in files.items() if name != "mlflow_credentials"]
    values.append(account["mlflow"]["mlflow_tracking_password"])
    assert len(set(values)) == 5
    assert all(len(value) == 64 for value in values)
    make_secrets(folder)
    assert {path.name: path.read_text() for path in folder.iterdir()} == files


@pytest.mark.parametrize("place", ["cluster/docker/secrets", "cluster/kubernetes/base/secrets"])
def test_git_ignores_the_secrets(place):
    done = subprocess.run(
        ["git", "check-ignore", "--quiet", f"{place}/ray_token"], cwd=ROOT, check=False
    )
    assert done.returncode == 0


STUBS = {
    "scontrol": "echo node1",
    "srun": 'while [[ "${1:-}" == --* ]]; do shift; done\n'
    '[ "$1" = hostname ] && { echo 127.0.0.1; exit; }\nexec "$@"',
    "ray": 'touch "$RAY_TMPDIR/session"; until [ "$1" = -- ]; do shift; done; shift; exec "$@"',
    "python": 'echo "$@" >"$STUBS/asked"; [ -z "${SLEEP:-}" ] || sleep "$SLEEP"; exit "${CODE:-0}"',
}


@pytest.fixture
def slurm_job(tmp_path):
    """Starts Slurm's batch script with a Ray and a Python that do nothing."""
    stubs = tmp_path / "stubs"
    stubs.mkdir()
    for name, body in STUBS.items():
        (stubs / name).write_text(f"#!/bin/bash\n{body}\n")
        (stubs / name).chmod(0o700)

    def start(**extra):
        return subprocess.Popen(
            [CLUSTER / "slurm" / "train.sbatch", "train", "x.yaml", "--json"],
            env={
                "PATH": f"{stubs}:{os.environ['PATH']}",
                "STUBS": str(stubs),
                "RNNLANE_HOME": str(tmp_path / "home"),
                "SLURM_JOB_ID": str(os.getpid()),
                "SLURM_JOB_NODELIST": "node1",
                "SLURM_JOB_NUM_NODES": "1",
                **extra,
            },
            start_new_session=True,
        )

    yield start
    # The nodes' shells remove it as they end, which may be after the script has.
    folder = Path(f"/tmp/rnnlane-{os.getpid()}")
    wait_until(lambda: not folder.exists(), timeout_s=60, what=f"the end of {folder}")
    assert list((tmp_path / "home" / "slurm").iterdir()) == []
    assert (stubs / "asked").read_text() == "-m rnnlane train x.yaml --resume --json\n"


@pytest.mark.parametrize("code", [0, 3])
def test_a_slurm_job_leaves_no_folder_and_ends_as_the_command_did(slurm_job, code):
    assert slurm_job(CODE=str(code)).wait(timeout=60) == code


def test_a_slurm_job_that_is_stopped_leaves_no_folder(slurm_job, tmp_path):
    job = slurm_job(SLEEP="600")
    wait_until((tmp_path / "stubs" / "asked").exists, what="the start of the command")
    os.killpg(job.pid, signal.SIGTERM)
    assert job.wait(timeout=60) != 0
