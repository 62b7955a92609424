"""What is sent with a job, and what is refused."""

import os
import subprocess
import sys
from importlib.metadata import version

import pytest
import yaml

from rnnlane.config import experiment_from_mapping, load_experiment
from rnnlane.errors import ConfigError, DataError
from rnnlane.jobs.package import (
    digest,
    experiment_file,
    files_for,
    reads_only_what_is_sent,
    write_package,
)

VALUES = {"name": "x", "data": {"source": {"kind": "generated"}}}


def experiment(*overrides, **changes):
    return experiment_from_mapping({**VALUES, **changes}, overrides)


def csv(path, **more):
    return {"source": {"kind": "csv", "path": path, **more}}


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "reviews").mkdir()
    for name in ("a.csv", "b.csv", "_SUCCESS", "notes.txt"):
        (tmp_path / "reviews" / name).write_text("text,label\nfine,1\n")
    (tmp_path / "words.txt").write_text("the\n")
    (tmp_path / "glove.txt").write_text("the 0.1 0.2\n")
    return tmp_path


def data_files(config, **keywords):
    files = files_for(config, **keywords)
    return [file.target for file in files if not file.target.startswith(("rnnlane/", "rnnlane-"))]


def test_the_package_is_sent():
    targets = [file.target for file in files_for(experiment())]
    assert {"rnnlane/__main__.py", "rnnlane/cli/submit.py", "rnnlane/py.typed"} <= set(targets)
    assert "rnnlane/reports/search_report.html.j2" in targets
    others = [target for target in targets if not target.startswith("rnnlane/")]
    # With it the package knows its version and what it needs.
    assert others == [f"rnnlane-{version('rnnlane')}.dist-info/METADATA"]


def test_compiled_files_are_not_sent(tmp_path, monkeypatch):
    package = tmp_path / "rnnlane"
    (package / "cli" / "__pycache__").mkdir(parents=True)
    for name in ("__init__.py", "cli/submit.py", "cli/__pycache__/submit.cpython-311.pyc"):
        (package / name).touch()
    monkeypatch.setattr("rnnlane.__file__", str(package / "__init__.py"))
    targets = [file.target for file in files_for(experiment())]
    assert targets[1:] == ["rnnlane/__init__.py", "rnnlane/cli/submit.py"]


def test_what_is_written_runs_without_an_installation(tmp_path):
    config = experiment("training.epochs=3", "tracking.tags.team=a")
    write_package(tmp_path, config, files_for(config), tags={"team": "b", "git.commit": "abc"})
    written = load_experiment(tmp_path / experiment_file(config))
    assert written.tracking.tags == {"team": "a", "git.commit": "abc"}
    assert written.model_copy(update={"tracking": config.tracking}) == config
    code = "import rnnlane; print(rnnlane.__file__)"
    environment = {**os.environ, "PYTHONPATH": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, "-c", code],
        check=False,
        cwd="/",
        env=environment,
        capture_output=True,
        text=True,
    )
    assert done.stdout.strip() == str(tmp_path / "rnnlane" / "__init__.py"), done.stderr


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("reviews/a.csv", ["reviews/a.csv"]),
        ("./reviews/../reviews/a.csv", ["reviews/a.csv"]),
        ("reviews", ["reviews/a.csv", "reviews/b.csv"]),
        ("reviews/b*.csv", ["reviews/b.csv"]),
        ("/data/a.csv", []),
        ("~/a.csv", []),
        ("s3://bucket/a.csv", []),
    ],
)
def test_relative_data_is_sent_and_paths_of_the_cluster_are_kept(folder, path, expected):
    assert data_files(experiment(data=csv(path))) == expected


def test_a_test_file_is_sent_beside_train_data_on_the_cluster(folder):
    data = {**csv("s3://bucket/a.csv", test_path="reviews/b.csv"), "test": "official"}
    assert data_files(experiment(data=data)) == ["reviews/b.csv"]


def test_word_lists_and_vectors_are_sent_also_those_that_a_search_can_choose(folder):
    config = experiment("text.stop_words=words.txt", "model.pretrained_vectors=glove.txt")
    assert data_files(config) == ["glove.txt", "words.txt"]
    space = {"text.stop_words": "choice(off, words.txt)"}
    assert data_files(experiment(search={"num_trials": 2, "space": space})) == ["words.txt"]
    assert data_files(experiment("text.stop_words=english")) == []


@pytest.mark.parametrize("path", ["../a.csv", "rnnlane/a.csv", "venv/a.csv"])
def test_a_path_that_cannot_be_kept_is_refused(folder, path):
    inner = folder / "inner"
    (inner / path).parent.mkdir(parents=True, exist_ok=True)
    (inner / path).write_text("text,label\n")
    os.chdir(inner)
    with pytest.raises(ConfigError, match="below the working directory") as caught:
        files_for(experiment(data=csv(path)))
    assert caught.value.where == "data.source.path"


def test_a_missing_file_is_refused_before_anything_is_sent(folder):
    with pytest.raises(DataError, match="no such file"):
        files_for(experiment(data=csv("none.csv")))
    with pytest.raises(ConfigError, match=r"'none\.txt' is not one"):
        files_for(experiment("text.stop_words=none.txt"))


def test_too_much_is_refused_with_the_ten_largest_by_name(folder):
    for number in range(12):
        (folder / "reviews" / f"part-{number:02}.csv").write_bytes(b"x" * (1 << 20) * (number + 1))
    with pytest.raises(ConfigError, match=r"at most 64\.0 MiB, but is 7\d\.\d MiB") as caught:
        files_for(experiment(data=csv("reviews")))
    message = caught.value.message
    named = message.partition("the largest: ")[2].split(", ")
    assert len(named) == 10
    assert named[0] == "reviews/part-11.csv (12.0 MiB)"
    assert named[9] == "reviews/part-02.csv (3.0 MiB)"
    assert "s3://" in caught.value.remedy


def test_the_digest_is_of_every_content(folder):
    config = experiment(data=csv("reviews"))
    first = digest(files_for(config))
    assert first == digest(files_for(experiment("runtime.num_workers=3", data=csv("reviews"))))
    (folder / "reviews" / "a.csv").write_text("text,label\nbad!,0\n")
    assert digest(files_for(config)) != first


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        (experiment(data=csv("reviews"), text={"stop_words": "words.txt"}), True),
        (experiment(), True),
        (experiment(data=csv("/data/reviews")), False),
        (experiment(data={**csv("a", test_path="s3://bucket/b.csv"), "test": "official"}), False),
        (experiment(model={"pretrained_vectors": "~/glove.txt"}), False),
    ],
)
def test_what_is_on_the_cluster_is_not_in_the_digest(config, expected):
    assert reads_only_what_is_sent(config) is expected


def test_the_experiment_is_plain_yaml(tmp_path):
    config = experiment("text.stop_words=off")
    write_package(tmp_path, config, [], tags={})
    written = yaml.safe_load((tmp_path / experiment_file(config)).read_text())
    assert written["text"]["stop_words"] == "off"
