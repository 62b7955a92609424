import pytest

from rnnlane.config.fingerprint import (
    baseline_fingerprint,
    config_fingerprint,
    fingerprint,
    search_fingerprint,
)
from support.tiny import tiny_experiment

SPACE = "search.space.model.hidden_size=choice(4, 5)"


def test_a_fingerprint_is_that_of_the_value_not_of_its_order():
    assert fingerprint({"a": 1, "b": [2]}) == fingerprint({"b": [2], "a": 1}) == "0855bfc20eb6cfaa"
    assert fingerprint({"a": 1}) != fingerprint({"a": "1"})


@pytest.mark.parametrize(
    ("setting", "of_run", "of_baseline"),
    [
        ("model.hidden_size=6", True, False),
        ("training.epochs=3", True, False),
        ("baseline.num_words=1", False, True),
        ("text.lowercase=false", True, True),
        ("inference.temperature=fit", True, True),
        ("runtime.max_restarts=9", False, False),
        ("tracking.run_name=other", False, False),
        ("description=other", False, False),
        ("data.feed=streaming", False, False),
    ],
)
def test_each_identity_depends_on_what_it_computes_only(setting, of_run, of_baseline):
    one, other = tiny_experiment(), tiny_experiment(setting)
    assert (config_fingerprint(one) != config_fingerprint(other)) is of_run
    assert (baseline_fingerprint(one) != baseline_fingerprint(other)) is of_baseline


def test_a_newer_key_changes_no_identity_unless_it_is_set():
    config = tiny_experiment(
        SPACE,
        "training.label_smoothing=0",
        "training.ema=null",
        "training.refit=false",
        "training.layer_rate_decay=1",
        "training.gradual_unfreezing=false",
        "training.adversarial=null",
        "model.ngrams=null",
    )
    # As they were before there were these keys.
    assert config_fingerprint(config) == "bc406e11bc19e1b0"
    assert search_fingerprint(config) == "1233467899885d52"
    changes = ("training.label_smoothing=0.1", "training.ema=0.9", "training.refit=true")
    for setting in (*changes, "training.layer_rate_decay=0.4", "model.ngrams.bits=20"):
        other = tiny_experiment(SPACE, setting)
        assert config_fingerprint(other) != config_fingerprint(config)
        assert search_fingerprint(other) != search_fingerprint(config)
        assert baseline_fingerprint(other) == baseline_fingerprint(config)


def test_a_group_is_of_every_identity():
    config, other = tiny_experiment(SPACE), tiny_experiment(SPACE, "data.columns.group=g")
    for identity in (config_fingerprint, baseline_fingerprint, search_fingerprint):
        assert identity(other) != identity(config)


@pytest.mark.parametrize(
    ("setting", "is_another"),
    [
        ("search.num_trials=99", False),
        ("search.time_budget_s=60", False),
        ("search.ablation={}", False),
        ("search.algorithm=random", True),
        ("training.epochs=3", True),
    ],
)
def test_a_search_is_the_same_with_another_budget(setting, is_another):
    one, other = tiny_experiment(SPACE), tiny_experiment(SPACE, setting)
    assert (search_fingerprint(one) != search_fingerprint(other)) is is_another
