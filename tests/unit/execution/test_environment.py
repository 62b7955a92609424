import subprocess

import ray

from rnnlane.execution import environment
from rnnlane.execution.environment import (
    code_version,
    describe_environment,
    git_state,
    versions,
)


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


def test_the_version_of_the_code_is_that_of_its_files(tmp_path, monkeypatch):
    (tmp_path / "cli").mkdir()
    monkeypatch.setattr("rnnlane.__file__", str(tmp_path / "__init__.py"))
    (tmp_path / "cli" / "main.py").write_text("a = 1")
    versions = []
    for text in ("a = 1", "a = 2", "a = 1"):
        (tmp_path / "cli" / "main.py").write_text(text)
        code_version.cache_clear()
        versions.append(code_version())
    code_version.cache_clear()
    assert len(versions[0]) == 8
    assert versions[0] == versions[2] != versions[1]
