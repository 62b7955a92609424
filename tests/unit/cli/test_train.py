import json
from types import SimpleNamespace

import pytest

METRICS = {f"{split}/accuracy": 0.5 for split in ("train", "val", "test")}
RESULT = SimpleNamespace(
    run_id="0123456789abcdef",
    tracking_uri="sqlite:///x.db",
    metrics={"best": METRICS, "last": {"throughput/rows_per_s": 1234.5}},
    best_epoch=2,
    epochs=3,
    clip={"max_norm": 1.5, "clipped_fraction": 0.25},
    sample={"label": "pos", "probabilities": {"pos": 0.75, "neg": 0.25}, "text": "A film."},
    run_folder="runs/x",
    as_dict=lambda: {"run_id": "0123456789abcdef"},
)


@pytest.fixture
def calls(replaced):
    return replaced("rnnlane.cli.train.train_experiment", RESULT)


def test_workers_are_short_for_a_key_and_resume_is_passed_on(call, calls, experiment):
    printed = call("train", experiment, "--workers", "0", "--resume", "--json").stdout
    assert json.loads(printed) == {"run_id": "0123456789abcdef"}
    ((config,), keywords) = calls[0]
    assert config.runtime.num_workers == 0
    assert keywords["resume"] is True


def test_a_person_sees_the_best_epoch_the_clipping_and_what_to_do_next(call, calls, experiment):
    printed = call("train", experiment).stdout
    assert "(epoch 2 of 3)" in printed
    assert "25.0% of steps at 1.5" in printed
    assert "rnnlane predict --run 01234567" in printed


def test_the_next_commands_name_the_store_of_the_experiment(call, calls, experiment, tmp_path):
    store = f"tracking.uri=sqlite:///{tmp_path}/x.db"
    printed = call("train", experiment, "--set", store).stdout
    assert f"rnnlane ui --tracking-uri {RESULT.tracking_uri}" in printed


def test_a_number_of_workers_that_is_none_is_refused(call, calls, experiment):
    call("train", experiment, "--workers", "-1", exit_code=2)
    assert calls == []
