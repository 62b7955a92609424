import json

import pytest

from rnnlane.cli import clean as module
from rnnlane.errors import ConfigError
from rnnlane.execution.run_record import all_records
from support.leftovers import aged, checkpoint_of, finished_run, prepared_data


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("RNNLANE_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("RAY_TMPDIR", str(tmp_path / "tmp"))
    return tmp_path / "home"


def test_where_nobody_can_be_asked_nothing_goes(call):
    checkpoint = checkpoint_of(finished_run())
    for arguments in ([], ["--json"]):
        with pytest.raises(ConfigError, match="nobody can be asked") as refused:
            call("clean", *arguments)
        assert "--yes" in refused.value.remedy
    assert checkpoint.exists()


def test_a_dry_run_lists_with_sizes_and_removes_nothing(call):
    checkpoint = checkpoint_of(finished_run(), 1_500_000)
    text = call("clean", "--dry-run").stdout
    assert "no longer needed: 1.5 MB" in text
    assert "checkpoints   1.5 MB" in text
    assert checkpoint.exists()


@pytest.mark.parametrize(("answer", "goes"), [("y", True), ("n", False), ("", False)])
def test_it_asks_and_goes_by_the_answer(call, monkeypatch, answer, goes):
    monkeypatch.setattr(module, "_can_ask", lambda: True)
    checkpoint = checkpoint_of(finished_run(), 1000)
    done = call("clean", input=f"{answer}\n")
    assert "Remove these?" in done.stderr
    assert ("removed 1, 1.0 kB" in done.stdout) is goes
    assert checkpoint.exists() is not goes


def test_what_is_removed_and_what_stays_as_json(call, home):
    record = finished_run()
    checkpoint_of(record, 1000)
    (home / "thesis.txt").write_text("years")
    found = json.loads(call("clean", "--yes", "--json").stdout)
    assert found == {
        "leftovers": [
            {
                "kind": "checkpoints",
                "path": record.checkpoints,
                "num_bytes": 1000,
                "why": f"{record.key} has finished",
                "removed": True,
            }
        ],
        "kept": [{"path": str(home / "thesis.txt"), "num_bytes": 5, "why": "not rnnlane's"}],
        "removed_bytes": 1000,
    }
    assert json.loads(call("clean", "--dry-run", "--json").stdout)["leftovers"] == []


def test_limits_reach_the_runs(call):
    record = finished_run(is_tidy=True)
    aged(record.folder / "run.json", 31)
    assert "nothing to remove" in call("clean", "--yes", "--older-than", "32d").stdout
    assert "nothing to remove" in call("clean", "--yes", "--keep", "1").stdout
    assert "removed 1" in call("clean", "--yes", "--older-than", "30d", "--keep", "0").stdout
    assert all_records() == []


@pytest.mark.parametrize("age", ["30", "d", "-1d", "30 d", "30y", "1e3d", "nan d"])
def test_an_age_that_is_none_is_refused(call, age):
    with pytest.raises(ConfigError, match="an age is a number and a unit") as refused:
        call("clean", "--yes", f"--older-than={age}")
    assert refused.value.where == "--older-than"


def test_what_is_in_use_by_now_is_said(call, monkeypatch):
    prepared_data("0" * 16)
    monkeypatch.setattr("rnnlane.execution.inventory._remove_prepared", lambda _folder: False)
    done = call("clean", "--yes")
    assert "removed 0" in done.stdout
    assert "1 are in use by now, or could not be removed" in done.stderr
