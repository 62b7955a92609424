"""Every name of Ray, Ray Tune and Optuna that is not part of their public interface.

They may change in any release, which is why pyproject.toml allows one minor release of Ray. After
an upgrade ``tests/unit/ray_cluster/test_internals.py`` shows which of them have changed; no other
module has to be searched. Ray Train's names are in ``internals_train``, whose import takes seconds.
"""

from __future__ import annotations

import contextlib
import logging
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from rnnlane.errors import first_line, last_line

if TYPE_CHECKING:
    import optuna

_ADDRESS_VARIABLES = ("RAY_API_SERVER_ADDRESS", "RAY_ADDRESS")
# Any call that every control store answers; the request may be empty.
_CONTROL_STORE_CALL = "/ray.rpc.NodeInfoGcsService/GetClusterId"
_NODES_TIMEOUT_S = 5
_END_TIMEOUT_S = 5
# Ray's message where its dashboard did not start: a log's name, then its last lines.
_QUOTED_LOG = re.compile(r"last \d+ lines of (\S+) ")
# An error of one of Ray's C++ processes: [time severity process thread] (name) file:line: text
_NATIVE_ERROR = re.compile(
    r"^\[[^\]]* [ECF] \d+ \d+\] \(\w+\) \S+:\d+: +(?:An unexpected .*Check failed: \S+ +)?(.*)$"
)
# The raylet waits 15 s for a file of its agent's, ray.init() 30 s for the raylet; neither is a
# setting.
_TIMED_OUT = re.compile(r"Timed out waiting for file|timed out during startup")


@contextlib.contextmanager
def loopback_only() -> Iterator[None]:
    """Makes a Ray that is started in the block use 127.0.0.1 as this machine's address.

    Ray does so by itself on macOS only. Without it the processes of a local Ray serve metrics on
    every interface, without requiring a token.
    """
    from ray._private import ray_constants

    before = ray_constants.ENABLE_RAY_CLUSTER
    ray_constants.ENABLE_RAY_CLUSTER = False
    try:
        yield
    finally:
        ray_constants.ENABLE_RAY_CLUSTER = before


def running_ray() -> str:
    """HOST:PORT of the Ray that runs on this machine, as RAY_ADDRESS=auto means it.

    Raises:
        ConnectionError: none runs.
    """
    from ray._private import services

    return str(services.canonicalize_bootstrap_address_or_die("auto"))


def ask_control_store(address: str, *, timeout_s: float) -> tuple[str, str]:
    """Calls the control store at HOST:PORT, with this process's token if it has one.

    Returns:
        The name of gRPC's status, such as OK or UNAVAILABLE, and its details.
    """
    import grpc
    from ray._private.grpc_utils import init_grpc_channel
    from ray.exceptions import AuthenticationError

    channel = init_grpc_channel(address, options=[("grpc.enable_http_proxy", 0)])
    try:
        channel.unary_unary(_CONTROL_STORE_CALL)(b"", timeout=timeout_s)
    except AuthenticationError as error:
        return "UNAUTHENTICATED", first_line(error)
    except grpc.RpcError as error:
        return str(error.code().name), error.details() or ""
    finally:
        channel.close()
    return "OK", ""


def has_node_here(address: str) -> bool:
    """Whether a node of the cluster at HOST:PORT runs on this machine, as a driver needs it."""
    from ray._private import services
    from ray._raylet import GcsClient  # type: ignore[attr-defined]

    ids = set(services.find_node_ids())
    if not ids:
        return False
    nodes = GcsClient(address=address).get_all_node_info(timeout=_NODES_TIMEOUT_S)
    return any(node.hex() in ids for node in nodes)


class StartupFailure(NamedTuple):
    """Why a local Ray did not start.

    Attributes:
        cause: in a line.
        log: that says so; None where none does.
    """

    cause: str
    log: Path | None

    @property
    def is_timeout(self) -> bool:
        """Whether a process was only too slow, as on a busy machine."""
        return _TIMED_OUT.search(self.cause) is not None


def startup_failure(error: Exception) -> StartupFailure:
    """Why a local Ray did not start: the line of a log that says most, and the log.

    Ray's own message names a log, or blames "some of the raylet". Its processes write their
    errors to the folder of the session, whose name ends in this process's id.

    Args:
        error: what ``ray.init()`` raised.
    """
    quoted = _QUOTED_LOG.search(str(error))
    if quoted:
        return StartupFailure(last_line(error), Path(quoted[1]))
    session = own_session()
    names = ("gcs_server.err", "raylet.err", "dashboard.err")
    for log in [session / "logs" / name for name in names] if session else ():
        with contextlib.suppress(OSError):
            lines = log.read_text(encoding="utf-8", errors="replace").strip().splitlines()
            errors = [match[1] for line in lines if (match := _NATIVE_ERROR.match(line))]
            if lines:
                return StartupFailure((errors or lines[-1:])[0], log)
    return StartupFailure(first_line(error), None)


def own_session() -> Path | None:
    """The newest folder of a session that this process started; None without one."""
    from ray._common.utils import get_default_ray_temp_dir

    sessions = sorted(Path(get_default_ray_temp_dir()).glob(f"session_*_{os.getpid()}"))
    return sessions[-1] if sessions else None


def end_failed_start() -> None:
    """Ends the processes of this process's newest Ray, which ``ray.init()`` leaves if it fails."""
    import psutil

    session = own_session()
    if session is None:
        return
    started = []
    for child in psutil.Process().children(recursive=True):
        with contextlib.suppress(psutil.Error):
            if session.name in " ".join(child.cmdline()):
                child.kill()
                started.append(child)
    psutil.wait_procs(started, timeout=_END_TIMEOUT_S)


def multiprocessing_folders() -> set[Path]:
    """The temporary folders of Python's that this process's Ray uses and will leave behind.

    Its dashboard starts a server of ``multiprocessing``, whose socket is in such a folder, and is
    killed before it can remove that.
    """
    import psutil

    folders = set()
    with contextlib.suppress(psutil.Error, OSError):
        for child in psutil.Process().children(recursive=True):
            with contextlib.suppress(psutil.Error, OSError):
                sockets = [Path(str(one.laddr)) for one in child.net_connections(kind="unix")]
                folders |= {one.parent for one in sockets if one.parent.name.startswith("pymp-")}
    return folders


@contextlib.contextmanager
def without_startup_log() -> Iterator[None]:
    """Keeps off the console what Ray logs about a start that fails; its error is raised anyway."""
    logger = logging.getLogger("ray._private.services")
    before = logger.disabled
    logger.disabled = True
    try:
        yield
    finally:
        logger.disabled = before


def job_client(
    address: str,
    *,
    connect_timeout_s: float,
    first_answer_timeout_s: float,
    answer_timeout_s: float,
) -> Any:
    """A ``JobSubmissionClient`` with time limits, for exactly this address.

    Making it asks the cluster for its version, within ``first_answer_timeout_s``.

    Ray's own client waits forever if packets are lost, and prefers the addresses in its environment
    variables to the one it is given. ``_do_request`` makes all its requests.
    """
    from ray.job_submission import JobSubmissionClient

    class Client(JobSubmissionClient):
        answer_timeout_s = first_answer_timeout_s

        def _do_request(self, method: str, endpoint: str, **options: Any) -> Any:
            timeouts = (connect_timeout_s, self.answer_timeout_s)
            return super()._do_request(method, endpoint, **{"timeout": timeouts, **options})

    hidden = {name: os.environ.pop(name) for name in _ADDRESS_VARIABLES if name in os.environ}
    try:
        client = Client(address)
    finally:
        os.environ.update(hidden)
    client.answer_timeout_s = answer_timeout_s
    return client


def tune_trial_error(trial: Any) -> BaseException | None:
    """The last error of a Tune trial, which Tune does not pass to its callbacks; None without one.

    Tune pickles it into the trial's folder before it calls ``on_trial_error``.
    """
    from ray import cloudpickle

    try:
        error: BaseException = cloudpickle.loads(Path(trial.pickled_error_file).read_bytes())
    except (OSError, TypeError):
        return None
    return error


def reopen_trial(study: optuna.Study, frozen: optuna.trial.FrozenTrial) -> optuna.Trial:
    """A trial that is still running in the study's storage, after a restart of this process.

    Optuna only hands out new trials; a Trial is made from the storage's id of the old one.
    """
    import optuna

    return optuna.Trial(study, frozen._trial_id)
