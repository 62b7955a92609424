"""Tasks of Ray whose results come in order."""

import time
from collections.abc import Iterator
from contextlib import closing
from functools import partial
from pathlib import Path

import pytest
import ray

from rnnlane.data.prepare.tasks import results_in_order

NUM_CPUS = 2


@pytest.fixture(scope="module", autouse=True)
def _ray() -> Iterator[None]:
    ray.init("local", num_cpus=NUM_CPUS, include_dashboard=False, logging_level="ERROR")
    yield
    ray.shutdown()


@ray.remote
def written(folder: Path, number: int, failing: int = -1) -> int:
    (folder / f"begun-{number}").touch()
    if number == failing:
        raise ValueError(number)
    time.sleep(0.2 if number % 3 else 0.5)
    (folder / f"done-{number}").touch()
    return number


def names(folder: Path, kind: str) -> set[int]:
    return {int(file.name.split("-")[1]) for file in folder.glob(f"{kind}-*")}


def starts(folder: Path, count: int, **options: int):
    return [partial(written.remote, folder, number, **options) for number in range(count)]


def test_results_come_in_order(tmp_path):
    assert list(results_in_order(starts(tmp_path, 12))) == list(range(12))
    assert list(results_in_order([])) == []


def test_those_under_way_are_waited_for_where_one_fails_and_no_other_begins(tmp_path):
    with pytest.raises(ray.exceptions.RayTaskError):
        list(results_in_order(starts(tmp_path, 100, failing=2)))
    begun = names(tmp_path, "begun")
    assert names(tmp_path, "done") == begun - {2}
    assert len(begun) <= 4 * NUM_CPUS + 3


def test_those_under_way_are_waited_for_where_the_reader_leaves(tmp_path):
    with closing(results_in_order(starts(tmp_path, 100))) as results:
        assert next(results) == 0
    begun = names(tmp_path, "begun")
    assert names(tmp_path, "done") == begun
    assert len(begun) < 20
