from __future__ import annotations

import base64
import json
import logging
import zlib
from types import SimpleNamespace
from typing import Any

import pytest

from rnnlane.tracking import views

VIEW_TAG = "mlflow.sharedViewState.rnnlane-1"
KIND_TAG = "mlflow.experimentKind"
OWN_VIEW = {"mlflow.sharedViewState.0123": "a view that somebody saved"}


class Store:
    """Stands for a client, and remembers an experiment's tags."""

    def __init__(self, tags: dict[str, str], *, refuses: str | None = None):
        self.tags = tags
        self._refuses = refuses

    def get_experiment(self, _experiment_id: str) -> Any:
        return SimpleNamespace(tags=dict(self.tags))

    def set_experiment_tag(self, _experiment_id: str, key: str, value: str) -> None:
        if key == self._refuses:
            raise PermissionError("PERMISSION_DENIED")
        self.tags[key] = value


def prepared(store: Store) -> str | None:
    return views.prepare_experiment(store, "1")  # type: ignore[arg-type]


def test_a_new_experiment_gets_its_kind_and_a_view_and_keeps_both() -> None:
    store = Store({})
    assert prepared(store) == "rnnlane-1"
    assert store.tags.keys() == {VIEW_TAG, KIND_TAG}
    assert store.tags[KIND_TAG] == "custom_model_development"
    assert views.experiment_tags(store.tags) == {}


def test_what_people_chose_or_changed_stays() -> None:
    chosen = {**OWN_VIEW, VIEW_TAG: "changed", KIND_TAG: "genai_development"}
    assert views.experiment_tags(chosen) == {}
    inferred = {**OWN_VIEW, KIND_TAG: "no_inferred_type"}
    assert views.experiment_tags(inferred).keys() == {VIEW_TAG, KIND_TAG}


@pytest.mark.parametrize(("refused", "view"), [(VIEW_TAG, None), (KIND_TAG, "rnnlane-1")])
def test_a_store_that_refuses_is_a_note_and_the_link_names_no_view_that_is_missing(
    refused: str, view: str | None, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        assert prepared(Store({}, refuses=refused)) == view
    assert "PERMISSION_DENIED" in caplog.text


def test_the_view_fits_and_says_the_same_to_old_and_new_versions() -> None:
    tag = views.experiment_tags({})[VIEW_TAG]
    # Servers before MLflow 3.17 refuse longer ones.
    assert len(tag) <= 5000
    value = json.loads(tag)
    listed = {key: value.pop(key) for key in ("name", "createdAt", "updatedAt", "state")}
    assert listed["name"] == "rnnlane"
    packed = listed["state"].removeprefix("deflate;")
    assert json.loads(zlib.decompress(base64.b64decode(packed))) == value
    assert value["selectedColumns"][:2] == [
        "metrics.`best/val/accuracy`",
        "metrics.`test/accuracy`",
    ]


def test_every_chart_is_in_a_section_and_has_an_id_of_its_own() -> None:
    value = json.loads(views.experiment_tags({})[VIEW_TAG])
    sections = [section["uuid"] for section in value["compareRunSections"]]
    charts = value["compareRunCharts"]
    assert {chart["metricSectionId"] for chart in charts} == set(sections)
    assert len({chart["uuid"] for chart in charts}) == len(charts)
