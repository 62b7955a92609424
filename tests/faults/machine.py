"""A machine of its own for each round, made of Linux namespaces.

The faults of a round reach nothing else: it has its own processes, loopback, /dev/shm, and three
small disks below /mnt that can be filled, made read-only and run out of inodes. All of it vanishes
with the round's first process.
"""

from __future__ import annotations

import contextlib
import os
import random
import select
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil

from support.faulty_proxy import FaultyProxy

ROOT = Path(__file__).parents[2]
DISKS = Path("/mnt")
HOME_DISK, TEMPORARY, WORK = DISKS / "home", DISKS / "tmp", DISKS / "work"
SHARED_MEMORY = Path("/dev/shm")
SIZES = {HOME_DISK: "300m", TEMPORARY: "600m", WORK: "600m", SHARED_MEMORY: "400m"}
HOME = HOME_DISK / "rnnlane"
HOSTS_FILE = Path("/etc/hosts")
STORE_HOST, STORE_PORT, STORE_SERVER_PORT, DASHBOARD_PORT = "store.test", 5000, 5001, 8265
STORE_URI = f"http://{STORE_HOST}:{STORE_PORT}"
_NAMESPACES = ("--fork", "--pid", "--kill-child", "--mount", "--mount-proc", "--net", "--ipc")


class MissedError(Exception):
    """A fault found nothing to act on, such as a process that has just ended."""


def why_not() -> str | None:
    """Why there can be no machine of its own here; None if there can."""
    if not sys.platform.startswith("linux") or shutil.which("ip") is None:
        return "rounds run in namespaces, which need Linux and iproute2"
    if os.geteuid() != 0:
        return "rounds run in namespaces, which need root"
    probe = "ip link set lo up && mount -t tmpfs none /mnt && mount -o remount,ro /mnt"
    done = subprocess.run(
        isolated("sh", "-c", probe), check=False, capture_output=True, text=True, timeout=60
    )
    return None if done.returncode == 0 else f"no namespaces here: {done.stderr.strip()}"


def isolated(*command: str) -> list[str]:
    """The command line that runs a command as the first process of a machine of its own."""
    return ["unshare", *_NAMESPACES, "--propagation", "private", "--", *command]


class Command:
    """One command of the round: a process of the command line, whose output is kept.

    Its output is read by threads of this process, as a terminal or a pager would: they can stop
    reading, and close their ends.

    Attributes:
        process: started in a session of its own.
        out, err: files with its output.
    """

    def __init__(self, arguments: list[str], *, number: int, environment: dict[str, str]):
        self.arguments = arguments
        self.out, self.err = (WORK / f"command-{number}.{kind}" for kind in ("out", "err"))
        self._is_read = threading.Event()
        self._is_read.set()
        self._ends: dict[str, int] = {}
        self._readers: list[threading.Thread] = []
        write_ends = []
        for name, file in (("stdout", self.out), ("stderr", self.err)):
            self._ends[name], write_end = os.pipe()
            write_ends.append(write_end)
            reader = threading.Thread(target=self._read, args=(name, file), daemon=True)
            reader.start()
            self._readers.append(reader)
        self.process = subprocess.Popen(
            [sys.executable, "-m", "rnnlane", *arguments],
            env=environment,
            cwd=WORK / "project",
            stdin=subprocess.DEVNULL,
            stdout=write_ends[0],
            stderr=write_ends[1],
            start_new_session=True,
        )
        for write_end in write_ends:
            os.close(write_end)

    def _read(self, name: str, file: Path) -> None:
        with file.open("ab") as target:
            while True:
                self._is_read.wait()
                # A thread within read() would keep open the end that close() closes.
                if not select.select([self._ends[name]], [], [], 0.1)[0]:
                    continue
                data = os.read(self._ends[name], 1 << 16)
                if not data:
                    return
                target.write(data)
                target.flush()

    def wait(self, timeout_s: float) -> int:
        """Its exit code, once all that it wrote has been read.

        Raises:
            subprocess.TimeoutExpired: it runs longer than ``timeout_s``.
        """
        code = self.process.wait(timeout=timeout_s)
        for reader in self._readers:
            # A process that it has left behind may hold the other end.
            reader.join(timeout=3.0)
        return code

    def stop_reading(self) -> None:
        """As a pager that shows its first page; a full pipe blocks the writer."""
        self._is_read.clear()

    def go_on_reading(self) -> None:
        self._is_read.set()

    def close(self, name: str) -> None:
        """Closes our end of ``stdout`` or ``stderr``, as `head` does when it has seen enough."""
        empty, other = os.pipe()
        os.close(other)
        # dup2 replaces the end under the thread that reads it.
        os.dup2(empty, self._ends[name])
        os.close(empty)

    @property
    def told(self) -> str:
        """What it wrote to stderr."""
        return self.err.read_text(errors="replace")


class StoreServer:
    """An MLflow server on SQLite behind a proxy that can fail in many ways."""

    def __init__(self, machine: Machine):
        self._machine = machine
        self.database = WORK / "store" / "mlflow.db"
        self.proxy = FaultyProxy(STORE_PORT, to_port=STORE_SERVER_PORT)
        self.start()

    def start(self) -> None:
        """Starts the server, and waits until it answers."""
        folder = self.database.parent
        command = [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1"]
        command += ["--port", str(STORE_SERVER_PORT), "--workers", "1", "--allowed-hosts", "*"]
        command += ["--backend-store-uri", f"sqlite:///{self.database}"]
        command += ["--artifacts-destination", str(folder / "artifacts")]
        self.process = self._machine.start_service(
            command, log=folder / "server.log", MLFLOW_SERVER_ENABLE_JOB_EXECUTION="false"
        )
        wait_until(lambda: answers(STORE_SERVER_PORT), what="the MLflow server")

    def kill(self) -> None:
        """``kill -9`` of the server and its workers."""
        end([self.process, *self.process.children(recursive=True)])


class Machine:
    """What a fault can act on.

    Attributes:
        command: the command under way.
        store: the store's server, if the round has one.
        services: ids of processes that outlive the commands.
    """

    def __init__(self, environment: dict[str, str]):
        self.command: Command | None = None
        self.commands: list[Command] = []
        self.side_commands: list[Command] = []
        self.store: StoreServer | None = None
        self.head: psutil.Process | None = None
        self._chances = threading.local()
        self.services: set[int] = set()
        self.experiment = WORK / "project" / "small.yaml"
        self.resume: list[str] = []
        self.is_job = False
        self._environment = environment
        self._lock = threading.Lock()

    @property
    def random(self) -> random.Random:
        """The choices of the fault of this thread."""
        if not hasattr(self._chances, "random"):
            self.seed("")
        chance: random.Random = self._chances.random
        return chance

    def seed(self, text: str) -> None:
        """Makes :attr:`random` of this thread depend on a text alone."""
        self._chances.random = random.Random(text)

    @property
    def environment(self) -> dict[str, str]:
        """That of the commands, and of a cluster's head."""
        kept = {key: os.environ[key] for key in ("LANG", "PYTHONPATH") if key in os.environ}
        path = [str(ROOT / "platform"), kept.get("PYTHONPATH", "")]
        return {
            **kept,
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
            "PYTHONPATH": os.pathsep.join(filter(None, path)),
            "PYTHONFAULTHANDLER": "1",
            "PYTHONUNBUFFERED": "1",
            "HOME": str(WORK / "user"),
            "TMPDIR": str(TEMPORARY),
            "RNNLANE_HOME": str(HOME),
            "RAY_DEFAULT_OBJECT_STORE_MAX_MEMORY_BYTES": "100000000",
            **self._environment,
        }

    def start(self, *arguments: str, is_side: bool = False) -> Command:
        """Starts ``rnnlane`` with these arguments."""
        with self._lock:
            number = len(self.commands) + len(self.side_commands)
            command = Command(list(arguments), number=number, environment=self.environment)
            if is_side:
                self.side_commands.append(command)
            else:
                self.commands.append(command)
                self.command = command
        return command

    def start_service(self, command: list[str], *, log: Path, **environment: str) -> psutil.Process:
        """Starts a server, which may outlive the commands."""
        log.parent.mkdir(parents=True, exist_ok=True)
        with log.open("ab") as target:
            process = subprocess.Popen(
                command,
                env={**self.environment, **environment},
                cwd=WORK,
                stdin=subprocess.DEVNULL,
                stdout=target,
                stderr=target,
                start_new_session=True,
            )
        self.services.add(process.pid)
        return psutil.Process(process.pid)

    def driver(self) -> psutil.Process:
        """The process that works on the run: the command, or the job's on the cluster."""
        if not self.is_job:
            assert self.command is not None
            if self.command.process.poll() is not None:
                raise MissedError("the driver has ended")
            return psutil.Process(self.command.process.pid)
        return self.one("-m rnnlane train small.yaml")

    def family(self) -> list[psutil.Process]:
        """The command and everything that it has started; for a job, the cluster's processes."""
        if self.is_job:
            assert self.head is not None
            first = [self.head, *self.head.children(recursive=True)]
            return [*first, *self.processes("ray", "rnnlane train")]
        driver = self.driver()
        return [driver, *driver.children(recursive=True)]

    def strays(self) -> list[psutil.Process]:
        """Processes that belong to no service; of a cluster, those that train."""
        if self.is_job:
            words = ("rnnlane train", "rnnlane tune", "ray::RayTrainWorker", "ray::TrainController")
            return self.processes(*words)
        expected = {os.getpid(), 1}
        for pid in self.services:
            with contextlib.suppress(psutil.Error):
                expected |= {child.pid for child in psutil.Process(pid).children(recursive=True)}
                expected.add(pid)
        return [process for process in living() if process.pid not in expected]

    def processes(self, *words: str) -> list[psutil.Process]:
        """The machine's processes whose command line has one of the words, oldest first."""
        found = []
        for process in living():
            with contextlib.suppress(psutil.Error):
                line = " ".join(process.cmdline())
                if any(word in line for word in words):
                    found.append((process.create_time(), process.pid, process))
        return [process for _, _, process in sorted(found, key=lambda entry: entry[:2])]

    def one(self, *words: str) -> psutil.Process:
        """One of :meth:`processes`, chosen by the round's seed."""
        found = self.processes(*words)
        if not found:
            raise MissedError(f"no process {words[0]}")
        return self.random.choice(found)


def prepare_disks() -> None:
    """Mounts the disks and brings up loopback; called once, inside the namespaces."""
    _do("ip", "link", "set", "lo", "up")
    _do("mount", "-t", "tmpfs", "none", str(DISKS))
    for folder, size in SIZES.items():
        folder.mkdir(exist_ok=True)
        _do("mount", "-t", "tmpfs", "-o", f"size={size},mode=1777", "none", str(folder))
    for folder in (WORK / "user", WORK / "project"):
        folder.mkdir()
    hosts = WORK / "hosts"
    hosts.write_text(hosts_text())
    _do("mount", "--bind", str(hosts), str(HOSTS_FILE))


def hosts_text(*, with_store: bool = True) -> str:
    """The machine's table of host names."""
    name = os.uname().nodename
    store = f"127.0.0.1 {STORE_HOST}\n" if with_store else ""
    return f"127.0.0.1 localhost {name}\n{store}"


def remount(disk: Path, options: str) -> None:
    """Changes a disk under the processes that use it."""
    _do("mount", "-o", f"remount,{options}", str(disk))


def used_bytes(disk: Path) -> int:
    stats = os.statvfs(disk)
    return (stats.f_blocks - stats.f_bfree) * stats.f_frsize


def living() -> Iterator[psutil.Process]:
    """The machine's processes, without zombies."""
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            if process.status() != psutil.STATUS_ZOMBIE:
                yield process


def is_alive(process: psutil.Process) -> bool:
    """Whether a process runs; a zombie does not."""
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.Error:
        return False


def end(processes: list[psutil.Process]) -> None:
    """``kill -9`` of each that is still there, and waits for their end."""
    for process in processes:
        with contextlib.suppress(psutil.Error):
            process.send_signal(signal.SIGKILL)
    # Not psutil's wait(), which would take a command's exit code from its Popen.
    deadline = time.monotonic() + 30
    while any(is_alive(process) for process in processes) and time.monotonic() < deadline:
        time.sleep(0.02)


def answers(port: int) -> bool:
    """Whether an HTTP server answers on loopback."""
    import urllib.error
    import urllib.request

    try:
        urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=5).close()
    except urllib.error.HTTPError:
        return True
    except OSError:
        return False
    return True


def wait_until(condition: Callable[[], object], *, what: str, timeout_s: float = 240) -> None:
    deadline = time.monotonic() + timeout_s
    while not condition():
        if time.monotonic() > deadline:
            raise AssertionError(f"waited {timeout_s:.0f} s in vain for {what}")
        time.sleep(0.1)


def _do(*command: str) -> None:
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    if done.returncode != 0:
        raise RuntimeError(f"{' '.join(command)}: {done.stderr.strip()}")
