import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from rnnlane.data.file_cache import NO_COPIES
from rnnlane.data.prepare.sharding import (
    Layout,
    cut_rows,
    parts_of,
    publish_shards,
    runs_of_files,
    write_shards,
)
from rnnlane.data.prepare.shards import JoinedShards, find_shards, shards_home
from rnnlane.data.prepare.writer import draft_folder
from rnnlane.errors import DataError
from support.shards import damaged, prepared_of
from support.tiny import tiny_split

SPLIT = tiny_split(400, 1, 5)  # tokens 1 to 29: a label is the remainder of the last one
SPLIT = replace(SPLIT, unknown_keys=np.arange(len(SPLIT.unknown_keys), dtype=np.uint32))
# Rows of some 8 tokens: shards of 37 rows, row groups of 9, 100 rows a task.
SMALL = Layout(shard_bytes=37 * 32, group_bytes=9 * 32, least_group_bytes=1, task_bytes=100 * 32)


@pytest.fixture
def prepared(tmp_path: Path):
    return prepared_of(tmp_path / "prepared", SPLIT, 6)


def written(prepared, folder, layout: Layout, split: str = "train"):
    tasks = parts_of(prepared, split, layout)
    cut = [
        cut_rows(prepared, split, files, tasks) for files in runs_of_files(prepared, split, layout)
    ]
    return [
        write_shards(prepared, split, folder, parts, layout, *tables)
        for parts, *tables in zip(tasks, *cut, strict=True)
    ]


def laid_out(prepared, layout: Layout = SMALL, split: str = "train"):
    with draft_folder(shards_home(prepared, split)) as folder:
        of_tasks = written(prepared, folder, layout, split)
        return publish_shards(prepared, split, folder, [one for task in of_tasks for one in task])


def test_shards_have_the_rows_of_each_class_in_the_order_of_their_ids(prepared):
    assert find_shards(prepared, "train") is None
    laid_out(prepared)
    shards = find_shards(prepared, "train")
    assert len(parts_of(prepared, "train", SMALL)) > 1
    assert len(runs_of_files(prepared, "train", SMALL)) > 1
    assert shards.class_counts.tolist() == SPLIT.class_counts(6).tolist()
    assert max(map(len, shards.group_rows)) >= 2
    for label, of_class in enumerate(shards.group_rows):
        found = []
        for shard, groups in enumerate(of_class):
            assert max(groups) <= 10
            for group, num_rows in enumerate(groups):
                rows = shards.read(label, shard, group, cache=NO_COPIES)
                held = SPLIT.take(rows.row_ids)
                assert len(rows.row_ids) == num_rows
                np.testing.assert_array_equal(rows.token_ids, held.token_ids)
                np.testing.assert_array_equal(rows.offsets, held.offsets)
                np.testing.assert_array_equal(rows.unknown_keys, held.unknown_keys)
                found += rows.row_ids.tolist()
        assert found == np.flatnonzero(SPLIT.labels == label).tolist()


def test_a_part_of_a_row_group_is_cut_from_it(prepared):
    rows = laid_out(prepared, Layout()).read(0, 0, 0, cache=NO_COPIES)
    part, held = rows.cut(20, 60), SPLIT.take(rows.row_ids[20:60])
    assert 0 < len(held.unknown_keys) < len(rows.unknown_keys)
    for name in ("token_ids", "offsets", "unknown_keys"):
        np.testing.assert_array_equal(getattr(part, name), getattr(held, name))


def test_the_shards_of_two_splits_are_those_of_one_behind_the_other(tmp_path):
    half = len(SPLIT) // 2
    splits = {"train": np.arange(half), "val": np.arange(half, len(SPLIT))}
    parts = [
        laid_out(prepared_of(tmp_path / name, SPLIT.take(rows), 6, name=name), SMALL, split=name)
        for name, rows in splits.items()
    ]
    both = JoinedShards(*parts)
    assert both.name != parts[0].name
    assert both.tokens_a_row == pytest.approx(len(SPLIT.token_ids) / len(SPLIT))
    assert both.class_counts.tolist() == SPLIT.class_counts(6).tolist()
    for label, of_class in enumerate(both.group_rows):
        found = []
        for shard, groups in enumerate(of_class):
            for group in range(len(groups)):
                rows = both.read(label, shard, group, cache=NO_COPIES)
                held = SPLIT.take(rows.row_ids)
                np.testing.assert_array_equal(rows.token_ids, held.token_ids)
                np.testing.assert_array_equal(rows.unknown_keys, held.unknown_keys)
                found += rows.row_ids.tolist()
        assert found == np.flatnonzero(SPLIT.labels == label).tolist()


def test_row_groups_are_smaller_where_there_are_many_classes():
    assert Layout().rows_of_group(2, 100) == (2 << 20) // 400
    assert Layout().rows_of_group(256, 100) == (64 << 20) // 256 // 400
    assert Layout().rows_of_group(10**6, 100) == (64 << 10) // 400


@pytest.mark.parametrize("how", ["deleted", "cut"])
def test_shards_are_laid_out_again_where_a_file_is_missing_or_cut(prepared, how, caplog):
    shards = laid_out(prepared)
    info = shards.manifest.classes[1][0]
    damaged(Path(shards.path) / shards.manifest.data_folder / info.file, how)
    assert find_shards(prepared, "train") is None
    assert f"{info.file} must have {info.num_bytes} bytes" in caplog.text


@pytest.mark.parametrize("how", ["deleted", "cut", "altered"])
def test_a_shard_that_is_damaged_while_it_is_read_is_told_in_one_line(prepared, how):
    shards = laid_out(prepared)
    info = shards.manifest.classes[1][0]
    file = Path(shards.path) / shards.manifest.data_folder / info.file
    damaged(file, how)
    with pytest.raises(DataError, match="the prepared data is damaged: ") as told:
        _ = [shards.read(1, 0, group, cache=NO_COPIES) for group in range(len(info.rows))]
    assert told.value.where == str(file)
    assert "\n" not in told.value.message


def test_rows_that_another_writer_put_there_are_refused(prepared):
    shards = laid_out(prepared)
    one, other = (
        Path(shards.path) / shards.manifest.data_folder / shards.manifest.classes[1][n].file
        for n in (0, 1)
    )
    os.replace(other, one)
    with pytest.raises(DataError, match="row group 0 is not as it was written"):
        shards.read(1, 0, 0, cache=NO_COPIES)


def test_prepared_data_that_is_damaged_is_not_laid_out(prepared):
    file = Path(prepared.path) / "data" / "train" / "part-000001.parquet"
    damaged(file, "altered")
    with pytest.raises(DataError, match=r"train/part-000001.parquet is not as it was written"):
        laid_out(prepared)
    assert find_shards(prepared, "train") is None
    assert not Path(shards_home(prepared, "train")).exists()


def test_shards_without_all_rows_are_not_published(prepared):
    with draft_folder(shards_home(prepared, "train")) as folder:
        first, *_ = written(prepared, folder, SMALL)
        with pytest.raises(DataError, match=r"of train must have \d+ rows, but got"):
            publish_shards(prepared, "train", folder, first)
    assert find_shards(prepared, "train") is None
