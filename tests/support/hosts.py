"""Hosts made of network namespaces: own address, ports and loopback; one switch joins them.

A namespace of its own holds the switch, so nothing of the machine's network is touched. Hosts share
the machine's files, as over NFS, and its clock.
"""

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterable
from pathlib import Path

import psutil

from support.command import kill

INTERFACE = "eth0"
# A network for measurements between devices, routed nowhere (RFC 2544).
NETWORK = "198.18.77"
PREFIX = "rnnlane"


def why_not() -> str | None:
    """Why hosts cannot be made here; None if they can."""
    if not sys.platform.startswith("linux") or shutil.which("ip") is None:
        return "hosts are network namespaces, which need Linux and iproute2"
    if os.geteuid() != 0:
        return "hosts are network namespaces, which need root"
    probe = _namespace(os.getpid(), "probe")
    try:
        _make(probe)
        _do(
            "ip",
            "netns",
            "exec",
            probe,
            "tc",
            "qdisc",
            "add",
            "dev",
            "lo",
            "root",
            *_bandwidth_limit(2000),
        )
    except RuntimeError as error:
        return f"no hosts can be made of network namespaces here: {error}"
    finally:
        _delete(probe)
    return None


class Host:
    """One host: a namespace with one interface, and a home folder."""

    def __init__(self, name: str, *, switch: str, address: str, folder: Path):
        self.name = name
        self.address = address
        self.folder = folder
        self.home = folder / "home"
        self.home.mkdir(parents=True)
        self._namespace = _make(_namespace(os.getpid(), name))
        self._switch = switch
        self._plug(switch)

    def _plug(self, switch: str) -> None:
        inside = ["ip", "-n", self._namespace]
        peer = ["peer", "name", INTERFACE, "netns", self._namespace]
        _do("ip", "-n", switch, "link", "add", "name", self.name, "type", "veth", *peer)
        _do("ip", "-n", switch, "link", "set", "dev", self.name, "master", "switch", "up")
        _do(*inside, "link", "set", "lo", "up")
        _do(*inside, "link", "set", INTERFACE, "up")
        _do(*inside, "address", "add", f"{self.address}/24", "dev", INTERFACE)
        # Leads nowhere; without it programs that look for their own address find loopback.
        _do(*inside, "route", "add", "default", "dev", INTERFACE)

    def environment(self, **extra: str) -> dict[str, str]:
        """The environment of a process on this host, without the tests' own Ray and MLflow."""
        path = [str(Path(sys.executable).parent), os.environ["PATH"]]
        kept = {key: os.environ[key] for key in ("LANG", "PYTHONPATH") if key in os.environ}
        return {
            **kept,
            # As in an activated environment: jobs call `python`.
            "PATH": os.pathsep.join(path),
            "HOME": str(self.home),
            "TMPDIR": str(self.folder),
            "PYTHONUNBUFFERED": "1",
            "GLOO_SOCKET_IFNAME": INTERFACE,
            **extra,
        }

    def start(
        self, *command: str, log: Path, errors: Path | None = None, **extra: str
    ) -> subprocess.Popen:
        """Starts a command on this host; its output is appended to ``log``.

        Its stderr is appended to ``errors`` instead, if given.
        """
        with log.open("ab") as out, (errors or log).open("ab") as err:
            return subprocess.Popen(
                ["ip", "netns", "exec", self._namespace, *command],
                env=self.environment(**extra),
                cwd=self.folder,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=err,
                start_new_session=True,
            )

    def run(
        self, *command: str, timeout_s: float = 120, **extra: str
    ) -> subprocess.CompletedProcess:
        """Runs a command on this host to its end."""
        return subprocess.run(
            ["ip", "netns", "exec", self._namespace, *command],
            check=False,
            env=self.environment(**extra),
            cwd=self.folder,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=timeout_s,
            # A signal to the tests' group is not for the daemons that this leaves behind.
            start_new_session=True,
        )

    def processes(self, *words: str) -> list[psutil.Process]:
        """Processes of this host whose command line has one of the words, or all of them."""
        found = []
        for process in _processes(self._namespace):
            try:
                line = " ".join(process.cmdline())
            except psutil.Error:
                continue
            if not words or any(word in line for word in words):
                found.append(process)
        return found

    def kill(self, *words: str) -> int:
        """``kill -9`` of :meth:`processes`; returns their number."""
        doomed = self.processes(*words)
        kill(doomed)
        return len(doomed)

    def cut(self) -> None:
        """Pulls the cable at the switch: packets are lost, connections stay open."""
        _do("ip", "-n", self._switch, "link", "set", "dev", self.name, "down")

    def join(self) -> None:
        """Plugs the cable in again."""
        _do("ip", "-n", self._switch, "link", "set", "dev", self.name, "up")

    def narrow(self, kbit_per_s: int = 2000) -> None:
        """Limits the bandwidth to this host, so that training lasts long enough for a test."""
        limit = _bandwidth_limit(kbit_per_s)
        _do("tc", "-n", self._switch, "qdisc", "replace", "dev", self.name, "root", *limit)

    def widen(self) -> None:
        """Undoes :meth:`narrow`; does nothing without it."""
        delete = ["tc", "-n", self._switch, "qdisc", "delete", "dev", self.name, "root"]
        subprocess.run(delete, check=False, capture_output=True)

    def bytes_moved(self) -> int:
        """Bytes received and sent by the interface so far."""
        words = self.run("cat", "/proc/net/dev").stdout.partition(f"{INTERFACE}:")[2].split()
        return int(words[0]) + int(words[8])


class Hosts:
    """Hosts on one switch; :func:`remove_hosts` ends whatever runs on them.

    Attributes:
        folder: of all of them; its path is short, as Ray's sockets need it.
    """

    def __init__(self, names: Iterable[str]):
        _remove_stale()
        self.folder = _folder(os.getpid())
        self.folder.mkdir(mode=0o700)
        self._switch = _make(_namespace(os.getpid(), "switch"))
        _do("ip", "-n", self._switch, "link", "add", "name", "switch", "type", "bridge")
        _do("ip", "-n", self._switch, "link", "set", "switch", "up")
        self._by_name: dict[str, Host] = {}
        for number, name in enumerate(names, start=1):
            self._by_name[name] = Host(
                name,
                switch=self._switch,
                address=f"{NETWORK}.{number}",
                folder=self.folder / name,
            )

    def __getitem__(self, name: str) -> Host:
        return self._by_name[name]


def remove_hosts() -> None:
    """Kills every process of every host of this process, and removes the hosts and their files."""
    _remove_of(os.getpid())


def _folder(pid: int) -> Path:
    return Path(f"/tmp/{PREFIX}-hosts-{pid}")


def _namespace(pid: int, name: str) -> str:
    return f"{PREFIX}-hosts-{pid}-{name}"


def _bandwidth_limit(kbit_per_s: int) -> tuple[str, ...]:
    return ("tbf", "rate", f"{kbit_per_s}kbit", "burst", "32kb", "limit", "20mb")


def _make(namespace: str) -> str:
    _do("ip", "netns", "add", namespace)
    return namespace


def _remove_stale() -> None:
    """Removes hosts of earlier processes that ended without doing so."""
    for pid in {int(name.split("-")[2]) for name in _namespaces()}:
        if pid == os.getpid() or not psutil.pid_exists(pid):
            _remove_of(pid)


def _remove_of(pid: int) -> None:
    for name in _namespaces():
        if name.startswith(_namespace(pid, "")):
            _delete(name)
    shutil.rmtree(_folder(pid), ignore_errors=True)


def _namespaces() -> list[str]:
    listed = subprocess.run(["ip", "netns", "list"], check=True, capture_output=True, text=True)
    names = [line.split()[0] for line in listed.stdout.splitlines() if line]
    return [name for name in names if name.startswith(f"{PREFIX}-hosts-")]


def _delete(namespace: str) -> None:
    # A killed process may just have started another one.
    deadline = time.monotonic() + 30
    while (left := _processes(namespace)) and time.monotonic() < deadline:
        kill(left)
    subprocess.run(["ip", "netns", "delete", namespace], check=False, capture_output=True)


def _processes(namespace: str) -> list[psutil.Process]:
    listed = subprocess.run(
        ["ip", "netns", "pids", namespace], check=False, capture_output=True, text=True
    )
    found = []
    for word in listed.stdout.split():
        try:
            process = psutil.Process(int(word))
            if process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
        except psutil.Error:
            continue
    return found


def _do(*command: str) -> None:
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    if done.returncode != 0:
        raise RuntimeError(f"{' '.join(command)}: {done.stderr.strip()}")
