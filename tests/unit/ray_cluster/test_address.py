"""RAY_ADDRESS: its forms, and servers of all kinds where a cluster should be."""

import contextlib
import http.server
import socket
import threading
from concurrent.futures import ThreadPoolExecutor

import grpc
import pytest
from ray._private import services

from rnnlane.errors import ConfigError, JobError
from rnnlane.pipeline import prepare, train, tune
from rnnlane.ray_cluster import address
from rnnlane.ray_cluster.address import check_address, cluster_to_join
from rnnlane.ray_cluster.internals import ask_control_store
from support.tiny import tiny_experiment

SEARCH = ["search.num_trials=1", "search.space={training.learning_rate: 'loguniform(0.001, 0.1)'}"]


@pytest.mark.parametrize("named", ["", "local", "auto", "10.0.0.5:6379", "head:6379", "[::1]:6379"])
def test_the_forms_of_an_address(monkeypatch, named):
    monkeypatch.setenv("RAY_ADDRESS", named)
    check_address()


@pytest.mark.parametrize(
    ("named", "message"),
    [
        ("http://head:8265", "the address of a dashboard, which accepts jobs only"),
        ("https://ray.example.org", "the address of a dashboard, which accepts jobs only"),
        ("ray://head:10001", "an address of Ray Client, which Ray Train does not support"),
        ("redis://head:6379", "but got 'redis://head:6379'"),
        ("head", "but got 'head'"),
        (":6379", "but got ':6379'"),
        ("head:", "but got 'head:'"),
        ("head:x", "but got 'head:x'"),
        ("head:0", "but got 'head:0'"),
        ("head:65536", "but got 'head:65536'"),
        ("head:6379/x", "but got 'head:6379/x'"),
        (" head:6379", "but got ' head:6379'"),
        ("me:hunter2@head:6379", r"but got '\*\*\*@head:6379'"),
        ("::1:6379", "but got '::1:6379'"),
    ],
)
def test_other_forms_are_refused_with_what_is_expected(monkeypatch, named, message):
    monkeypatch.setenv("RAY_ADDRESS", named)
    with pytest.raises(ConfigError, match=message) as caught:
        check_address()
    assert "HOST:6379, but got" in caught.value.message
    assert "rnnlane submit" in caught.value.remedy
    assert caught.value.where == "RAY_ADDRESS"


@pytest.mark.parametrize("verb", [prepare, train, tune])
def test_nothing_is_made_before(verb, monkeypatch, tmp_path):
    monkeypatch.setenv("RAY_ADDRESS", "http://head:8265")
    monkeypatch.setenv("RNNLANE_HOME", str(tmp_path / "home"))
    # It would make the store's file a second or two later.
    monkeypatch.setattr("rnnlane.pipeline.executing._open_store", lambda *_: pytest.fail("opened"))
    with pytest.raises(ConfigError, match="accepts jobs"):
        verb(tiny_experiment(*(SEARCH if verb is tune else ())))
    assert not (tmp_path / "home").exists()


@contextlib.contextmanager
def tcp_server(greeting=None):
    """Accepts connections and sends a greeting, or says nothing; yields its address."""
    server = socket.create_server(("127.0.0.1", 0))
    accepted = []

    def accept():
        with contextlib.suppress(OSError):
            while True:
                accepted.append(server.accept()[0])
                if greeting is not None:
                    accepted[-1].sendall(greeting)

    thread = threading.Thread(target=accept, daemon=True)
    thread.start()
    try:
        yield f"127.0.0.1:{server.getsockname()[1]}"
    finally:
        server.shutdown(socket.SHUT_RDWR)
        server.close()
        thread.join()
        for connection in accepted:
            connection.close()


@contextlib.contextmanager
def grpc_server(*, method="GetClusterId", refusal=None):
    """A server that has one method of Ray's control store; yields its address."""

    def answer(_request, context):
        if refusal is not None:
            context.abort(refusal, "no")
        return b""

    handler = grpc.unary_unary_rpc_method_handler(answer)
    service = grpc.method_handlers_generic_handler("ray.rpc.NodeInfoGcsService", {method: handler})
    server = grpc.server(ThreadPoolExecutor(1))
    server.add_generic_rpc_handlers((service,))
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    try:
        yield f"127.0.0.1:{port}"
    finally:
        server.stop(None).wait()


def why_not(where):
    return address._reason(*ask_control_store(where, timeout_s=1.0))


def test_what_is_no_control_store_is_told(free_address):
    assert why_not(free_address) == "Connection refused"
    assert why_not("nowhere.invalid:6379") == "no such host"
    with tcp_server(greeting=b"SSH-2.0-OpenSSH_9.2\r\n") as where:
        assert why_not(where) == "what answers is no Ray"
    with grpc_server(method="Other") as where:
        assert why_not(where) == "what answers is no Ray"
    with tcp_server() as where:
        assert why_not(where) == "nothing answers within 5 s"


def test_a_web_server_is_no_control_store():
    class Quiet(http.server.BaseHTTPRequestHandler):
        def log_message(self, *arguments):
            pass

    with http.server.HTTPServer(("127.0.0.1", 0), Quiet) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        assert why_not(f"127.0.0.1:{server.server_port}") == "what answers is no Ray"
        server.shutdown()


@pytest.fixture
def free_address():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return f"127.0.0.1:{probe.getsockname()[1]}"


@pytest.fixture(autouse=True)
def _drivers_join_over_the_loopback_interface(monkeypatch):
    monkeypatch.setattr(services, "get_node_ip_address", lambda *_: "127.0.0.1")


def test_a_ray_that_only_answers_on_the_loopback_interface_is_told(monkeypatch):
    monkeypatch.setattr(services, "get_node_ip_address", lambda *_: "127.0.0.2")
    with grpc_server() as where:
        monkeypatch.setenv("RAY_ADDRESS", where)
        told = f"answers there alone, but drivers join it at {where.replace('0.1', '0.2')}: Conn"
        with pytest.raises(JobError, match=told):
            cluster_to_join()


@pytest.mark.parametrize("named", [None, "", "local"])
def test_without_an_address_no_other_ray_matters(monkeypatch, named):
    monkeypatch.setattr(address, "running_ray", lambda: pytest.fail("looked for another Ray"))
    if named is None:
        monkeypatch.delenv("RAY_ADDRESS", raising=False)
    else:
        monkeypatch.setenv("RAY_ADDRESS", named)
    assert cluster_to_join() is None


def test_the_address_of_a_control_store_is_joined(monkeypatch):
    monkeypatch.setattr(address, "has_node_here", lambda _: True)
    with grpc_server() as where:
        monkeypatch.setenv("RAY_ADDRESS", where)
        assert cluster_to_join() == where
        monkeypatch.setattr(address, "running_ray", lambda: where)
        monkeypatch.setenv("RAY_ADDRESS", "auto")
        assert cluster_to_join() == where


def test_a_driver_beside_the_cluster_is_told_to_submit(monkeypatch):
    monkeypatch.setattr(services, "find_node_ids", set)
    with grpc_server() as where:
        monkeypatch.setenv("RAY_ADDRESS", where)
        with pytest.raises(JobError, match="but this machine is none") as caught:
            cluster_to_join()
    assert "rnnlane submit" in caught.value.remedy


def test_an_address_where_nobody_answers_is_named(monkeypatch, free_address):
    monkeypatch.setenv("RAY_ADDRESS", free_address)
    with pytest.raises(JobError, match="cannot be reached: Connection refused") as caught:
        cluster_to_join()
    assert caught.value.where == f"RAY_ADDRESS={free_address}"
    assert "unset RAY_ADDRESS" in caught.value.remedy
    # As after a cluster that was killed: its address is still in a file.
    monkeypatch.setattr(address, "running_ray", lambda: free_address)
    monkeypatch.setenv("RAY_ADDRESS", "auto")
    with pytest.raises(JobError) as caught:
        cluster_to_join()
    assert caught.value.where == f"RAY_ADDRESS=auto, which is {free_address}"


def test_auto_without_any_ray_is_told(monkeypatch):
    def nothing_runs():
        raise ConnectionError("Could not find any running Ray instance.")

    monkeypatch.setattr(address, "running_ray", nothing_runs)
    monkeypatch.setenv("RAY_ADDRESS", "auto")
    with pytest.raises(JobError, match="no Ray runs on this machine"):
        cluster_to_join()


def test_a_cluster_that_requires_another_token_is_told(monkeypatch):
    with grpc_server(refusal=grpc.StatusCode.UNAUTHENTICATED) as where:
        monkeypatch.setenv("RAY_ADDRESS", where)
        with pytest.raises(
            ConfigError, match="requires its token, but got none or a wrong"
        ) as told:
            cluster_to_join()
    assert told.value.where == f"RAY_ADDRESS={where}"
    assert "RAY_AUTH_MODE=token" in told.value.remedy
