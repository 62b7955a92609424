"""What cluster/ starts, for real: MLflow as the containers run it, and Slurm's batch script.

Slurm itself is played by two small commands; the rest is real: Ray, PostgreSQL, MLflow.
"""

import base64
import configparser
import os
import shutil
import signal
import socket
import stat
import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path

import pytest

from support.command import wait_until, write_experiment
from support.deployment import CLUSTER

pytestmark = [pytest.mark.slow, pytest.mark.release]

POSTGRES = sorted(Path("/usr/lib/postgresql").glob("*/bin")) if os.name == "posix" else []
PATH = f"{Path(sys.executable).parent}:{os.environ['PATH']}"


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@pytest.fixture(scope="module")
def secrets(tmp_path_factory):
    folder = tmp_path_factory.mktemp("cluster") / "secrets"
    subprocess.run([CLUSTER / "make-secrets", folder], check=True, capture_output=True)
    return folder


@pytest.fixture(scope="module")
def database(secrets):
    """PostgreSQL set up as the container's: user and database `mlflow`, password by SCRAM."""
    if not POSTGRES or os.geteuid() != 0:
        pytest.skip("needs root and PostgreSQL (Debian: apt-get install postgresql)")
    # Not below pytest's folder, which PostgreSQL's own user may not enter.
    folder = Path(subprocess.check_output(["mktemp", "-d"], text=True).strip())
    shutil.chown(folder, "postgres", "postgres")
    data, password, port = folder / "data", folder / "password", free_port()
    shutil.copy(secrets / "postgres_password", password)
    shutil.chown(password, "postgres", "postgres")
    user = ["setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups"]
    binaries, address = POSTGRES[-1], ["-h", "127.0.0.1", "-p", str(port)]
    subprocess.run(
        [
            *user,
            binaries / "initdb",
            "-D",
            data,
            "-U",
            "mlflow",
            f"--pwfile={password}",
            "--auth-host=scram-sha-256",
            "--auth-local=scram-sha-256",
        ],
        check=True,
        capture_output=True,
    )
    server = subprocess.Popen(
        [*user, binaries / "postgres", "-D", data, "-k", folder, *address],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    address += ["-U", "mlflow"]
    try:
        wait_until(
            lambda: (
                subprocess.run([binaries / "pg_isready", "-q", *address], check=False).returncode
                == 0
            ),
            what="PostgreSQL",
        )
        environment = {**os.environ, "PGPASSWORD": password.read_text()}
        subprocess.run([binaries / "createdb", *address, "mlflow"], check=True, env=environment)
        yield f"postgresql+psycopg2://mlflow@127.0.0.1:{port}/mlflow"
    finally:
        server.send_signal(signal.SIGINT)
        server.wait(timeout=60)
        shutil.rmtree(folder)


@pytest.fixture(scope="module")
def mlflow(database, secrets, tmp_path_factory):
    """Address of MLflow's server, its process and its log, started by the image's own script."""
    folder, port = tmp_path_factory.mktemp("mlflow"), free_port()
    log = folder / "log"
    environment = {
        **os.environ,
        "PATH": PATH,
        "RNNLANE_SECRETS": str(secrets),
        "RNNLANE_MLFLOW_DATA": str(folder),
        "RNNLANE_MLFLOW_DATABASE": database,
        "MLFLOW_HOST": "127.0.0.1",
        "MLFLOW_PORT": str(port),
        "MLFLOW_WORKERS": "1",
        "MLFLOW_SERVER_ALLOWED_HOSTS": "mlflow:5000,localhost:*,127.0.0.1:*",
    }
    with log.open("w") as target:
        server = subprocess.Popen(
            [CLUSTER / "docker" / "mlflow-server"],
            env=environment,
            stdout=target,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    address = f"http://127.0.0.1:{port}"
    try:
        wait_until(lambda: status(f"{address}/health") == 200, what="MLflow's server")
        yield address, server, log
    finally:
        os.killpg(server.pid, signal.SIGTERM)
        server.wait(timeout=60)


def status(url: str, *, login: str | None = None, host: str | None = None) -> int | None:
    headers = {} if host is None else {"Host": host}
    if login is not None:
        headers["Authorization"] = f"Basic {base64.b64encode(login.encode()).decode()}"
    try:
        with urllib.request.urlopen(
            urllib.request.Request(url, headers=headers), timeout=120
        ) as got:
            return got.status
    except urllib.error.HTTPError as error:
        return error.code
    except OSError:
        return None


def make_account(secrets, address):
    return subprocess.run(
        [CLUSTER / "docker" / "mlflow-account"],
        env={**os.environ, "RNNLANE_SECRETS": str(secrets), "MLFLOW_TRACKING_URI": address},
        check=False,
        capture_output=True,
        text=True,
        timeout=120,
    )


def driver_login(secrets) -> str:
    account = configparser.ConfigParser()
    account.read(secrets / "mlflow_credentials")
    section = account["mlflow"]
    return f"{section['mlflow_tracking_username']}:{section['mlflow_tracking_password']}"


def test_mlflow_lets_in_its_accounts_alone(mlflow, secrets):
    address, _, _ = mlflow
    login = driver_login(secrets)
    runs = f"{address}/api/2.0/mlflow/experiments/search?max_results=1"
    assert status(runs, login=login) == 401
    for _ in range(2):
        made = make_account(secrets, address)
        assert (made.returncode, made.stdout) == (0, "account rnnlane is there\n"), made.stderr
    assert status(runs, login=login) == 200
    assert status(runs) == 401
    assert status(runs, login="rnnlane:wrong") == 401
    assert status(runs, login=login, host="mlflow:5000") == 200
    assert status(runs, login=login, host="evil.example") == 403
    # The driver's account is no administrator's.
    users = f"{address}/api/2.0/mlflow/users/get?username=admin"
    assert status(users, login=login) == 403


def test_no_password_is_in_an_argument_or_a_log(mlflow, secrets):
    _, server, log = mlflow
    known = [path.read_text().strip() for path in secrets.iterdir() if path.suffix == ""]
    known += [driver_login(secrets).partition(":")[2]]
    ours = [
        path.read_bytes()
        for path in Path("/proc").glob("[0-9]*/cmdline")
        if os.getpgid(int(path.parent.name)) == server.pid
    ]
    assert len(ours) >= 2
    for secret in known:
        assert all(secret.encode() not in arguments for arguments in ours)
        assert secret not in log.read_text()


def test_missing_secrets_are_named(tmp_path):
    done = subprocess.run(
        [CLUSTER / "docker" / "mlflow-server"],
        env={**os.environ, "RNNLANE_SECRETS": str(tmp_path)},
        check=False,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert f"{tmp_path}/postgres_password" in done.stderr
    made = make_account(tmp_path, "http://127.0.0.1:9")
    assert made.returncode == 1
    assert made.stderr.startswith("error: ")
    assert made.stderr.count("\n") == 1


SRUN = """#!/bin/bash
while [[ "${1:-}" == --* ]]; do shift; done
[ "$1" = hostname ] && { echo 127.0.0.1; exit; }
token=$RAY_AUTH_TOKEN_PATH
echo "$RAY_AUTH_MODE $(stat -c %a "$token") $(wc -c <"$token")" >>"$STUB/seen"
exec "$@"
"""


@pytest.fixture
def slurm(tmp_path):
    """Runs the batch script on one node, in a network and process namespace of its own.

    Because Ray's end there is `ray stop`, which ends every Ray that it sees.
    """
    isolate = ["unshare", "--pid", "--fork", "--mount-proc", "--net", "--kill-child"]
    if subprocess.run([*isolate, "true"], check=False, capture_output=True).returncode != 0:
        pytest.skip("needs root and namespaces of its own")
    stub = tmp_path / "stub"
    stub.mkdir()
    for name, text in {"scontrol": "#!/bin/sh\necho node1\n", "srun": SRUN}.items():
        (stub / name).write_text(text)
        (stub / name).chmod(stat.S_IRWXU)

    def run(*arguments):
        environment = {
            **os.environ,
            "PATH": f"{stub}:{PATH}",
            "STUB": str(stub),
            "SLURM_JOB_ID": str(os.getpid()),
            "SLURM_JOB_NODELIST": "node1",
            "SLURM_JOB_NUM_NODES": "1",
            "SLURM_CPUS_PER_TASK": "2",
        }
        environment.pop("RAY_ADDRESS", None)
        script = 'ip link set lo up && exec bash "$@"'
        return subprocess.run(
            [*isolate, "bash", "-c", script, "-", CLUSTER / "slurm" / "train.sbatch", *arguments],
            cwd=tmp_path,
            env=environment,
            check=False,
            capture_output=True,
            text=True,
            timeout=600,
        )

    yield run
    shutil.rmtree(f"/tmp/rnnlane-{os.getpid()}", ignore_errors=True)


def test_slurms_script_trains_with_the_token_on_and_leaves_none(slurm, tmp_path):
    experiment = write_experiment(tmp_path, training={"epochs": 1})
    done = slurm("train", str(experiment), "--json")
    assert done.returncode == 0, done.stdout + done.stderr
    assert '"best_epoch": 1' in done.stdout
    home = tmp_path / ".rnnlane"
    assert list((home / "runs").iterdir())
    assert set((tmp_path / "stub" / "seen").read_text().splitlines()) == {"token 600 64"}
    assert list((home / "slurm").iterdir()) == []
    assert not Path(f"/tmp/rnnlane-{os.getpid()}").exists()


def test_slurms_script_refuses_other_verbs(slurm):
    done = slurm("destroy", "x.yaml")
    assert done.returncode == 2
    assert "destroy x.yaml" in done.stderr
