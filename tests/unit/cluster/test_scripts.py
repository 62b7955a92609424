"""The shell scripts of cluster/: shellcheck, and what make-secrets leaves behind."""

import configparser
import os
import shutil
import stat
import subprocess

import pytest

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
