"""Storage that is no local folder, and storage that not every node reaches."""

import json
import os
import re
import shutil
import socket
from pathlib import Path

import pytest
from moto.moto_server.threaded_moto_server import ThreadedMotoServer
from pyarrow import fs

from support.command import rnnlane, rnnlane_json, start_rnnlane, wait_until, write_experiment
from support.nodes import RayNodes
from support.weights import weights_of

pytestmark = [pytest.mark.slow, pytest.mark.release]

KEY, SECRET = "AKIAEXAMPLEKEY", "an-example-secret-key"
AWS = {
    "AWS_ACCESS_KEY_ID": KEY,
    "AWS_SECRET_ACCESS_KEY": SECRET,
    "AWS_EC2_METADATA_DISABLED": "true",
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("storage")


@pytest.fixture(scope="module")
def s3():
    """host:port of a server that speaks S3."""
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    bucket(f"{host}:{port}").create_dir("bucket")
    yield f"{host}:{port}"
    server.stop()


def bucket(address: str) -> fs.S3FileSystem:
    return fs.S3FileSystem(
        access_key=KEY,
        secret_key=SECRET,
        endpoint_override=address,
        scheme="http",
        allow_bucket_creation=True,
    )


def names(address: str, path: str) -> list[str]:
    infos = bucket(address).get_file_info(fs.FileSelector(path, recursive=True))
    return [info.path for info in infos if info.is_file]


def test_a_run_on_s3_is_the_run_on_the_disk(folder, s3):
    """It reads its splits from S3 while it trains, the other one has them in memory."""
    experiment = write_experiment(folder, name="store")
    on_disk = rnnlane_json(folder / "disk", "train", str(experiment))
    uri = f"s3://bucket/team?endpoint_override=http://{s3}"
    storage = f"runtime.storage_path={uri}"
    home = folder / "s3"
    settings = ("--set", storage, "--set", "data.feed=streaming")
    cache = folder / "cache"
    result = rnnlane_json(
        home, "train", str(experiment), *settings, **AWS, XDG_CACHE_HOME=str(cache)
    )
    found, wanted = weights_of(result), weights_of(on_disk)
    assert all((found[name] == tensor).all() for name, tensor in wanted.items())
    stored = names(s3, "bucket/team")
    read = re.compile(r"/(shards-train/.*/shard|data-[^/]+/(val|test)/part)-\d+.parquet$")
    assert len(list(cache.glob("rnnlane/files/" + "?" * 64))) == sum(
        map(bool, map(read.search, stored))
    )
    assert any(re.fullmatch(r"bucket/team/prepared/\w+/manifest.json", name) for name in stored)
    assert any(re.search(r"/shards-train/.*/shard-00000.parquet$", name) for name in stored)
    assert not any("/checkpoints/" in name for name in stored), "of a run that has finished"
    assert not any("storage-check" in name for name in stored)
    assert not (home / "prepared").exists()
    assert not (home / "checkpoints").exists()
    for file in home.rglob("*"):
        if file.is_file():
            assert SECRET.encode() not in file.read_bytes(), file


def test_a_run_on_s3_that_is_cut_off_goes_on(folder, s3):
    """With the server's address from the environment, as for AWS's own tools."""
    experiment = write_experiment(
        folder,
        name="cut",
        data={"source": {"kind": "generated", "num_rows": 1500}},
        training={"epochs": 6, "checkpoint_every_s": 0.2},
        runtime={"num_workers": 2, "device": "cpu", "storage_path": "s3://bucket/cut"},
    )
    home, environment = folder / "cut", {**AWS, "AWS_ENDPOINT_URL": f"http://{s3}"}
    driver = start_rnnlane(home, folder / "cut.log", "train", str(experiment), **environment)

    def num_states() -> int:
        try:
            return sum(name.endswith("state.json") for name in names(s3, "bucket/cut/checkpoints"))
        except FileNotFoundError:
            return 0

    wait_until(lambda: num_states() > 1, what="checkpoints on S3")
    driver.terminate()
    assert driver.wait(timeout=120) == 130, (folder / "cut.log").read_text()
    result = rnnlane_json(home, "train", str(experiment), "--resume", **environment)
    assert result["epochs"] == 6
    assert num_states() == 0, "of a run that has finished"
    assert not (home / "checkpoints").exists()


def assert_refused(done, home: Path, *words: str) -> None:
    assert done.returncode == 2, done.stderr
    message = json.loads(done.stdout)["error"]["message"]
    for word in words:
        assert word in message
    assert not list((home / "runs").glob("*"))


@pytest.mark.parametrize("breakage", ["bucket", "server"])
def test_storage_that_cannot_be_reached_is_refused(folder, s3, breakage):
    experiment = write_experiment(folder, name="refused")
    home = folder / f"refused-{breakage}"
    place = {
        "bucket": f"s3://nowhere/x?endpoint_override=http://{s3}",
        "server": "s3://bucket/x?endpoint_override=http://127.0.0.1:9",
    }[breakage]
    storage = ["--set", f"runtime.storage_path={place}"]
    done = rnnlane(home, "train", str(experiment), "--json", *storage, **AWS)
    assert_refused(done, home)
    assert SECRET not in done.stderr + done.stdout


@pytest.fixture(scope="module")
def nodes(folder, s3):
    """A head that reaches the server that speaks S3."""
    nodes = RayNodes(folder)
    try:
        nodes.start_head(**AWS, AWS_ENDPOINT_URL=f"http://{s3}")
        yield nodes
    finally:
        nodes.stop()


def test_a_node_that_cannot_reach_s3_is_named(folder, s3, nodes):
    node = nodes.add(**AWS, AWS_ENDPOINT_URL="http://127.0.0.1:9", AWS_MAX_ATTEMPTS="1")
    experiment = write_experiment(folder, name="nodes")
    home = folder / "nodes"
    environment = {**AWS, "AWS_ENDPOINT_URL": f"http://{s3}", **nodes.environment}
    storage = ["--set", "runtime.storage_path=s3://bucket/nodes"]
    done = rnnlane(home, "train", str(experiment), "--json", *storage, **environment)
    assert_refused(done, home, f"node {socket.gethostname()} (", "cannot read")
    assert not names(s3, "bucket/nodes")
    nodes.kill(node)


@pytest.mark.skipif(
    os.geteuid() != 0 or shutil.which("unshare") is None,
    reason="needs root and unshare, to give a node a disk of its own",
)
def test_a_path_that_each_node_has_for_itself_is_found_out(folder, nodes):
    home = folder / "apart"
    home.mkdir()
    node = nodes.add(hidden=home)
    experiment = write_experiment(folder, name="nodes")
    done = rnnlane(home, "train", str(experiment), "--json", **nodes.environment)
    assert_refused(done, home, f"node {socket.gethostname()} (", "does not see")
    assert not list(home.glob("storage-check-*"))
    nodes.kill(node)
