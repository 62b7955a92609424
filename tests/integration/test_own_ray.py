"""The Ray that a command starts for itself, whatever else is on the machine."""

import os
import tempfile
from pathlib import Path

import pytest

from support.command import rnnlane, rnnlane_json, write_experiment

BROKEN_DASHBOARD = """
import sys, types

if any(argument.endswith("dashboard/dashboard.py") for argument in sys.orig_argv):
    class DashboardHead:
        def __init__(self, *arguments, **options):
            raise OSError(28, "No space left on device")

    sys.modules["ray.dashboard.head"] = types.ModuleType("ray.dashboard.head")
    sys.modules["ray.dashboard.head"].DashboardHead = DashboardHead
"""


@pytest.fixture
def experiment(tmp_path):
    return str(write_experiment(tmp_path, runtime={"num_workers": 0}))


@pytest.fixture
def temporary():
    """Ray's sockets need a short path, which a test's own folder is not below pytest-xdist."""
    with tempfile.TemporaryDirectory(prefix="rnnlane-", ignore_cleanup_errors=True) as folder:
        yield Path(folder)


@pytest.mark.slow
def test_what_a_killed_cluster_left_behind_does_not_matter(
    experiment, tmp_path, temporary, free_port
):
    (temporary / "ray").mkdir()
    (temporary / "ray" / "ray_current_cluster").write_text(f"127.0.0.1:{free_port}")
    home = tmp_path / "home"
    prepared = rnnlane_json(home, "prepare", experiment, RAY_TMPDIR=str(temporary))
    assert Path(prepared["prepared_path"]).parent == home / "prepared"
    done = rnnlane(
        home,
        "prepare",
        experiment,
        "--set",
        "seed=1",
        RAY_ADDRESS="auto",
        RAY_TMPDIR=str(temporary),
    )
    assert done.returncode == 1
    assert "Ray cannot be reached: Connection refused" in done.stderr


def test_a_ray_that_cannot_start_names_the_cause(experiment, tmp_path):
    (tmp_path / "sitecustomize.py").write_text(BROKEN_DASHBOARD)
    path = os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")])
    done = rnnlane(tmp_path / "home", "prepare", experiment, PYTHONPATH=path)
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1
    assert "dashboard.log: Ray cannot be started: OSError: [Errno 28] No space left" in done.stderr
    assert not (tmp_path / "home").exists()
