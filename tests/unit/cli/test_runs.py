import json
import re
import time
from dataclasses import replace

from rnnlane.tracking.store import RunSummary

RUN = RunSummary(
    run_id="0123456789abcdef",
    name="x",
    status="FINISHED",
    started_at=0.0,
    duration_s=61.4,
    metrics={"val/accuracy": 0.5, "throughput/rows_per_s": 1234.5},
    params={},
    tags={},
    artifact_uri="",
)
TARGET = "rnnlane.cli.runs.list_runs"


def test_a_run_is_one_line_with_blanks_for_metrics_it_lacks(call, replaced):
    calls = replaced(TARGET, ([RUN], 2))
    done = call("runs", "-n", "5", "--trials")
    (line,) = [line for line in done.stdout.splitlines() if "01234567" in line]
    assert line.split()[0] == "01234567"
    assert line.split()[-5:] == ["61", "s", "newest", "0.5000", "1,234"]
    assert "sent 2 records" in done.stderr
    assert (calls[0][1]["limit"], calls[0][1]["with_trials"]) == (5, True)


def test_a_finished_run_shows_the_figures_of_its_best_epoch_and_no_others(call, replaced):
    best = {"epoch": 3.0, "train/accuracy": 0.91, "val/accuracy": 0.82, "test/accuracy": 0.8}
    last = {"train/accuracy": 0.99, "val/accuracy": 0.79, "test/accuracy": 0.8}
    baseline = replace(RUN, run_id="b" * 32, metrics=last, tags={"rnnlane.model": "linear"})
    replaced(TARGET, ([replace(RUN, metrics=last, best=best), baseline], 0))
    lines = [line.split() for line in call("runs").stdout.splitlines()]
    (header,) = [line for line in lines if line[:1] == ["run"]]
    assert header[-5:] == ["epoch", "train", "val", "test", "rows/s"]
    (row,) = [line for line in lines if line[:1] == ["01234567"]]
    assert row[-5:] == ["s", "3", "0.9100", "0.8200", "0.8000"]
    (row,) = [line for line in lines if line[:1] == ["bbbbbbbb"]]
    assert row[-5:] == ["61", "s", "0.9900", "0.7900", "0.8000"]
    (found, _) = json.loads(call("runs", "--json").stdout)["runs"]
    assert (found["metrics"], found["best"]) == (last, best)


def test_a_search_shows_the_value_of_its_best_trial(call, replaced):
    best = {"epoch": 4.0, "val/accuracy": 0.7083}
    search = replace(RUN, tags={"rnnlane.kind": "search"}, best=best)
    replaced(TARGET, ([search], 0))
    (row,) = [line for line in call("runs").stdout.splitlines() if "01234567" in line]
    assert row.split()[-2:] == ["4", "0.7083"]


def test_several_seeds_are_one_line_with_mean_and_spread(call, replaced):
    metrics = {"best/val/accuracy": 0.75, "best/val/accuracy_std": 0.01, "test/accuracy": 0.7}
    replaced(TARGET, ([replace(RUN, metrics=metrics, tags={"rnnlane.seeds": "0, 1, 2"})], 0))
    (row,) = [line for line in call("runs").stdout.splitlines() if "01234567" in line]
    assert row.split()[-6:] == ["3", "seeds", "0.7500", "±", "0.0100", "0.7000"]


def test_a_run_of_today_shows_its_time_and_an_older_one_its_day(call, replaced):
    replaced(TARGET, ([replace(RUN, started_at=time.time()), RUN], 0))
    rows = [line for line in call("runs").stdout.splitlines() if "01234567" in line]
    assert [re.fullmatch(r"\d\d:\d\d", row.split()[3]) is not None for row in rows] == [True, False]
    assert re.fullmatch(r"(1969-12-31|1970-01-01)", rows[1].split()[3])


def test_an_empty_store_says_how_to_make_a_run(call, replaced):
    replaced(TARGET, ([], 0))
    assert "no runs yet" in call("runs").stdout
    assert json.loads(call("runs", "--json").stdout) == {"runs": []}
