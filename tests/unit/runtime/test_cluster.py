import pytest

from rnnlane.config.experiment import RuntimeConfig
from rnnlane.errors import ConfigError
from rnnlane.runtime import cluster


def test_a_dashboards_address_is_for_jobs_and_says_so(monkeypatch):
    monkeypatch.setenv("RAY_ADDRESS", "http://127.0.0.1:9")
    with pytest.raises(ConfigError, match="where jobs are sent") as caught:
        cluster.connect(RuntimeConfig(num_workers=0))
    assert "rnnlane submit" in caught.value.remedy
