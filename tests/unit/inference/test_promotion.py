"""Whether a model takes the place of another, in a SQLite store with runs that keep predictions."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from rnnlane.errors import ConfigError
from rnnlane.inference import promotion
from rnnlane.inference.promotion import promote_in_store
from rnnlane.records.predictions import Predictions
from rnnlane.tracking.client import open_client
from rnnlane.tracking.logged_model import log_model
from rnnlane.tracking.registry import holder
from rnnlane.tracking.store import find_run
from support.model_store import EXPERIMENT, make_model, make_store

NUM_ROWS = 400
NUMBERS = itertools.count()


@pytest.fixture(scope="module")
def uri(tmp_path_factory: pytest.TempPathFactory) -> str:
    return make_store(tmp_path_factory.mktemp("store"))


@pytest.fixture(scope="module")
def packaged(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_model(tmp_path_factory.mktemp("model"))


@pytest.fixture
def new_run(uri: str, packaged: Path, tmp_path: Path) -> Any:
    """Makes a run that classifies that many of the test rows correctly."""
    client = open_client(uri)

    def make(num_right: int | None, *, first_key: int = 0, has_model: bool = True) -> str:
        run_id = str(client.create_run(EXPERIMENT, tags={"rnnlane.run_key": "x"}).info.run_id)
        if num_right is not None:
            labels = np.arange(NUM_ROWS) % 2
            predicted = np.where(np.arange(NUM_ROWS) < num_right, labels, 1 - labels)
            probabilities = np.eye(2, dtype=np.float32)[predicted]
            keys = np.arange(first_key, first_key + NUM_ROWS, dtype=np.uint64)
            kept = Predictions(keys, labels.astype(np.int64), probabilities, ("neg", "pos"))
            folder = tmp_path / str(next(NUMBERS))
            kept.write(folder / "test.parquet")
            client.log_artifacts(run_id, str(folder), "predictions")
        if has_model:
            log_model(client, run_id, packaged, best_epoch=1)
        else:
            client.log_artifacts(run_id, str(packaged), "model")
        client.set_terminated(run_id)
        return run_id

    return make


def tags_of(uri: str, name: str, number: int) -> dict[str, str]:
    return dict(open_client(uri).get_model_version(name, str(number)).tags)


def test_an_alias_moves_to_a_better_model_only_and_says_why(uri: str, new_run: Any) -> None:
    first, better, same = new_run(300), new_run(350), new_run(352)

    def promote(run: str, **more: Any) -> Any:
        return promote_in_store(uri, run, name="reviews", alias="champion", **more)

    started = promote(first)
    assert (started.version, started.is_moved, started.previous) == (1, True, None)
    moved = promote(better)
    assert (moved.version, moved.previous["number"], moved.is_forced) == (2, 1, False)
    assert moved.test["difference"] == pytest.approx(50 / NUM_ROWS)
    assert tags_of(uri, "reviews", 2) == {
        "rnnlane.champion.reason": "better on the test rows",
        "rnnlane.champion.forced": "false",
        "rnnlane.champion.compared_with": f"version 1 of 'reviews' (run {first})",
        "rnnlane.champion.difference": "+0.125000",
        "rnnlane.champion.interval": f"{moved.test['low']:+.6f} to {moved.test['high']:+.6f}",
        "rnnlane.champion.p_value": f"{moved.test['p_value']:.4g}",
        "rnnlane.champion.num_test_rows": "400",
    }
    described = open_client(uri).get_model_version("reviews", "2").description
    assert described.startswith(
        "champion: better on the test rows; against version 1 of 'reviews': +12.50 points (95% "
    )
    again = promote(better)
    assert (again.version, again.is_moved) == (2, False)
    for run in (same, first):
        with pytest.raises(ConfigError, match=r"must be better than the one at reviews@champion"):
            promote(run)
    assert holder(uri, "reviews", "champion").number == 2
    assert len(open_client(uri).search_model_versions("name = 'reviews'")) == 2
    # What was registered before gets no second version.
    forced = promote(first, force="it is much smaller")
    assert (forced.version, forced.is_forced, forced.reason) == (1, True, "it is much smaller")
    assert forced.test["difference"] < 0
    assert tags_of(uri, "reviews", 1)["rnnlane.champion.forced"] == "true"
    assert find_run(uri, "models:/reviews@champion", with_model=True).run_id == first
    assert find_run(uri, "models:/reviews/2").run_id == better


def test_the_pages_of_the_models_name_their_versions(uri: str, new_run: Any) -> None:
    run = new_run(10)
    for name in ("here", "there"):
        promote_in_store(uri, run, name=name, alias="champion")
    client = open_client(uri)
    (model,) = client.search_logged_models([EXPERIMENT], f"source_run_id = '{run}'")
    assert model.tags["mlflow.modelVersions"] == (
        '[{"name": "here", "version": "1"}, {"name": "there", "version": "1"}]'
    )
    assert client.get_model_version("here", "1").source == model.artifact_location


@pytest.mark.parametrize(
    ("held", "asking", "message"),
    [
        ({"num_right": 10}, {"num_right": 20, "first_key": 100}, "they share 300"),
        ({"num_right": None}, {"num_right": 20}, "predictions/test.parquet"),
        ({"num_right": None, "has_model": False}, {"num_right": 20}, "predictions/test.parquet"),
    ],
    ids=["other rows", "no predictions", "a model of an earlier version"],
)
def test_what_cannot_be_compared_takes_a_reason(
    uri: str, new_run: Any, held: Any, asking: Any, message: str, request: pytest.FixtureRequest
) -> None:
    name = request.node.callspec.id
    first, second = new_run(**held), new_run(**asking)
    promote_in_store(uri, first, name=name, alias="champion")
    with pytest.raises(ConfigError, match=message) as refused:
        promote_in_store(uri, second, name=name, alias="champion")
    assert "--force REASON" in refused.value.remedy
    assert holder(uri, name, "champion").run_id == first
    forced = promote_in_store(uri, second, name=name, alias="champion", force="new data")
    assert (forced.version, forced.test) == (2, None)
    assert tags_of(uri, name, 2)["rnnlane.champion.difference"] == "not compared"


def test_an_alias_that_moved_meanwhile_stays(
    uri: str, new_run: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, better, other = new_run(300), new_run(350), new_run(390)

    def promote(run: str) -> Any:
        return promote_in_store(uri, run, name="raced", alias="champion")

    promote(first)
    compare = promotion._compare

    def slow(*arguments: Any) -> Any:
        monkeypatch.setattr(promotion, "_compare", compare)
        promote(other)
        return compare(*arguments)

    monkeypatch.setattr(promotion, "_compare", slow)
    with pytest.raises(ConfigError, match=r"but version 2 of 'raced' has it by now"):
        promote(better)
    assert holder(uri, "raced", "champion").run_id == other


@pytest.mark.parametrize("reason", ["", " ", "x" * 1001])
def test_a_reason_says_something(uri: str, reason: str) -> None:
    with pytest.raises(ConfigError, match="a reason must have 1 to 1,000 characters"):
        promote_in_store(uri, "latest", name="reviews", alias="champion", force=reason)


@pytest.mark.parametrize(
    "address",
    ["models:/", "models:/a", "models:/a@b@", "models:/a/b/c", f"models:/a/{10**30}"],
)
def test_an_address_of_another_form_is_refused(uri: str, new_run: Any, address: str) -> None:
    new_run(1)
    with pytest.raises(ConfigError, match="is named as models:/NAME@ALIAS"):
        find_run(uri, address)


@pytest.mark.parametrize("address", ["models:/nothing@champion", "models:/nothing/1"])
def test_an_address_without_a_model_is_refused(uri: str, new_run: Any, address: str) -> None:
    new_run(1)
    with pytest.raises(ConfigError, match="but there is none at"):
        find_run(uri, address)
