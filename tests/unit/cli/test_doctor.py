import json

import pytest

from rnnlane.doctor.finding import Finding
from rnnlane.errors import ConfigError

GOOD = Finding("disk", True, "12 GB free", "")
BAD = Finding("Ray", False, "version 1", "upgrade it")


def test_every_finding_is_a_line_and_a_problem_exits_with_1(call, replaced):
    replaced("rnnlane.doctor.machine.diagnose", iter([GOOD, BAD]))
    lines = call("doctor", exit_code=1).stdout.splitlines()
    assert lines == ["ok      disk: 12 GB free", "PROBLEM Ray: version 1 -- upgrade it"]


def test_without_problems_it_exits_with_0(call, replaced):
    replaced("rnnlane.doctor.machine.diagnose", iter([GOOD]))
    found = json.loads(call("doctor", "--json").stdout)
    assert found["ok"] is True
    assert [finding["what"] for finding in found["findings"]] == ["disk"]


def test_a_cluster_is_checked_for_the_store_of_the_environment(call, replaced, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://mlflow")
    calls = replaced("rnnlane.doctor.cluster.diagnose_cluster", iter([GOOD]))
    call("doctor", "--cluster", "http://head:8265", "--storage", "/data")
    assert calls[0][0][0] == "http://head:8265"
    assert "http://mlflow" in repr(calls[0])


@pytest.mark.parametrize("option", ["--storage", "--credentials-file"])
def test_options_of_a_cluster_need_one(call, option):
    with pytest.raises(ConfigError, match="no cluster is given"):
        call("doctor", option, "/x")
