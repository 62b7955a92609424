"""aws.yaml and gcp.yaml against Ray's own schema and its own preparation of such files."""

import json
from pathlib import Path

import jsonschema
import pytest
import ray.autoscaler
import yaml
from ray.autoscaler._private.util import prepare_config, validate_config

from support.deployment import CLUSTER, ROOT, pinned

PROVIDERS = ["aws", "gcp"]


@pytest.fixture(params=PROVIDERS)
def cluster(request):
    return yaml.safe_load((CLUSTER / f"{request.param}.yaml").read_text())


def test_schema_of_rays_package(cluster):
    schema = Path(ray.autoscaler.__file__).parent / "ray-schema.json"
    jsonschema.validate(cluster, json.loads(schema.read_text()))


def test_ray_prepares_and_accepts_it(cluster):
    prepared = prepare_config(cluster)
    validate_config(prepared)
    assert prepared["setup_commands"] == cluster["setup_commands"]
    assert prepared["available_node_types"]["gpu_worker"]["max_workers"] == 4


def test_head_has_no_work_and_gpu_workers_come_from_zero(cluster):
    types = cluster["available_node_types"]
    assert types[cluster["head_node_type"]]["resources"] == {"CPU": 0}
    workers = [kind for name, kind in types.items() if name != cluster["head_node_type"]]
    assert workers
    for worker in workers:
        assert worker["min_workers"] == 0
        assert worker["resources"]["GPU"] >= 1
        assert worker["max_workers"] <= cluster["max_workers"]


def test_every_node_has_the_token_and_no_dashboard_is_open(cluster):
    assert cluster["file_mounts"]["~/.ray/auth_token"] == "~/.ray/auth_token"
    for who in ("head", "worker"):
        commands = [text for text in cluster[f"{who}_start_ray_commands"] if "ray start" in text]
        assert len(commands) == 1
        assert "RAY_AUTH_MODE=token ray start" in commands[0]
        assert ("RNNLANE_WAIT_FOR_NODES_S=" in commands[0]) == (who == "head")
        assert ("--dashboard-host=127.0.0.1" in commands[0]) == (who == "head")
    assert "0.0.0.0" not in json.dumps(cluster)


def test_installs_this_project_with_its_pinned_versions(cluster):
    mounted = {target: ROOT / source for target, source in cluster["file_mounts"].items()}
    for target, source in mounted.items():
        if target.startswith("~/rnnlane/"):
            assert source.exists(), source
    assert "~/rnnlane/constraints.txt" in mounted
    install = [text for text in cluster["setup_commands"] if "pip install" in text]
    assert install == [
        "~/.local/bin/uv pip install --python ~/venv/bin/python "
        "-c ~/rnnlane/constraints.txt ~/rnnlane"
    ]
    # The Python that constraints.txt was made with, as its first line says.
    assert (ROOT / "constraints.txt").read_text().startswith("# The exact versions")
    assert "Python 3.11" in (ROOT / "constraints.txt").read_text().splitlines()[0]
    assert any("--python 3.11" in text for text in cluster["setup_commands"])
    assert "ray" in pinned()
    for text in cluster["head_setup_commands"]:
        assert "==" in text
