"""Which versions a cluster may have, and how they are asked for."""

import json
import subprocess
import sys

import pytest
from packaging.requirements import Requirement

from rnnlane.errors import ConfigError
from rnnlane.jobs import versions
from rnnlane.jobs.versions import Versions, ask, check, here, other_rnnlane, pins, requirements


def changed(**packages):
    ours = here()
    merged = {**ours.packages, **packages}
    return Versions(ours.python, {name: v for name, v in merged.items() if v is not None})


@pytest.mark.parametrize(
    ("theirs", "named"),
    [
        (Versions("3.9.1", here().packages), "Python is"),
        (changed(ray="2.40.0"), "2.40.0 there"),
        (changed(ray=None), "missing"),
        (changed(torch=None, mlflow="2.0"), "mlflow is 2.0 and must be"),
        (changed(torch=None, mlflow="2.0"), "torch is missing"),
        (changed(pandas=None), "pandas is missing"),
    ],
)
def test_a_cluster_that_does_not_fit_is_refused_and_told_why(theirs, named):
    with pytest.raises(ConfigError) as caught:
        check(theirs, address="http://head:8265", with_packages=True)
    assert named in caught.value.message
    assert caught.value.remedy


def test_the_versions_here_agree_with_themselves():
    check(here(), address="", with_packages=True)
    assert other_rnnlane(here()) is None
    assert other_rnnlane(changed(rnnlane="9.0")) == "9.0"
    assert other_rnnlane(changed(rnnlane=None)) is None


def test_the_probe_reports_the_versions_of_the_python_that_runs_it(monkeypatch):
    def run(client, *, entrypoint, mark):
        command = entrypoint.replace("python", sys.executable, 1)
        done = subprocess.run(["sh", "-c", command], check=True, capture_output=True, text=True)
        assert done.stdout.startswith(mark)
        return json.loads(done.stdout.removeprefix(mark))

    monkeypatch.setattr(versions, "ask_cluster", run)
    assert ask(None).python == here().python
    assert ask(None).packages["ray"] == here().packages["ray"]


def test_requirements_are_those_of_rnnlane_and_of_rays_extras():
    names = [requirement.name for requirement in requirements()]
    assert {"torch", "mlflow", "pandas"} <= set(names)
    assert "ray" not in names
    assert len(names) == len(set(names))


def test_pins_are_exact_versions_without_local_parts(monkeypatch):
    monkeypatch.setattr(versions, "here", lambda: Versions("3.11", {"torch": "2.9.0+cpu"}))
    monkeypatch.setattr(
        versions, "requirements", lambda: [Requirement("torch>=2"), Requirement("x")]
    )
    assert pins() == ["torch==2.9.0"]
