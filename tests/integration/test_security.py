"""Without its token a cluster of ours answers nothing and runs nothing."""

import json
import re
import subprocess
import sys
from pathlib import Path

import grpc
import psutil
import pytest
import requests

from support.command import kill_everything, start_rnnlane, wait_until, write_experiment
from support.guarded_head import clean_environment, start_head
from support.listening import beyond_loopback, family, listening
from support.store_with_accounts import StoreWithAccounts

pytestmark = pytest.mark.slow

# What a browser needs to show the page that asks for the token, and what a load balancer asks.
PUBLIC = {
    "/",
    "/favicon.ico",
    "/static",
    "/api/authentication_mode",
    "/api/healthz",
    "/api/gcs_healthz",
    "/api/local_raylet_healthz",
}
# Of each kind of Ray's servers a method that its port must refuse.
METHODS = [
    "/ray.rpc.NodeInfoGcsService/GetAllNodeInfo",
    "/ray.rpc.NodeManagerService/GetNodeStats",
    "/ray.rpc.ObjectManagerService/Pull",
    "/ray.rpc.CoreWorkerService/GetCoreWorkerStats",
    "/ray.rpc.ReporterService/GetTraceback",
    "/ray.rpc.RayletDriver/ClusterInfo",
]


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    store = StoreWithAccounts(tmp_path_factory.mktemp("store"))
    try:
        store.wait()
        yield store
    finally:
        store.stop()


@pytest.fixture(scope="module")
def head(store):
    """Its jobs find the account for the store in its environment, the least guarded place."""
    account = {"MLFLOW_TRACKING_USERNAME": "admin", "MLFLOW_TRACKING_PASSWORD": store.password}
    head = start_head(MLFLOW_TRACKING_URI=store.uri, **account)
    yield head
    head.stop()


def answers(base, routes, headers):
    """Status of each route, by method and path."""
    found = {}
    with requests.Session() as session:
        session.trust_env = False
        for method, path in routes:
            url = base + re.sub(r"{\w+}", "x", path)
            found[method, path] = session.request(
                method, url, headers=headers, timeout=30, allow_redirects=False
            ).status_code
    return found


@pytest.mark.parametrize("server", ["dashboard", "agent"])
def test_no_route_answers_without_the_token_or_with_a_wrong_one(head, server):
    base = head.address if server == "dashboard" else head.agent
    routes = head.routes(f"{server}.log" if server == "dashboard" else "dashboard_agent.log")
    guarded = [route for route in routes if route[1] not in PUBLIC]
    for word in ("jobs", "packages", "serve", "v0/actors", "v0/logs") * (server == "dashboard"):
        assert any(word in path for _, path in guarded), word
    without = answers(base, guarded, {})
    assert {route: code for route, code in without.items() if code != 401} == {}
    wrong = answers(base, guarded, {"Authorization": "Bearer wrong"})
    assert {route: code for route, code in wrong.items() if code not in {401, 403}} == {}


def test_with_the_token_they_answer(head):
    for path in ("/api/version", "/api/jobs/", "/api/v0/nodes", "/api/serve/applications/"):
        # Ray says 501 for Serve where that is not installed.
        assert head.get(path).status_code in {200, 501}, path


def test_a_job_sent_without_the_token_does_not_run(head):
    marker = head.folder / "marker"
    job = {"entrypoint": f"touch {marker}", "submission_id": "intruder"}
    for headers in ({}, {"Authorization": "Bearer wrong"}):
        sent = requests.post(f"{head.address}/api/jobs/", json=job, headers=headers, timeout=30)
        assert sent.status_code in {401, 403}
    allowed = {"Authorization": f"Bearer {head.token}"}
    job = {"entrypoint": f"touch {marker}2", "submission_id": "guest"}
    requests.post(f"{head.address}/api/jobs/", json=job, headers=allowed, timeout=30)
    # Once the guest's job has run, an intruder's would have.
    wait_until(lambda: Path(f"{marker}2").exists(), what="the job with the token")
    assert not marker.exists()
    assert "intruder" not in head.get("/api/jobs/").text


@pytest.mark.parametrize("with_token", ["none", "wrong"])
def test_no_driver_connects_without_the_token(head, with_token, tmp_path):
    (tmp_path / "token").write_text("wrong")
    settings = {"RAY_AUTH_MODE": "disabled"}
    if with_token == "wrong":
        settings = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN_PATH": str(tmp_path / "token")}
    code = (
        "from rnnlane.config.experiment import RuntimeConfig\n"
        "from rnnlane.errors import ConfigError\n"
        "from rnnlane.ray_cluster.connect import connect\n"
        "try:\n"
        "    connect(RuntimeConfig(num_workers=0))\n"
        "except ConfigError as error:\n"
        "    print(error.message)\n"
    )
    settings |= {"RAY_ADDRESS": head.gcs, "RAY_NUM_REDIS_GET_RETRIES": "2"}
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=clean_environment(**settings),
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    wanted = "the cluster requires its token, but got none or a wrong one"
    assert done.stdout.strip() == wanted, done.stderr


def refusals(address, port):
    """What a stranger hears from a port that speaks gRPC."""
    target = f"[{address}]:{port}" if ":" in address else f"{address}:{port}"
    codes = set()
    with grpc.insecure_channel(target, options=[("grpc.enable_http_proxy", 0)]) as channel:
        for method in METHODS:
            try:
                channel.unary_unary(method)(b"", timeout=10)
                codes.add("answered")
            except grpc.RpcError as error:
                codes.add(error.code().name)
    return codes


def check_that_strangers_are_refused(sockets):
    """Every socket that others can reach asks for the token, by HTTP or by gRPC."""
    for (address, port), who in beyond_loopback(sockets).items():
        host = "127.0.0.1" if address in {"::", "0.0.0.0"} else address.removeprefix("::ffff:")
        # A method of another kind of server is not there; its own is refused.
        if refusals(host, port) in ({"UNAUTHENTICATED", "UNIMPLEMENTED"}, {"UNAUTHENTICATED"}):
            continue
        answer = requests.get(f"http://{host}:{port}/metrics", timeout=10)
        assert answer.status_code == 401, (address, port, who, answer.text[:200])


def test_every_port_of_a_head_asks_for_the_token(head):
    sockets = listening(head.processes())
    assert {int(head.address.rsplit(":", 1)[1]), int(head.gcs.rsplit(":", 1)[1])} <= {
        port for _, port in sockets
    }
    check_that_strangers_are_refused(sockets)


def texts_of(folder):
    """What the files below a folder hold, by path; sockets and the like are left out."""
    files = (path for path in folder.rglob("*") if path.is_file() and not path.is_symlink())
    return {str(path): path.read_bytes().decode("latin-1") for path in files}


def command_lines(processes):
    found = set()
    for process in processes:
        try:
            found.add(" ".join(process.cmdline()))
        except psutil.Error:
            continue
    return found


def pages(head):
    """What the dashboard answers to those who have the token, by path."""
    found = {}
    for method, path in head.routes("dashboard.log"):
        if method == "GET" and "{" not in path and "profile" not in path:
            found[path] = head.get(path, params={"detail": "1", "view": "details"}).text
    job_id = head.get("/api/jobs/").json()[0]["submission_id"]
    found["log"] = head.get(f"/api/jobs/{job_id}/logs").text
    return found


def holders(texts, secrets):
    return [name for name, text in texts.items() if any(secret in text for secret in secrets)]


def test_token_and_password_show_up_nowhere(head, store, tmp_path):
    home = tmp_path / "home"
    experiment = write_experiment(
        tmp_path, name="secretive", training={"epochs": 1}, runtime={"num_workers": 1}
    )
    with (tmp_path / "printed").open("w") as printed:
        sender = subprocess.Popen(
            [sys.executable, "-m", "rnnlane", "submit", experiment, "--address", head.address],
            env=clean_environment(**head.with_token, RNNLANE_HOME=str(home)),
            cwd=tmp_path,
            stdout=printed,
            stderr=subprocess.STDOUT,
        )
        lines = set()
        roots = [psutil.Process(sender.pid), psutil.Process(store.process.pid)]
        seen = {}
        while sender.poll() is None:
            alive = [each for root in roots if root.is_running() for each in family(root)]
            lines |= command_lines([*head.processes(), *alive])
            if not seen and any("RayTrainWorker" in line for line in lines):
                seen = {f"{path} in between": text for path, text in pages(head).items()}
    assert sender.returncode == 0, (tmp_path / "printed").read_text()
    kept = texts_of(head.folder)
    assert head.token in kept.pop(str(head.folder / "token"))
    places = {
        "arguments": {line: line for line in lines},
        "dashboard": {**seen, **pages(head)},
        "Ray's files and the cluster's home": kept,
        "MLflow": texts_of(store.folder),
        "here": texts_of(tmp_path),
    }
    for place, texts in places.items():
        assert holders(texts, ["secretive"]), f"nothing was looked at in: {place}"
        assert holders(texts, [head.token, store.password]) == [], place
    assert any("RayTrainWorker" in line for line in lines)
    assert seen


def test_a_local_run_keeps_to_loopback_and_hides_the_stores_password(store, tmp_path):
    home = tmp_path / "home"
    experiment = write_experiment(
        tmp_path,
        training={"epochs": 500},
        runtime={"num_workers": 1},
        tracking={"uri": f"http://admin:{store.password}@{store.host}"},
    )
    driver = start_rnnlane(home, tmp_path / "log", "train", str(experiment))
    try:
        wait_until(lambda: any((home / "checkpoints").glob("*/*/*")), what="training")
        tree = family(psutil.Process(driver.pid))
        lines = command_lines(tree)
        sockets = listening(tree)
        assert any("gcs_server" in who for who in sockets.values())
        assert beyond_loopback(sockets) == {}
    finally:
        kill_everything(driver)
    # It holds the password by its writer's choice.
    experiment.unlink()
    session = next(re.search(r"=(/\S+/session_[^/\s]+)/", line) for line in lines if "gcs" in line)
    places = {
        "arguments": {line: line for line in lines},
        "home, log": texts_of(tmp_path),
        "Ray's files": texts_of(Path(session[1])),
        "MLflow": texts_of(store.folder),
    }
    for place, texts in places.items():
        assert texts, place
        assert holders(texts, [store.password]) == [], place


def test_doctor_finds_a_guarded_cluster_in_order(head, store):
    account = {"MLFLOW_TRACKING_USERNAME": "admin", "MLFLOW_TRACKING_PASSWORD": store.password}
    done = _doctor(head, **head.with_token, **account)
    found = {finding["what"]: finding for finding in done["findings"]}
    assert done["ok"], done
    assert found["authentication"]["found"] == "a token is required"
    assert str(head.folder / "home") in found["storage"]["found"]
    assert found["nodes"]["found"] == "1, with 2 CPUs"
    assert found["MLflow from the cluster"]["found"] == f"{store.uri} can be read and written"
    assert "rnnlane-probe" not in head.get("/api/jobs/").text
    assert not any((head.folder / "home").glob(".doctor*"))


def test_doctor_names_a_wrong_token(head, tmp_path):
    (tmp_path / "token").write_text("wrong")
    done = _doctor(head, RAY_AUTH_MODE="token", RAY_AUTH_TOKEN_PATH=str(tmp_path / "token"))
    assert not done["ok"]
    assert "wrong" in done["findings"][-1]["found"]


def test_doctor_is_loud_about_an_open_cluster():
    head = start_head(is_guarded=False)
    try:
        done = _doctor(head, RAY_AUTH_MODE="disabled")
    finally:
        head.stop()
    assert not done["ok"]
    found = {finding["what"]: finding for finding in done["findings"]}
    assert found["authentication"]["found"].startswith("OPEN")
    assert [what for what, finding in found.items() if not finding["ok"]] == ["authentication"]


def _doctor(head, **settings):
    done = subprocess.run(
        [sys.executable, "-m", "rnnlane", "doctor", "--cluster", head.address, "--json"],
        env=clean_environment(**settings),
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    answer = json.loads(done.stdout)
    assert done.returncode == (0 if answer["ok"] else 1), done.stderr
    return answer
