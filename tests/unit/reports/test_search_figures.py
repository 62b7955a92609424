from __future__ import annotations

import math
import warnings
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import matplotlib.image
import pytest

from rnnlane.records.search import SearchRecord
from rnnlane.reports.search_figures import save_clip_and_layers, write_pictures
from support.search_records import (
    LAYERS,
    MULTIPLE,
    POLICY,
    RATE,
    SPACE,
    search,
    search_of_learning_rate,
    trial,
)


@pytest.fixture(autouse=True)
def _warnings_are_errors() -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield


def test_grid_is_not_drawn_where_neither_clip_nor_layers_vary(tmp_path: Path) -> None:
    record = search([trial(0, 0.5, {RATE: 1e-3})], space={RATE: SPACE[RATE]})
    assert save_clip_and_layers(record, tmp_path / "grid.png") is False
    assert "clip_and_layers.png" not in {path.name for path in write_pictures(record, tmp_path)}


PARAMS = {POLICY: "auto", MULTIPLE: 1.0, LAYERS: 2, RATE: 1e-3}
EXPLODED = [trial(i, 10.0 ** (i * 3), {**PARAMS, RATE: 10.0**-i}) for i in range(12)]


@pytest.mark.parametrize(
    "record",
    [
        search([]),
        search([trial(0, None, PARAMS, state="running")]),
        search([trial(0, None, PARAMS, state="failed", ended_at=5.0)]),
        search([trial(0, 0.8, PARAMS, ended_at=5.0)], best=0),
        search([trial(i, math.nan, PARAMS, state="pruned") for i in range(5)]),
        search([trial(i, 0.5, PARAMS, state="cut", clip_norm=2.0) for i in range(12)], best=0),
        search([trial(i, 0.5, {}) for i in range(5)], space={}),
        replace(search_of_learning_rate(), is_larger_better=False),
        search(EXPLODED, is_larger_better=False, best=0),
    ],
    ids=["none", "running", "failed", "one", "nan", "constant", "no space", "loss", "exploded"],
)
def test_any_search_is_drawn_without_a_warning(tmp_path: Path, record: SearchRecord) -> None:
    for path in write_pictures(record, tmp_path / "pictures"):
        assert matplotlib.image.imread(path).std() > 0.005


def test_a_whole_search_has_all_pictures(tmp_path: Path) -> None:
    assert [path.name for path in write_pictures(search_of_learning_rate(), tmp_path)] == [
        "best_value.png",
        "clip_and_layers.png",
        "gradient_norms.png",
        "importance.png",
        "parallel_coordinates.png",
        "learning_curves.png",
    ]
