from __future__ import annotations

import json
import random
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from itertools import combinations, pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import ray

from rnnlane.config import ExperimentConfig, experiment_from_mapping
from rnnlane.data.prepare import chunks, described
from rnnlane.data.prepare import pipeline as module
from rnnlane.data.prepare.pipeline import find_prepared, prepare, prepared_path
from rnnlane.data.prepare.prepared import SPLITS, PreparedData
from rnnlane.data.prepare.purpose import CLASSIFICATION, PRETRAINING, Purpose
from rnnlane.data.prepare.sharding import parts_of, runs_of_files
from rnnlane.data.prepare.shards import shards_home
from rnnlane.errors import DataError
from rnnlane.execution import streaming
from rnnlane.records.events import RunEvents
from rnnlane.records.progress import Progress
from support.events import Remembered

Row = tuple[str, Any]


@pytest.fixture(scope="module", autouse=True)
def _ray(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    ray.init("local", num_cpus=2, include_dashboard=False, logging_level="ERROR")
    yield
    ray.shutdown()


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def experiment(*overrides: str, **source: Any) -> ExperimentConfig:
    values = {"name": "x", "data": {"source": source}, "text": {"vocabulary": {"min_count": 1}}}
    return experiment_from_mapping(values, overrides)


def reviews(count: int = 60) -> list[Row]:
    moods = ("bad", "good")
    return [(f"a {moods[n % 2]} film, number {n}.", moods[n % 2]) for n in range(count)]


def write_jsonl(path: Path, rows: list[Row]) -> Path:
    records = ({"text": text, "label": label} for text, label in rows)
    path.write_text("".join(json.dumps(record) + "\n" for record in records))
    return path


def texts_of(prepared: PreparedData) -> dict[str, list[tuple[str, str]]]:
    """The rows of each split as text and class name, in order."""
    vocabulary = prepared.vocabulary()
    result = {}
    for name in SPLITS:
        split = prepared.split(name)
        bounds = zip(split.offsets[:-1], split.offsets[1:], strict=True)
        texts = [" ".join(vocabulary.decode(split.token_ids[a:b].tolist())) for a, b in bounds]
        names = [prepared.class_names[label] for label in split.labels]
        result[name] = list(zip(texts, names, strict=True))
    return result


def left_in(storage: Path) -> list[Path]:
    return [path for path in storage.rglob("*") if path.is_file()]


def error_of(config: ExperimentConfig, storage: Path) -> DataError:
    with pytest.raises(DataError) as caught:
        prepare(config, storage=str(storage))
    assert type(caught.value) is DataError
    assert "\n" not in str(caught.value)
    assert left_in(storage) == []
    return caught.value


def test_every_kind_of_file_gives_the_same_rows_as_a_path_a_folder_or_a_uri(tmp_path: Path) -> None:
    rows = reviews()
    write_jsonl(tmp_path / "a.jsonl", rows)
    (tmp_path / "a.csv").write_text("".join(["text,label\n", *(f'"{t}",{c}\n' for t, c in rows)]))
    (tmp_path / "parts").mkdir()
    for n in range(3):
        part = rows[n * 20 : n * 20 + 20]
        table = pa.table({"text": [t for t, _ in part], "label": [c for _, c in part]})
        pq.write_table(table, tmp_path / "parts" / f"{n}.parquet")
    storage = tmp_path / "store"
    sources = [
        {"kind": "jsonl", "path": str(tmp_path / "a.jsonl")},
        {"kind": "csv", "path": str(tmp_path / "*.csv")},
        {"kind": "parquet", "path": f"file://{tmp_path}/parts"},
    ]
    outcomes = [
        texts_of(prepare(experiment(**source), storage=f"file://{storage}")) for source in sources
    ]
    assert outcomes[0] == outcomes[1] == outcomes[2]
    assert {name: len(rows) for name, rows in outcomes[0].items()} == {
        "train": 43,
        "val": 5,
        "test": 12,
    }
    assert all(name in text for rows in outcomes[0].values() for text, name in rows)
    assert len(list((storage / "prepared").iterdir())) == 3


def test_the_order_of_the_input_does_not_matter(tmp_path: Path) -> None:
    rows = reviews(80) + reviews(30)
    outcomes = []
    for name in ("one", "two"):
        path = write_jsonl(tmp_path / f"{name}.jsonl", rows)
        prepared = prepare(experiment(kind="jsonl", path=str(path)), storage=str(tmp_path))
        outcomes.append((texts_of(prepared), prepared.vocabulary_text(), prepared.manifest.merged))
        random.Random(0).shuffle(rows)
    assert outcomes[0] == outcomes[1]
    assert outcomes[0][2]["duplicates"] == 30


def test_rows_cut_into_many_partitions_and_files_give_the_same_data(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Repeated ids and texts, groups, texts of two labels, and texts without labels beside them."""
    rows = [
        {"text": text, "label": label, "id": n, "group": f"g{n // 7}"}
        for n, (text, label) in enumerate(reviews(150))
    ]
    rows += [{**row, "id": f"again {n}"} for n, row in enumerate(rows[:20])]
    rows += [{**rows[n], "text": f"another {n}"} for n in range(9)]
    rows += [{**rows[n], "id": f"x{n}", "label": "good"} for n in range(30, 50)]
    (tmp_path / "rows").mkdir()
    for n in range(5):
        lines = [json.dumps(row) + "\n" for row in rows[n::5]]
        (tmp_path / "rows" / f"{n}.jsonl").write_text("".join(lines))
    texts = [f"a text without a label, {n}" for n in range(60)] + [
        row["text"] for row in rows[0:60:3]
    ]
    (tmp_path / "more.txt").write_text("".join(f"{text}\n" for text in texts))
    columns = {"id": "id", "group": "group"}
    source = {"kind": "jsonl", "path": str(tmp_path / "rows")}
    more = {"source": {"kind": "text", "path": str(tmp_path / "more.txt")}}
    values = {"source": source, "columns": columns, "unlabeled": more, "max_dropped": 0.5}
    config = experiment_from_mapping({"name": "x", "data": values})
    found = []
    for name in ("one", "many"):
        if name == "many":
            monkeypatch.setattr(described, "ROWS_OF_PARTITION", 9)
            monkeypatch.setattr(module, "block_bytes", lambda _: 4_000)
            monkeypatch.setattr(chunks, "CHUNK_BYTES", 8_000)
        for purpose in (CLASSIFICATION, PRETRAINING, Purpose(reads_unlabeled=True)):
            prepared = prepare(config, storage=str(tmp_path / name), purpose=purpose)
            manifest = prepared.manifest
            facts = manifest.model_dump(
                include={"splits", "dropped", "merged", "conflicts", "cut", "groups", "repaired"}
            )
            files = [name for name in manifest.files if name.startswith("train/")]
            assert (len(files) > 1) == (name == "many")
            rows_of = {
                split: (prepared.split(split).token_ids.tolist(), prepared.split(split).labels)
                for split in manifest.splits
            }
            found.append((facts, prepared.vocabulary_text(), repr(rows_of)))
    assert found[:3] == found[3:]
    assert found[0][0]["dropped"]["duplicate_id"] == 9
    assert found[1][0]["dropped"]["unlabeled_like_val_or_test"] > 0


@pytest.mark.parametrize(
    "layout",
    [
        streaming.Layout(),
        streaming.Layout(shard_bytes=20_000, group_bytes=4_000, task_bytes=8_000),
    ],
    ids=["one task", "many"],
)
def test_shards_that_tasks_write_are_those_of_one_process(
    layout: streaming.Layout, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(chunks, "CHUNK_BYTES", 20_000)
    config = experiment(kind="generated", num_rows=5_000)
    prepared = prepare(config, storage=str(tmp_path))
    monkeypatch.setattr(streaming, "LAYOUT", layout)
    is_one = layout == streaming.Layout()
    assert (len(parts_of(prepared, "train", layout)) == 1) == is_one
    assert (len(runs_of_files(prepared, "train", layout)) == 1) == is_one
    by_tasks = streaming.made_shards(prepared, "train", RunEvents()).manifest.classes
    shutil.rmtree(shards_home(prepared, "train"))
    monkeypatch.setattr(ray, "is_initialized", lambda: False)
    alone = streaming.made_shards(prepared, "train", RunEvents()).manifest.classes
    assert by_tasks == alone


class Stages(RunEvents):
    def __init__(self, stages: list[tuple[str, int, int | None]]):
        self._stages = stages
        self.num_bytes: dict[str, int | None] = {}

    def progress(self, progress: Progress) -> None:
        self.num_bytes[progress.stage] = progress.num_bytes
        self._stages.append((progress.stage, progress.done, progress.total))


def test_generated_reviews_are_prepared_reused_and_found(tmp_path: Path) -> None:
    config = experiment(kind="generated", num_rows=9000)
    stages: list[tuple[str, int, int | None]] = []
    assert find_prepared(config, storage=str(tmp_path)) is None
    first = prepare(config, storage=str(tmp_path), events=(events := Stages(stages)))
    assert first.path == prepared_path(config, storage=str(tmp_path))
    assert ("read", 9000, None) in stages
    assert events.num_bytes["read"] == events.num_bytes["encode"]
    assert (events.num_bytes["read"] or 0) > 9000 * 100
    assert stages[-1] == ("encode", 9000, 9000)
    stages.clear()
    again = prepare(config, storage=str(tmp_path), events=Stages(stages))
    found = find_prepared(config, storage=str(tmp_path))
    assert stages == []
    assert found is not None
    assert again.manifest == found.manifest == first.manifest
    manifest = first.manifest
    total = sum(stats.num_rows for stats in manifest.splits.values())
    assert total + manifest.merged["duplicates"] == 9000
    assert manifest.class_names == ("negative", "positive")


def test_texts_that_a_person_reads_as_the_same_are_merged(tmp_path: Path) -> None:
    rows = reviews(60) + [(text.upper().replace(" ", " \n"), label) for text, label in reviews(60)]
    path = write_jsonl(tmp_path / "a.jsonl", rows)
    prepared = prepare(experiment(kind="jsonl", path=str(path)), storage=str(tmp_path))
    assert sum(stats.num_rows for stats in prepared.manifest.splits.values()) == 60
    assert prepared.manifest.merged["duplicates"] == 60


def test_what_the_kept_tokens_do_not_tell_apart_stands_on_one_side(tmp_path: Path) -> None:
    """Of 100 texts the first tokens are the same, of 100 others they are not."""
    words = "fine odd long short new old dark light loud calm".split()  # noqa: SIM905
    rows = [(f"they all begin like this and end {words[n % 10]} {n}", "good") for n in range(100)]
    rows += [(f"{words[n % 10]} {words[n // 10]} films are rare {n}", "bad") for n in range(100)]
    rows += [(f"rare are {words[n % 10]} {words[n // 10]} films {n}", "good") for n in range(100)]
    path = write_jsonl(tmp_path / "a.jsonl", rows)
    manifests = {}
    for max_length in (400, 5):
        config = experiment(f"text.max_length={max_length}", kind="jsonl", path=str(path))
        prepared = prepare(config, storage=str(tmp_path))
        manifests[max_length] = prepared.manifest
    sequences = [
        {split.token_ids[a:b].tobytes() for a, b in pairwise(split.offsets)}
        for split in map(prepared.split, SPLITS)
    ]
    assert all(one.isdisjoint(other) for one, other in combinations(sequences, 2))
    used = {
        max_length: [manifest.splits[name].num_rows for name in SPLITS]
        for max_length, manifest in manifests.items()
    }
    dropped = manifests[5].dropped
    assert (used[400], manifests[400].dropped) == ([216, 24, 60], {})
    assert used[5][2] == 60
    assert 216 - used[5][0] == dropped["train_like_val_or_test"] > 50
    assert 24 - used[5][1] == dropped["val_like_test"]
    counts = [json.loads(line)["count"] for line in prepared.vocabulary_text().splitlines()]
    assert sum(counts) == manifests[5].splits["train"].num_tokens


def test_an_official_test_split_stays_as_it_is(tmp_path: Path) -> None:
    rows = reviews(60)
    config = experiment(
        "data.test=official",
        kind="jsonl",
        path=str(write_jsonl(tmp_path / "train.jsonl", rows)),
        test_path=str(write_jsonl(tmp_path / "test.jsonl", rows[:10])),
    )
    prepared = prepare(config, storage=str(tmp_path))
    assert prepared.manifest.splits["test"].num_rows == 10
    assert prepared.manifest.merged["train_also_in_test"] == 10


def test_bad_rows_are_counted_and_good_ones_kept(tmp_path: Path) -> None:
    content = ["text,label,n\n", *(f'"{t}",{c},{n}\n' for n, (t, c) in enumerate(reviews(40)))]
    content += ["no label\n", ",good,50\n", " <br /> ,good,51\n", "other id,good,3\n"]
    data = "".join(content).encode() + b"caf\xe9 film,good,52\n"
    (tmp_path / "a.csv").write_bytes(data)
    limits = ["data.max_dropped=0.1", "data.max_repaired=0.1"]
    config = experiment("data.columns.id=n", *limits, kind="csv", path=str(tmp_path / "a.csv"))
    manifest = prepare(config, storage=str(tmp_path)).manifest
    assert manifest.dropped == {"duplicate_id": 1, "empty_text": 2, "null_label": 1}
    assert manifest.repaired == {"invalid_utf8": 1}
    assert sum(stats.num_rows for stats in manifest.splits.values()) == 41


def test_a_review_of_50_megabytes_is_cut_and_counted(tmp_path: Path) -> None:
    rows = [*reviews(), ("word " * 10_000_000, "good")]
    path = write_jsonl(tmp_path / "a.jsonl", rows)
    config = experiment("text.max_length=1000", kind="jsonl", path=str(path))
    manifest = prepare(config, storage=str(tmp_path)).manifest
    assert manifest.cut == {"max_chars": 1, "max_length": 1}
    assert max(stats.length_quantiles["max"] for stats in manifest.splits.values()) == 1000


def test_what_is_wrong_with_the_data_is_said_in_one_line_and_leaves_nothing(
    tmp_path: Path,
) -> None:
    storage = tmp_path / "store"

    def failing(rows: list[Row], *overrides: str) -> DataError:
        path = write_jsonl(tmp_path / "a.jsonl", rows)
        return error_of(experiment(*overrides, kind="jsonl", path=str(path)), storage)

    assert "a.jsonl:1 label" in str(failing([("x", [1])]))
    assert "'mood'" in str(failing([*reviews(), ("x", "mood")], "data.classes=[bad, good]"))
    assert "at least two classes" in failing([(t, "good") for t, _ in reviews()]).message
    assert "has fewer: 'rare': 1" in failing([*reviews(), ("x", "rare")]).message
    assert "none is left (60 null_label)" in failing([(t, None) for t, _ in reviews()]).message
    third = [(t if n % 3 else None, label) for n, (t, label) in enumerate(reviews())]
    assert "20 of 60 (33.3%) are (20 null_text)" in failing(third).message
    ratings = [(text, f"0.{n:02}") for n, (text, _) in enumerate(reviews())]
    assert "such as '0.01'" in failing(ratings[1:]).message
    words = [(f"word{n}", label) for n, (_, label) in enumerate(reviews())]
    assert "be missing from the vocabulary" in failing(words).message
    assert "at least 9999 times" in failing(reviews(), "text.vocabulary.min_count=9999").message
    (tmp_path / "a.csv").write_text("txt,label\na,1\n")
    missing = error_of(experiment(kind="csv", path=str(tmp_path / "a.csv")), storage)
    assert missing.remedy == "did you mean 'txt'? set data.columns.text"


def test_a_source_that_changes_while_it_is_read_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_jsonl(tmp_path / "a.jsonl", reviews())
    original = module.select_rows

    def change(*args: Any, **options: Any) -> Any:
        write_jsonl(path, reviews(61))
        return original(*args, **options)

    monkeypatch.setattr(module, "select_rows", change)
    error = error_of(experiment(kind="jsonl", path=str(path)), tmp_path / "store")
    assert "it changed" in error.message


def test_a_storage_that_fails_in_a_task_is_told_and_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_jsonl(tmp_path / "a.jsonl", reviews())
    original = module.write_vocabulary

    def block(folder: Any, text: str) -> None:
        original(folder, text)
        (Path(folder.path) / "train").write_text("in the way")

    monkeypatch.setattr(module, "write_vocabulary", block)
    error = error_of(experiment(kind="jsonl", path=str(path)), tmp_path / "store")
    assert error.where is not None
    assert "train/part-000000.parquet" in error.where


def test_two_at_once_end_with_one_result(tmp_path: Path) -> None:
    config = experiment(kind="generated", num_rows=3000)
    results: list[PreparedData] = []
    threads = [
        threading.Thread(
            target=lambda: results.append(prepare(config, storage=str(tmp_path / "store")))
        )
        for _ in range(2)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(results) == 2
    contents = [[split.token_ids for split in map(data.split, SPLITS)] for data in results]
    for one, other in zip(*contents, strict=True):
        np.testing.assert_array_equal(one, other)


def test_one_that_is_killed_leaves_nothing_that_looks_finished(tmp_path: Path) -> None:
    path = write_jsonl(tmp_path / "a.jsonl", reviews())
    config = experiment(kind="jsonl", path=str(path))
    storage = tmp_path / "store"
    code = (
        "import os, sys; from rnnlane.data.prepare import pipeline as m; import json;"
        "from rnnlane.config import ExperimentConfig; import ray;"
        "ray.init('local', num_cpus=1, include_dashboard=False, logging_level='ERROR');"
        "m.publish = lambda *a, **k: os.kill(os.getpid(), 9);"
        "m.prepare(ExperimentConfig.model_validate_json(sys.argv[1]), storage=sys.argv[2])"
    )
    killed = subprocess.run(
        [sys.executable, "-c", code, config.model_dump_json(), str(storage)], check=False
    )
    assert killed.returncode == -9
    (left,) = (storage / "prepared").glob("*/data-*")
    assert list(left.rglob("*.parquet"))
    assert find_prepared(config, storage=str(storage)) is None
    prepared = prepare(config, storage=str(storage))
    assert prepared.manifest.data_folder != left.name
    assert sum(stats.num_rows for stats in prepared.manifest.splits.values()) == 60


def test_texts_that_ray_moves_to_the_disk_are_told_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config, events = experiment(kind="generated", num_rows=9000), Remembered()
    prepare(config, storage=str(tmp_path / "room"), events=events)
    assert events.notes == []
    monkeypatch.setattr(module, "object_store_bytes", lambda: 1e6)
    prepare(config, storage=str(tmp_path / "none"), events=events)
    [note] = events.notes
    assert note.startswith("texts and tokens fill Ray's object store (0.0 GiB): the rest waits")


def test_ray_data_keeps_quiet_and_its_own_settings(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    context = ray.data.DataContext.get_current()
    before = (context.target_max_block_size, context.enable_progress_bars)
    prepare(experiment(kind="generated", num_rows=500), storage=str(tmp_path))
    time.sleep(0.2)
    output = capfd.readouterr()
    assert "ray" not in (output.out + output.err).lower()
    assert (context.target_max_block_size, context.enable_progress_bars) == before
