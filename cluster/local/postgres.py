"""PostgreSQL in its own folder: find the programs, create the data, start the server."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import socket
import subprocess
from dataclasses import dataclass
from pathlib import Path

import processes
from rnnlane.errors import JobError
from secret_files import write_secret

USER = DATABASE = "mlflow"
# Debian and Red Hat keep the server's programs off the PATH, by major version.
_PLACES = ("/usr/lib/postgresql/*/bin", "/usr/pgsql-*/bin", "/opt/homebrew/opt/postgresql*/bin")
# PostgreSQL refuses to run as root.
_ACCOUNTS = ("postgres", "nobody")
_MAX_CONNECTIONS = 100


def find_programs() -> Path | None:
    """Folder of the newest ``initdb`` and ``postgres``; None if they are not installed."""
    on_path = shutil.which("initdb")
    if on_path:
        return Path(on_path).resolve().parent
    found = [
        path
        for place in _PLACES
        for path in Path("/").glob(place.lstrip("/"))
        if (path / "initdb").exists() and (path / "postgres").exists()
    ]
    return max(found, key=_version, default=None)


def _version(folder: Path) -> tuple[int, str]:
    digits = "".join(filter(str.isdigit, folder.parent.name))
    return int(digits or 0), str(folder)


def why_not(folder: Path) -> str | None:
    """Why PostgreSQL cannot keep its data below ``folder``; None if it can."""
    if find_programs() is None:
        return "its programs are not installed (Debian: apt-get install postgresql)"
    if os.geteuid() != 0:
        return None
    account = _account()
    if account is None:
        return f"it refuses to run as root, and there is no account {' or '.join(_ACCOUNTS)}"
    reach = subprocess.run(
        ["test", "-x", folder], check=False, user=account, group=account, extra_groups=[]
    )
    if reach.returncode != 0:
        return f"it runs as {account}, who cannot enter {folder}; choose another place by --folder"
    return None


def _account() -> str | None:
    """The account to run as; None: this process's own."""
    if os.geteuid() != 0:
        return None
    names = {entry.pw_name for entry in pwd.getpwall()}
    return next((name for name in _ACCOUNTS if name in names), None)


@dataclass(frozen=True)
class Postgres:
    """One PostgreSQL server on loopback with one database, whose password is generated.

    Attributes:
        folder: for its data and log; kept from one start to the next.
        password: of the database's owner.
    """

    folder: Path
    port: int
    password: str

    @property
    def uri(self) -> str:
        """SQLAlchemy's address, with the password: for environments and files, not arguments."""
        # The driver is named: without it, SQLAlchemy's choice depends on its version.
        return f"postgresql+psycopg2://{USER}:{self.password}@127.0.0.1:{self.port}/{DATABASE}"

    def start(self, mark: str) -> processes.Service:
        """Creates the data folder if needed, starts the server and waits for it.

        Raises:
            JobError: it cannot be made or started.
        """
        programs = find_programs()
        assert programs is not None, "why_not() was not asked"
        log = self.folder / "postgres.log"
        data = self.folder / "data"
        if not (data / "PG_VERSION").exists():
            self._make(programs, data)
        service = processes.start(
            "PostgreSQL",
            [
                str(programs / "postgres"),
                *("-D", str(data), "-p", str(self.port)),
                *("-c", "listen_addresses=127.0.0.1", "-c", "unix_socket_directories="),
                *("-c", f"max_connections={_MAX_CONNECTIONS}"),
            ],
            environment=processes.inherited(**{processes.MARK: mark}),
            log=log,
            user=_account(),
            # SIGTERM would wait for the clients to leave.
            end_signal=signal.SIGINT,
        )
        try:
            processes.wait_until(service, self._answers, log=log)
            self._make_database(programs)
        except BaseException:
            processes.end(service)
            raise
        return service

    def _make(self, programs: Path, data: Path) -> None:
        shutil.rmtree(data, ignore_errors=True)
        data.mkdir(mode=0o700, parents=True)
        password_file = self.folder / "initial_password"
        write_secret(password_file, self.password)
        account = _account()
        if account:
            shutil.chown(data, account, account)
            shutil.chown(password_file, account, account)
        made = subprocess.run(
            [
                str(programs / "initdb"),
                *("-D", str(data), "-U", USER, "--auth=scram-sha-256"),
                *(f"--pwfile={password_file}", "--encoding=UTF8", "--no-locale"),
            ],
            check=False,
            capture_output=True,
            text=True,
            cwd="/",
            env=processes.inherited(),
            **({"user": account, "group": account, "extra_groups": []} if account else {}),
        )
        password_file.unlink()
        if made.returncode != 0:
            shutil.rmtree(data, ignore_errors=True)
            raise JobError(
                f"PostgreSQL's data cannot be made: {' '.join(made.stderr.split())}",
                where=str(data),
            )

    def _answers(self) -> bool:
        try:
            socket.create_connection(("127.0.0.1", self.port), timeout=1).close()
        except OSError:
            return False
        return True

    def _make_database(self, programs: Path) -> None:
        made = subprocess.run(
            [
                str(programs / "createdb"),
                *("-h", "127.0.0.1", "-p", str(self.port), "-U", USER, "--no-password", DATABASE),
            ],
            check=False,
            capture_output=True,
            text=True,
            cwd="/",
            env=processes.inherited(PGPASSWORD=self.password),
        )
        if made.returncode != 0 and "already exists" not in made.stderr:
            raise JobError(
                f"PostgreSQL refuses the database {DATABASE!r}: {' '.join(made.stderr.split())}",
                where=f"127.0.0.1:{self.port}",
            )
