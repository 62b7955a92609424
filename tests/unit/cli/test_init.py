import json

import pytest

from rnnlane.config import load_experiment
from rnnlane.errors import ConfigError, DataError

ROWS = "text,category,queue\n" + "".join(
    f"please help with number {n % 9} of {n},{'ab'[n % 2]},{'xyz'[n % 3]}\n" for n in range(60)
)


@pytest.fixture
def tickets(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "tickets.csv").write_text(ROWS)
    return tmp_path


def test_it_writes_an_experiment_that_is_valid_and_says_what_it_found(call, tickets):
    done = call("init", "tickets.csv")
    assert "label: column 'category'\n" in done.stdout
    assert "classes: 2, by rows 'a': 30, 'b': 30\n" in done.stdout
    assert done.stdout.endswith("tickets.yaml is written; train it: rnnlane train tickets.yaml\n")
    assert "check: label: 'queue' may be it too; --label decides\n" in done.stderr
    assert "tickets.yaml is valid: tickets" in call("validate", "tickets.yaml").stdout
    text = (tickets / "tickets.yaml").read_text()
    assert "#   label: column 'category' ('queue' may be it too; --label decides)\n" in text
    assert (tickets / "rnnlane.schema.json").exists()


def test_a_file_that_is_there_is_kept_unless_forced(call, tickets):
    (tickets / "tickets.yaml").write_text("mine")
    with pytest.raises(ConfigError, match="must not exist"):
        call("init", "tickets.csv")
    assert (tickets / "tickets.yaml").read_text() == "mine"
    call("init", "tickets.csv", "--force", "--label", "queue")
    assert load_experiment(tickets / "tickets.yaml").data.columns.label == "queue"


def test_the_flags_decide(call, tickets):
    done = call("init", "tickets.csv", "--output", "y.yaml", "--name", "mine", "--json")
    found = json.loads(done.stdout)
    assert found["experiment"] == "y.yaml"
    assert found["config"]["name"] == load_experiment("y.yaml").name == "mine"
    assert {"what": "rows", "found": "60", "doubt": None} in found["findings"]


def test_what_is_refused_leaves_nothing(call, tickets):
    (tickets / "empty.csv").write_text("")
    for arguments in (["empty.csv"], ["no.csv"], ["tickets.csv", "--label", "no"]):
        with pytest.raises(DataError):
            call("init", *arguments)
    for arguments in ([], ["tickets.csv", "--name", "../x"]):
        with pytest.raises(ConfigError):
            call("init", *arguments)
    assert {file.name for file in tickets.iterdir()} == {"empty.csv", "tickets.csv"}


def test_it_copies_the_examples(call, tickets):
    assert call("init", "--examples").stdout.endswith("rnnlane train experiments/demo.yaml\n")
    files = json.loads(call("init", "--examples", "mine", "--json").stdout)["files"]
    assert "mine/demo.yaml" in files
    assert "is valid" in call("validate", "mine/demo.yaml").stdout
