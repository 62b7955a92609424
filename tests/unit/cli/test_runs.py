import json

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
    assert line.split()[-4:] == ["61", "s", "0.5000", "1,234"]
    assert "sent 2 records" in done.stderr
    assert (calls[0][1]["limit"], calls[0][1]["with_trials"]) == (5, True)


def test_an_empty_store_says_how_to_make_a_run(call, replaced):
    replaced(TARGET, ([], 0))
    assert "no runs yet" in call("runs").stdout
    assert json.loads(call("runs", "--json").stdout) == {"runs": []}
