"""`rnnlane manifest` as a process: YAML on stdout alone; bad input is one line and exit code 2."""

import json

import pytest
import yaml

from support.deployment import ROOT, VERSION
from support.forked import rnnlane_forked

DEMO = str(ROOT / "experiments" / "demo.yaml")


def manifest(*arguments):
    return rnnlane_forked("manifest", *arguments)


def test_prints_valid_yaml_and_the_same_as_json():
    done = manifest(DEMO, "--set", "runtime.num_workers=3", "--queue", "q", "-n", "team")
    assert (done.returncode, done.stderr) == (0, "")
    printed = list(yaml.safe_load_all(done.stdout))
    assert [document["kind"] for document in printed] == ["ConfigMap", "RayJob"]
    assert f"image: rnnlane:{VERSION}" in done.stdout
    as_json = manifest(
        DEMO, "--set", "runtime.num_workers=3", "--queue", "q", "-n", "team", "--json"
    )
    assert json.loads(as_json.stdout)["items"] == printed


def test_a_cluster_needs_no_experiment():
    (cluster,) = yaml.safe_load_all(manifest("--cluster", "--image", "x:1").stdout)
    assert cluster["kind"] == "RayCluster"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "neither"),
        ([DEMO, "--cluster"], "both"),
        ([DEMO, "--namespace", "A_B"], "'A_B'"),
        ([DEMO, "--priority", "high"], "--queue"),
        ([DEMO, "--set", "model.sell=gru"], "`cell`"),
        (["none.yaml"], "none.yaml"),
    ],
)
def test_bad_input_is_one_line(arguments, said):
    done = manifest(*arguments)
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr.startswith("error: ")
    assert done.stderr.count("\n") == 1
    assert said in done.stderr
