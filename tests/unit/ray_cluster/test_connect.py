"""Addresses of clusters in RAY_ADDRESS that no driver can connect to are refused at once."""

import pytest

from rnnlane.errors import ConfigError
from rnnlane.pipeline import prepare, train, tune
from rnnlane.ray_cluster.connect import check_address
from support.tiny import tiny_experiment

SEARCH = ["search.num_trials=1", "search.space={training.learning_rate: 'loguniform(0.001, 0.1)'}"]


@pytest.mark.parametrize("address", ["http://head:8265", "https://ray.example.org"])
def test_a_dashboard_is_refused_with_the_verb_that_takes_it(monkeypatch, address):
    monkeypatch.setenv("RAY_ADDRESS", address)
    with pytest.raises(ConfigError, match="accepts jobs") as caught:
        check_address()
    assert "rnnlane submit" in str(caught.value.remedy)


@pytest.mark.parametrize("address", ["", "10.0.0.5:6379", "auto", "ray://head:10001"])
def test_other_addresses_are_left_to_ray(monkeypatch, address):
    monkeypatch.setenv("RAY_ADDRESS", address)
    check_address()


@pytest.mark.parametrize("verb", [prepare, train, tune])
def test_nothing_is_made_before(verb, monkeypatch, tmp_path):
    monkeypatch.setenv("RAY_ADDRESS", "http://head:8265")
    monkeypatch.setenv("RNNLANE_HOME", str(tmp_path / "home"))
    # It would make the store's file a second or two later.
    monkeypatch.setattr("rnnlane.pipeline._open_store", lambda *_: pytest.fail("opened"))
    with pytest.raises(ConfigError, match="accepts jobs"):
        verb(tiny_experiment(*(SEARCH if verb is tune else ())))
    assert not (tmp_path / "home").exists()
