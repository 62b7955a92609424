import subprocess

import ray

from rnnlane.execution import environment
from rnnlane.execution.environment import describe_environment, git_state, versions


def test_the_tags_name_versions_and_hardware():
    tags = describe_environment()
    assert tags["version.ray"] == ray.__version__
    assert int(tags["hardware.num_cpus"]) > 0
    assert float(tags["hardware.memory_gib"]) > 0
    assert "ray.job_id" not in tags
    assert all(isinstance(value, str) for value in tags.values())


def test_packages_that_are_not_installed_are_left_out(monkeypatch):
    monkeypatch.setattr(environment, "VERSIONED", ("ray", "no-such-package"))
    assert set(versions()) == {"ray"}


def test_the_commit_is_that_of_the_working_directory(tmp_path, monkeypatch):
    def git(*command):
        subprocess.run(["git", "-C", str(tmp_path), *command], check=True, capture_output=True)

    git("init")
    git("-c", "user.name=a", "-c", "user.email=a@b", "commit", "--allow-empty", "-m", "x")
    monkeypatch.chdir(tmp_path)
    clean = git_state()
    assert len(clean["git.commit"]) == 40
    assert clean["git.dirty"] == "false"
    (tmp_path / "new").touch()
    assert git_state() == {**clean, "git.dirty": "true"}
