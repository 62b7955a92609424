"""Checks of a cluster: what would keep a job of this machine from running on it.

From outside: whether it answers, requires a token and accepts ours. From inside, by a small job:
versions, storage, clocks and GPUs of every node, and access to the MLflow server.
"""

from __future__ import annotations

import json
import shutil
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from packaging.utils import canonicalize_name

import rnnlane
from rnnlane.doctor import probe
from rnnlane.doctor.finding import Finding
from rnnlane.doctor.machine import store_finding
from rnnlane.errors import ConfigError, RnnlaneError, redact
from rnnlane.jobs import versions as job_versions
from rnnlane.jobs.answer import ask_cluster
from rnnlane.jobs.client import (
    CONNECT_TIMEOUT_S,
    FIRST_ANSWER_TIMEOUT_S,
    JobClient,
    reason,
    resolve_address,
)
from rnnlane.jobs.submission import account_variables, refuse_secrets, sendable_store

# Object stores refuse signed requests at minutes; times of metrics are misleading at seconds.
MOST_SKEW_S = 5.0
_JOBS_PATH = "/api/jobs/"


@dataclass(frozen=True)
class ProbeResponse:
    """A dashboard's response to a request without a token.

    Attributes:
        status: HTTP status; None if nothing answered.
        ahead_s: seconds that its clock is ahead of ours, at least; None if it sent no date.
        error: why nothing answered.
    """

    status: int | None
    ahead_s: float | None = None
    error: str = ""


@dataclass(frozen=True)
class CheckOptions:
    """What to check on a cluster.

    Attributes:
        tracking_uri: the MLflow store that jobs are to log to; None for the cluster's own.
        storage: folder or URI that every node must reach; None for the default home of jobs.
        credentials_file: path on the cluster of the MLflow server's account.
    """

    tracking_uri: str | None = None
    storage: str | None = None
    credentials_file: str | None = None


def diagnose_cluster(address: str, options: CheckOptions) -> Iterator[Finding]:
    """Checks a cluster, in the order of cost; stops when the later checks cannot work.

    Args:
        address: of its dashboard, ``http://head:8265``.
        options: what to check.

    Raises:
        ConfigError: an address is invalid, or contains a password.
    """
    address = resolve_address(address, option="--cluster")
    if options.tracking_uri is not None:
        sendable_store(options.tracking_uri)
    refuse_secrets({"--storage": options.storage})
    variables = account_variables(options.credentials_file)
    response = _request(address)
    findings = outer_findings(address, response)
    yield from findings
    if not findings[0].ok:
        return
    try:
        client = JobClient(address)
    except RnnlaneError as error:
        yield Finding("token", False, error.message, error.remedy or "")
        return
    if response.status == 401:
        yield Finding("token", True, "the cluster accepts ours")
    try:
        answer = _ask(client, options, variables=variables)
    except RnnlaneError as error:
        yield Finding("jobs", False, error.message, error.remedy or "")
        return
    yield from inner_findings(answer, address=address)
    yield store_here(options.tracking_uri, clusters_own=answer["mlflow"]["uri"])


def _request(address: str) -> ProbeResponse:
    """Asks the dashboard for its jobs, without a token."""
    import requests

    before = time.time()
    try:
        answer = requests.get(
            address + _JOBS_PATH,
            timeout=(CONNECT_TIMEOUT_S, FIRST_ANSWER_TIMEOUT_S),
            allow_redirects=False,
            # By default requests sends the credentials that ~/.netrc has for the host.
            auth=lambda request: request,
        )
    except requests.RequestException as error:
        return ProbeResponse(None, error=reason(error))
    date = answer.headers.get("Date")
    return ProbeResponse(answer.status_code, ahead_s=_ahead_s(date, before, time.time()))


def _ahead_s(date: str | None, before: float, after: float) -> float | None:
    """Seconds that a clock is ahead of ours (negative: behind), at least.

    It showed ``date``, which has whole seconds, between ``before`` and ``after`` of our clock.
    """
    try:
        shown = parsedate_to_datetime(date or "").timestamp()
    except ValueError:
        return None
    if shown > after:
        return shown - after
    return min(0.0, shown + 1 - before)


def outer_findings(address: str, response: ProbeResponse) -> list[Finding]:
    """Findings from outside: whether it is reachable and requires a token, and its clock."""
    if response.status is None:
        remedy = "check the address, and that the cluster's dashboard runs"
        return [Finding("reachable", False, f"{address} does not answer: {response.error}", remedy)]
    if response.status not in {200, 401}:
        found = f"{address} answers {response.status} where Ray's Jobs API answers 200 or 401"
        remedy = "give the address of a Ray dashboard, or of a proxy that leads to one"
        return [Finding("reachable", False, found, remedy)]
    return [
        Finding("reachable", True, address),
        _authentication(address, is_open=response.status == 200),
        *([] if response.ahead_s is None else [clock_finding({"the head": response.ahead_s})]),
    ]


def _authentication(address: str, *, is_open: bool) -> Finding:
    if is_open:
        return Finding(
            "authentication",
            False,
            f"OPEN: {address} requires no token; anyone who can reach it can run any program on "
            "every node of the cluster",
            "stop the cluster; make a token with `ray get-auth-token --generate`, give every node "
            "the same ~/.ray/auth_token, set RAY_AUTH_MODE=token on each, and start it again",
        )
    parts = urlsplit(address)
    if parts.scheme == "http" and parts.hostname not in {"localhost", "127.0.0.1", "::1"}:
        found = "a token is required; it is sent unencrypted: use a tunnel (ssh -L) or https"
        return Finding("authentication", True, f"{found} on networks that you do not trust")
    return Finding("authentication", True, "a token is required")


def _ask(
    client: JobClient, options: CheckOptions, *, variables: Mapping[str, str]
) -> dict[str, Any]:
    """Runs the probe in the cluster, with this package beside it."""
    names = [canonicalize_name(each.name) for each in job_versions.requirements()]
    request = {
        "packages": ["ray", "rnnlane", *names],
        "storage": options.storage,
        "tracking_uri": options.tracking_uri,
    }
    package = Path(rnnlane.__file__).parent
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        shutil.copytree(
            package, folder / package.name, ignore=shutil.ignore_patterns("__pycache__")
        )
        shutil.copyfile(probe.__file__, folder / "probe.py")
        (folder / probe.REQUEST_FILE).write_text(json.dumps(request), encoding="utf-8")
        answer: dict[str, Any] = ask_cluster(
            client,
            entrypoint="python probe.py",
            mark=probe.MARK,
            runtime_env={"working_dir": scratch, "env_vars": dict(variables)},
        )
    return answer


def inner_findings(answer: Mapping[str, Any], *, address: str) -> Iterator[Finding]:
    """Findings from the probe's answer."""
    nodes = [node for node in answer["nodes"] if "error" not in node]
    lost = [f"{node['name']}: {node['error']}" for node in answer["nodes"] if "error" in node]
    yield Finding(
        "nodes",
        not lost,
        "; ".join(lost) or f"{len(nodes)}, with {sum(node['cpus'] for node in nodes):g} CPUs",
        "look at the node, or take it out of the cluster" if lost else "",
    )
    yield _versions(nodes, python=answer["python"], address=address)
    yield clock_finding({node["name"]: node["ahead_s"] for node in nodes}, than="the head's")
    yield _gpus(nodes)
    yield _storage(nodes, where=answer["storage"])
    yield _store_there(answer["mlflow"])


def _versions(nodes: list[Mapping[str, Any]], *, python: str, address: str) -> Finding:
    for node in nodes:
        packages = {name: version for name, version in node["packages"].items() if version}
        theirs = job_versions.Versions(python, packages)
        try:
            job_versions.check(theirs, address=address, with_packages=True)
        except ConfigError as error:
            return Finding(
                "versions", False, f"{node['name']}: {error.message}", error.remedy or ""
            )
    installed = sorted({str(node["packages"].get("rnnlane") or "none") for node in nodes})
    ours = job_versions.here().packages
    found = (
        f"Python {python}, Ray {ours['ray']}; rnnlane {', '.join(installed)} is installed on the "
        f"cluster, {ours['rnnlane']} is sent with jobs from here"
    )
    return Finding("versions", True, found)


def clock_finding(ahead_s: Mapping[str, float], *, than: str = "ours") -> Finding:
    """Whether clocks agree.

    Args:
        ahead_s: seconds that each clock is ahead, by the name of its node.
        than: whose clock they are compared with.
    """
    wrong = {name: ahead for name, ahead in ahead_s.items() if abs(ahead) > MOST_SKEW_S}
    if not wrong:
        return Finding("clocks", True, f"within {MOST_SKEW_S:g} s of {than}")
    found = "; ".join(
        f"{name} is {abs(ahead):.0f} s {'ahead of' if ahead > 0 else 'behind'} {than}"
        for name, ahead in sorted(wrong.items())
    )
    return Finding("clocks", False, found, "set the clocks by NTP (chrony, systemd-timesyncd)")


def _gpus(nodes: list[Mapping[str, Any]]) -> Finding:
    with_gpu = [node for node in nodes if node["gpus"] > 0]
    if not with_gpu:
        return Finding("GPUs", True, "none; training uses CPUs")
    blind = [n["name"] for n in with_gpu if "+cpu" in (n["packages"].get("torch") or "")]
    if blind:
        found = f"{', '.join(blind)}: Ray has GPUs, but torch is a build for CPUs"
        return Finding("GPUs", False, found, "install torch's CUDA build on those nodes")
    total = sum(node["gpus"] for node in with_gpu)
    kinds = Counter(name for node in with_gpu for name in node["gpu_names"])
    named = ", ".join(f"{count} x {name}" for name, count in sorted(kinds.items()))
    found = f"{total:g} on {len(with_gpu)} node(s)" + (f": {named}" if named else "")
    remedy = "the workers of a run wait in every step for the slowest" if len(kinds) > 1 else ""
    return Finding("GPUs", True, found, remedy)


def _storage(nodes: list[Mapping[str, Any]], *, where: str) -> Finding:
    shown = redact(where)
    wrong = [
        f"{node['name']}: {node['storage'] or node['unread']}"
        for node in nodes
        if node["storage"] or node["unread"]
    ]
    if not wrong:
        return Finding(
            "storage", True, f"{shown}: every node writes to it and reads what others wrote"
        )
    return Finding(
        "storage",
        False,
        f"{shown}: {'; '.join(wrong)}",
        "set runtime.storage_path to a folder that all nodes mount or to a URI such as "
        "s3://bucket/rnnlane, and try it with --storage",
    )


def _store_there(mlflow: Mapping[str, str | None]) -> Finding:
    what = "MLflow from the cluster"
    if mlflow["error"]:
        found = f"{mlflow['uri'] or 'the store'}: {mlflow['error']}"
        remedy = "name an address that the head node reaches: 127.0.0.1 is the head itself there"
        return Finding(what, False, found, remedy)
    if mlflow["uri"] is None:
        found = "no server is configured; runs go to a file on the head node, unless an experiment"
        return Finding(what, True, f"{found} sets tracking.uri")
    return Finding(what, True, f"{mlflow['uri']} can be read and written")


def store_here(asked: str | None, *, clusters_own: str | None) -> Finding:
    """Whether this machine reaches the store that jobs log to.

    If only the cluster names the store, its address may be valid inside the cluster only. Then it
    is no problem that this machine does not reach it, as nothing here needs to.

    Args:
        asked: the store that the user named here.
        clusters_own: the store that the head's environment names.
    """
    what = "MLflow from here"
    uri = asked or clusters_own
    if uri is None or not uri.startswith(("http://", "https://")) or redact(uri) != uri:
        return Finding(what, True, "no server is configured")
    finding = replace(store_finding(uri), what=what)
    if finding.ok or asked is not None:
        return finding
    hint = "jobs log to it by an address and an account of the cluster's; to see runs from here"
    return Finding(what, True, f"{finding.found}; {hint}, set MLFLOW_TRACKING_URI and an account")
