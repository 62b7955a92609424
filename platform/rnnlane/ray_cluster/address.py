"""RAY_ADDRESS: which cluster a driver joins, if any, and whether one answers there."""

from __future__ import annotations

import os
import sys
from urllib.parse import urlsplit

from rnnlane.errors import ConfigError, JobError, redact
from rnnlane.ray_cluster.internals import (
    address_as_joined,
    ask_control_store,
    has_node_here,
    running_ray,
)
from rnnlane.ray_cluster.token import token_file

ANSWER_TIMEOUT_S = 5.0
_VARIABLE = "RAY_ADDRESS"
_OUR_OWN = {"", "local"}


def check_address() -> None:
    """Refuses, before anything is started, a RAY_ADDRESS that no driver can connect to.

    Raises:
        ConfigError: it is neither HOST:PORT nor auto nor local.
    """
    address = os.environ.get(_VARIABLE, "")
    if address in _OUR_OWN | {"auto"} or _is_host_and_port(address):
        return
    scheme = address.partition("://")[0] if "://" in address else ""
    purpose = {
        "http": ", the address of a dashboard, which accepts jobs only",
        "https": ", the address of a dashboard, which accepts jobs only",
        "ray": ", an address of Ray Client, which Ray Train does not support",
    }.get(scheme, "")
    shown = redact(address if scheme else f"x://{address}").removeprefix("x://")
    raise ConfigError(
        f"a driver connects to Ray's own address, HOST:6379, but got {shown!r}{purpose}",
        where=_VARIABLE,
        remedy="run on a node of the cluster with RAY_ADDRESS=HOST:6379 or auto, send experiments "
        "from elsewhere by `rnnlane submit --address http://HOST:8265`, or unset RAY_ADDRESS to "
        "run here",
    )


def starts_own_ray() -> bool:
    """Whether a driver starts a Ray of its own on this machine, rather than join one."""
    ray = sys.modules.get("ray")  # importing it takes seconds
    is_connected = ray is not None and ray.is_initialized()
    return not is_connected and os.environ.get(_VARIABLE, "") in _OUR_OWN


def cluster_to_join() -> str | None:
    """HOST:PORT of the cluster that RAY_ADDRESS names; None for a Ray of this process's own.

    In a job RAY_ADDRESS is set by Ray. Without it no other Ray on this machine matters, whether it
    runs or has only left its address behind.

    Raises:
        ConfigError: RAY_ADDRESS has a wrong form, or the cluster requires another token.
        JobError: no Ray answers there, or this machine is no node of it.
    """
    check_address()
    address = named = os.environ.get(_VARIABLE, "")
    if address in _OUR_OWN:
        return None
    if address == "auto":
        try:
            address = running_ray()
        except ConnectionError:
            raise unreachable("no Ray runs on this machine", named="auto") from None
        named = f"auto, which is {address}"
    joined = address_as_joined(address)
    # ray.init() would wait for minutes for an answer, or for a node on this machine.
    status, details = ask_control_store(joined, timeout_s=ANSWER_TIMEOUT_S)
    if status == "UNAUTHENTICATED":
        raise token_error(f"RAY_ADDRESS={named}", got="none or a wrong one")
    if status != "OK":
        reason = _reason(status, details)
        if joined != address and ask_control_store(address, timeout_s=ANSWER_TIMEOUT_S)[0] == "OK":
            reason = f"it answers there alone, but drivers join it at {joined}: {reason}"
        raise unreachable(reason, named=named)
    if not has_node_here(address):
        raise JobError(
            "a driver runs on a node of its cluster, but this machine is none",
            where=f"RAY_ADDRESS={named}",
            remedy="send the experiment by `rnnlane submit --address http://HOST:8265`, or unset "
            "RAY_ADDRESS to run on this machine",
        )
    return address


def _reason(status: str, details: str) -> str:
    if status == "DEADLINE_EXCEEDED":
        return f"nothing answers within {ANSWER_TIMEOUT_S:g} s"
    if "hostname lookup" in details or "resolving" in details:
        return "no such host"
    if status == "UNAVAILABLE" and "Failed to connect" in details:
        return details.rpartition("Failed to connect to remote host: ")[2]
    return "what answers is no Ray"


def token_error(where: str, *, got: str) -> ConfigError:
    """The error of a cluster that refuses this process's token, or the lack of one."""
    return ConfigError(
        f"the cluster requires its token, but got {got}",
        where=where,
        remedy="set RAY_AUTH_MODE=token, and name a file that holds the cluster's token by "
        "RAY_AUTH_TOKEN_PATH (default ~/.ray/auth_token)",
    )


def token_hint() -> str:
    """Where the token is that a dashboard asks for, in words after its address; "" without one."""
    file = token_file() if os.environ.get("RAY_AUTH_MODE") else None
    return "" if file is None else f" (asks for the token in {file})"


def _is_host_and_port(address: str) -> bool:
    if "://" in address or set(address) & set("@/?# \t\n"):
        return False
    try:
        parts = urlsplit(f"//{address}")
        return bool(parts.hostname) and bool(parts.port)
    except ValueError:
        return False


def unreachable(reason: str, *, named: str) -> JobError:
    """The error of a cluster that cannot be joined.

    Args:
        reason: a clause for people.
        named: what RAY_ADDRESS is.
    """
    return JobError(
        f"Ray cannot be reached: {reason}",
        where=f"RAY_ADDRESS={named}",
        remedy="start the cluster, or unset RAY_ADDRESS to run on this machine",
    )
