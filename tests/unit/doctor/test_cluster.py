"""Findings of `doctor --cluster`; no cluster, and no network but loopback."""

import socket
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from rnnlane.doctor import cluster as cluster_diagnosis
from rnnlane.doctor.cluster import (
    CheckOptions,
    ProbeResponse,
    clock_finding,
    diagnose_cluster,
    inner_findings,
    outer_findings,
    store_here,
)
from rnnlane.doctor.finding import Finding
from rnnlane.errors import ConfigError
from rnnlane.jobs import versions as job_versions


@pytest.fixture
def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def node(name="head (10.0.0.1)", **changes):
    ours = dict(job_versions.here().packages)
    described = {"name": name, "cpus": 4.0, "gpus": 0.0, "packages": ours, "ahead_s": 0.1}
    described["gpu_names"] = []
    return {**described, "storage": None, "unread": None, **changes}


def answer(*nodes, **changes):
    values = {
        "python": job_versions.here().python,
        "storage": "/data",
        "mlflow": {"uri": "http://mlflow:5000", "error": None},
        "nodes": list(nodes) or [node()],
    }
    return {**values, **changes}


def inner(*nodes, **changes):
    findings = list(inner_findings(answer(*nodes, **changes), address="http://head:8265"))
    return {finding.what: finding for finding in findings}


def problems(found):
    return [what for what, finding in found.items() if not finding.ok]


def test_an_open_dashboard_is_a_loud_problem_with_a_remedy():
    found = {f.what: f for f in outer_findings("http://head:8265", ProbeResponse(200, ahead_s=0.0))}
    assert problems(found) == ["authentication"]
    assert found["authentication"].found.startswith("OPEN: http://head:8265")
    assert "RAY_AUTH_MODE=token" in found["authentication"].remedy


def test_a_guarded_dashboard_is_in_order_and_clear_text_is_mentioned():
    found = {f.what: f for f in outer_findings("http://head:8265", ProbeResponse(401))}
    assert problems(found) == []
    assert "unencrypted" in found["authentication"].found
    for address in ("http://127.0.0.1:8265", "https://head"):
        finding = outer_findings(address, ProbeResponse(401))[1]
        assert "unencrypted" not in finding.found


def test_an_address_where_nobody_listens_is_told_in_words(free_port):
    (finding,) = diagnose_cluster(f"http://127.0.0.1:{free_port}", CheckOptions())
    assert finding.found == f"http://127.0.0.1:{free_port} does not answer: Connection refused"


@pytest.mark.parametrize(
    "response",
    [ProbeResponse(None, error="ConnectTimeout"), ProbeResponse(404), ProbeResponse(302)],
)
def test_other_servers_than_a_dashboard_are_checked_no_further(response, monkeypatch):
    monkeypatch.setattr(cluster_diagnosis, "_request", lambda _address: response)
    monkeypatch.setattr(cluster_diagnosis, "JobClient", None)
    findings = list(diagnose_cluster("http://head:8265", CheckOptions()))
    assert [finding.what for finding in findings if not finding.ok] == ["reachable"]
    assert len(findings) == 1


def test_the_first_request_carries_no_credentials_and_reads_the_clock(monkeypatch, tmp_path):
    seen = []

    class Late(BaseHTTPRequestHandler):
        def do_GET(self):
            seen.append((self.path, self.headers.get("Authorization")))
            self.send_response_only(401)
            self.send_header("Date", "Tue, 15 Nov 1994 08:12:31 GMT")
            self.end_headers()

        def log_message(self, *_arguments):
            pass

    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    (tmp_path / "netrc").write_text("machine 127.0.0.1 login me password secret\n")
    with HTTPServer(("127.0.0.1", 0), Late) as server:
        threading.Thread(target=server.handle_request, daemon=True).start()
        address = f"http://127.0.0.1:{server.server_port}"
        found = cluster_diagnosis._request(address)
    assert seen == [("/api/jobs/", None)]
    assert found.status == 401
    assert found.ahead_s < -86400 * 365


@pytest.mark.parametrize(
    ("said", "before", "after", "ahead"),
    [
        (1000, 1000.2, 1000.4, 0.0),  # the same second
        (1000, 1000.9, 1001.8, 0.0),  # a slow answer proves nothing
        (1010, 1000.0, 1001.0, 9.0),
        (990, 1000.0, 1001.0, -9.0),
    ],
)
def test_only_certain_skew_counts(said, before, after, ahead):
    from email.utils import formatdate

    date = formatdate(said, usegmt=True)
    assert cluster_diagnosis._ahead_s(date, before, after) == pytest.approx(ahead)


@pytest.mark.parametrize("date", [None, "", "soon"])
def test_a_dashboard_without_a_date_has_no_clock(date):
    assert cluster_diagnosis._ahead_s(date, 0.0, 1.0) is None


def test_clocks_are_a_problem_above_a_few_seconds():
    assert clock_finding({"a": 4.9, "b": -4.9}).ok
    found = clock_finding({"a": 6.2, "b": -61.0, "c": 0.0})
    assert not found.ok
    assert found.found == "a is 6 s ahead of ours; b is 61 s behind ours"


def test_a_sound_cluster_has_no_problems():
    assert problems(inner(node("a"), node("b"))) == []


def test_a_node_that_does_not_answer_is_named_and_the_others_are_looked_at():
    lost = {"name": "b", "cpus": 4.0, "gpus": 0.0, "error": "ActorDiedError: gone"}
    found = inner(node("a"), lost)
    assert problems(found) == ["nodes"]
    assert "b: ActorDiedError: gone" in found["nodes"].found


def test_each_problem_names_its_node():
    other = {**job_versions.here().packages, "ray": "1.0"}
    blind = {**job_versions.here().packages, "torch": "2.13.0+cpu"}
    found = inner(
        node("a"),
        node("b", packages=other),
        node("c", storage="OSError: read-only"),
        node("d", unread="FileNotFoundError: 0"),
        node("e", ahead_s=-30.0),
        node("f", gpus=2.0, packages=blind),
    )
    assert problems(found) == ["versions", "clocks", "GPUs", "storage"]
    assert "b: Ray and Python must agree" in found["versions"].found
    assert "c: OSError: read-only; d: FileNotFoundError" in found["storage"].found
    assert "e is 30 s behind the head's" in found["clocks"].found
    assert "f: Ray has GPUs, but torch is a build for CPUs" in found["GPUs"].found


def test_gpus_are_counted_by_kind_and_a_mixture_is_told():
    cuda = {**job_versions.here().packages, "torch": "2.13.0"}
    h100, a100 = "NVIDIA H100 80GB HBM3", "NVIDIA A100 80GB PCIe"
    two = node("a", gpus=2.0, packages=cuda, gpu_names=[h100, h100])
    cpus = node("b", gpu_names=[])
    found = inner(two, cpus)["GPUs"]
    assert (found.ok, found.found, found.remedy) == (True, f"2 on 1 node(s): 2 x {h100}", "")
    mixed = inner(two, node("c", gpus=1.0, packages=cuda, gpu_names=[a100]))["GPUs"]
    assert mixed.found == f"3 on 2 node(s): 1 x {a100}, 2 x {h100}"
    assert "slowest" in mixed.remedy
    unnamed = inner(node("a", gpus=2.0, packages=cuda))["GPUs"]
    assert unnamed.found == "2 on 1 node(s)"


def test_a_missing_package_is_named_and_rnnlane_itself_need_not_be_there():
    packages = {**job_versions.here().packages, "mlflow": None, "rnnlane": None}
    found = inner(node("a", packages=packages))
    assert problems(found) == ["versions"]
    assert "mlflow is missing" in found["versions"].found


def test_a_store_that_the_cluster_does_not_reach_is_a_problem():
    found = inner(mlflow={"uri": "http://127.0.0.1:5000", "error": "refused"})
    assert problems(found) == ["MLflow from the cluster"]
    assert inner(mlflow={"uri": None, "error": None})["MLflow from the cluster"].ok


def test_a_store_that_only_the_cluster_reaches_is_a_problem_only_where_it_was_asked_for(
    monkeypatch,
):
    away = Finding("MLflow store", False, "cannot reach it", "start it")
    monkeypatch.setattr(cluster_diagnosis, "store_finding", lambda uri: away)
    uri = "http://mlflow:5000"
    found = store_here(None, clusters_own=uri)
    assert found.ok
    assert found.found.startswith("cannot reach it; jobs log to it")
    assert store_here(uri, clusters_own=None) == Finding(
        "MLflow from here", False, "cannot reach it", "start it"
    )


@pytest.mark.parametrize("option", ["tracking_uri", "storage"])
def test_passwords_are_not_sent_into_a_cluster(option):
    options = CheckOptions(**{option: "https://me:secret@host/x"})
    with pytest.raises(ConfigError, match="may contain no credentials") as caught:
        list(diagnose_cluster("http://head:8265", options))
    assert "secret" not in str(caught.value)
