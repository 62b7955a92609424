"""A cluster on one machine: Ray head, second node, MLflow server, PostgreSQL; all on loopback.

What it keeps (runs, accounts, token) lives in one folder and is there again after the next ``up``.
"""

from __future__ import annotations

import argparse
import os
import shlex
import signal
import sys
import tempfile
import uuid
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

from filelock import FileLock, Timeout

import postgres
import processes
from mlflow_server import WRITER, MlflowServer
from ray_nodes import RayNodes
from rnnlane.cli.output import write_error
from rnnlane.errors import ConfigError, JobError, RnnlaneError
from running import Running
from secret_files import kept_secret, write_secret

FOLDER = Path(__file__).resolve().parent / ".state"
# Outside 10002-19999, where Ray's workers listen, and below what systems give to clients.
FIRST_PORT = 26000
_PORTS = {
    "Ray dashboard": 0,
    "Ray control store": 1,
    "Ray client": 2,
    "Ray agent": 3,
    "second Ray agent": 4,
    "MLflow": 5,
    "PostgreSQL": 6,
}
MIN_CPUS = 2
# A shell function of the file to source.
LEAVE = "leave_cluster"


@dataclass(frozen=True)
class Cluster:
    """Where a cluster lives.

    Attributes:
        folder: all that it keeps.
    """

    folder: Path

    @property
    def record(self) -> Path:
        """The file that lists what runs; absent while the cluster is down."""
        return self.folder / "running.json"

    @property
    def environment_file(self) -> Path:
        """The file to source in a shell."""
        return self.folder / "env"

    def up(self, *, port: int, cpus: int) -> list[str]:
        """Starts everything or nothing; does nothing if it runs already.

        Args:
            port: the first of seven.
            cpus: that each of the two nodes offers.

        Returns:
            What to tell.

        Raises:
            ResourceError: a port is taken.
            JobError: a part does not start; what was started is ended again.
        """
        running = self._running()
        if running is not None:
            return [f"it is up already: source {self.environment_file}; {LEAVE} undoes that"]
        processes.refuse_taken_ports({name: port + offset for name, offset in _PORTS.items()})
        # Ray's sockets need a short path, which the system's own temporary folder may not have.
        temporary = Path(tempfile.mkdtemp(prefix="rnnlane-ray-", dir="/tmp"))
        started = Running(self.record, mark=uuid.uuid4().hex, port=port, temporary=temporary)
        try:
            return self._start_all(started, cpus=cpus)
        except BaseException:
            started.end_all()
            raise

    def _start_all(self, started: Running, *, cpus: int) -> list[str]:
        store, notes = self._start_store(started)
        server = MlflowServer(self.folder / "mlflow", started.port + _PORTS["MLflow"], store)
        print("starting the MLflow server ...", file=sys.stderr)
        started.add(server.start(started.mark))
        nodes = self._ray_nodes(server, started, cpus=cpus)
        print("starting two Ray nodes ...", file=sys.stderr)
        started.add(nodes.start_head(started.mark))
        started.add(nodes.start_second(started.mark))
        self._write_environment(nodes, server)
        return [
            f"Ray, two nodes of {cpus} CPUs: {nodes.url}   (token: {nodes.token})",
            f"MLflow: {server.url}   (account: {server.accounts / WRITER}.ini)",
            *notes,
            "",
            f"    source {shlex.quote(str(self.environment_file))}",
            "    rnnlane submit experiments/demo.yaml",
            "    rnnlane jobs list",
            "    rnnlane ui",
            f"    {LEAVE}    # this shell forgets the cluster",
        ]

    def _start_store(self, started: Running) -> tuple[str, list[str]]:
        """The address of the database, and a note about it."""
        file = self.folder / "mlflow" / "mlflow.db"
        folder = self.folder / "postgres"
        folder.mkdir(parents=True, exist_ok=True)
        reason = (
            "the runs so far are in a SQLite file" if file.exists() else postgres.why_not(folder)
        )
        if reason is not None:
            file.parent.mkdir(exist_ok=True)
            note = f"no PostgreSQL: {reason}. Runs go to a SQLite file, fit for a few writers"
            return f"sqlite:///{file}", [note]
        password = kept_secret(self.folder / "postgres_password")
        database = postgres.Postgres(folder, started.port + _PORTS["PostgreSQL"], password)
        print("starting PostgreSQL ...", file=sys.stderr)
        started.add(database.start(started.mark))
        return database.uri, []

    def _ray_nodes(self, server: MlflowServer, started: Running, *, cpus: int) -> RayNodes:
        token = self.folder / "auth_token"
        kept_secret(token)
        return RayNodes(
            self.folder,
            started.temporary,
            started.port,
            cpus,
            token,
            {
                "RNNLANE_HOME": str(self.folder / "home"),
                "RNNLANE_CREDENTIALS_FILE": str(server.accounts / f"{WRITER}.ini"),
                "MLFLOW_TRACKING_URI": server.url,
            },
        )

    def _write_environment(self, nodes: RayNodes, server: MlflowServer) -> None:
        username, password = server.account(WRITER)
        variables = {
            "RAY_ADDRESS": nodes.url,
            "RAY_AUTH_MODE": "token",
            "RAY_AUTH_TOKEN_PATH": str(nodes.token),
            "MLFLOW_TRACKING_URI": server.url,
            "MLFLOW_TRACKING_USERNAME": username,
            "MLFLOW_TRACKING_PASSWORD": password,
        }
        lines = [f"export {name}={shlex.quote(value)}\n" for name, value in variables.items()]
        lines.append(f"{LEAVE}() {{ unset {' '.join(variables)}; unset -f {LEAVE}; }}\n")
        write_secret(self.environment_file, "".join(lines))

    def _running(self) -> Running | None:
        """What runs; None if nothing does.

        Raises:
            JobError: not all of it does.
        """
        running = Running.read(self.record)
        if running is None:
            return None
        ended = running.ended()
        if ended or not self.environment_file.exists():
            raise JobError(
                "all parts of the cluster must run, but "
                + (f"{' and '.join(ended)} ended" if ended else "`up` did not come to its end"),
                where=str(self.folder),
                remedy="`down`, then `up`; the logs are in that folder",
            )
        return running

    def down(self) -> list[str]:
        """Stops what ``up`` started; does nothing if nothing runs."""
        running = Running.read(self.record)
        if running is None:
            return ["it is down"]
        self.environment_file.unlink(missing_ok=True)
        running.end_all()
        return [f"it is down; runs, accounts and data stay in {self.folder}"]

    def add_reader(self, name: str, mlflow_experiment: str) -> list[str]:
        """Creates an account, unless it exists, that may read one of MLflow's experiments.

        Raises:
            ConfigError: the cluster is down, there is no such experiment, or the name cannot be.
            TrackingError: the server refuses.
        """
        running = self._running()
        if running is None:
            raise ConfigError(
                "the cluster must be up to add a reader, but it is down",
                where=str(self.folder),
                remedy="`up` first",
            )
        server = MlflowServer(
            self.folder / "mlflow", running.port + _PORTS["MLflow"], store="unknown"
        )
        file = server.add_reader(name, mlflow_experiment=mlflow_experiment)
        return [f"{name} may read {mlflow_experiment!r}; name and password: {file}"]


def _arguments() -> argparse.Namespace:
    place = argparse.ArgumentParser(add_help=False)
    place.add_argument("--folder", type=Path, default=FOLDER, help="where everything is kept")
    parser = argparse.ArgumentParser(prog="cluster/local", description=__doc__)
    verbs = parser.add_subparsers(dest="verb", required=True)
    up = verbs.add_parser("up", parents=[place], help="start it")
    up.add_argument("--port", type=int, default=FIRST_PORT, help="the first of seven ports")
    up.add_argument(
        "--cpus",
        type=int,
        default=max(MIN_CPUS, (os.cpu_count() or MIN_CPUS) // 2),
        help="CPUs that each of the two nodes offers to jobs",
    )
    verbs.add_parser("down", parents=[place], help="stop it")
    reader = verbs.add_parser("add-reader", parents=[place], help="create an account that may read")
    reader.add_argument("name")
    reader.add_argument("mlflow_experiment", help="as `tracking.mlflow_experiment` names it")
    return parser.parse_args()


def _run(arguments: argparse.Namespace) -> list[str]:
    folder = arguments.folder.resolve()
    # PostgreSQL's own account must come through; each file with a secret is closed to it.
    folder.mkdir(parents=True, exist_ok=True, mode=0o711 if os.geteuid() == 0 else 0o700)
    cluster = Cluster(folder)
    try:
        with FileLock(folder / "lock", timeout=0):
            if arguments.verb == "up":
                return cluster.up(port=arguments.port, cpus=arguments.cpus)
            if arguments.verb == "down":
                return cluster.down()
            return cluster.add_reader(arguments.name, arguments.mlflow_experiment)
    except Timeout:
        raise ConfigError(
            "one command at a time may change the cluster, but another one is at work",
            where=str(folder),
            remedy="wait until it ends",
        ) from None


def _interrupt(_signal: int, _frame: FrameType | None) -> None:
    """A terminated ``up`` stops what it has started, like an interrupted one."""
    raise KeyboardInterrupt


def main() -> int:
    """Entry point: exit code 0, 2 for bad input, 1 for other failures, 130 when interrupted."""
    signal.signal(signal.SIGTERM, _interrupt)
    try:
        print("\n".join(_run(_arguments())))
    except RnnlaneError as error:
        write_error(error, as_json=False)
        return error.exit_code
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
