from __future__ import annotations

import hashlib
import os
import time
from pathlib import Path

import pytest

from rnnlane.config.data import DataConfig
from rnnlane.data.sources import fingerprint as module
from rnnlane.data.sources.base import source_of
from rnnlane.data.sources.fingerprint import files_fingerprint
from rnnlane.errors import DataError

LONG_AGO_NS = 1_000_000_000_000_000_000


def write(path: Path, content: str, *, mtime_ns: int = LONG_AGO_NS) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content)
    os.utime(path, ns=(mtime_ns, mtime_ns))
    return path


def digest(path: Path, cache: Path) -> str:
    config = DataConfig.model_validate({"source": {"kind": "csv", "path": str(path)}})
    return files_fingerprint(source_of(config).list_files(), cache=cache)


@pytest.fixture
def hashed(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of the files that were read, in order."""
    names: list[str] = []
    original = module._file_digest

    def spy(file: module.SourceFile) -> str:
        names.append(file.path.name)
        return original(file)

    monkeypatch.setattr(module, "_file_digest", spy)
    return names


def test_one_file_counts_by_its_content_alone(tmp_path: Path) -> None:
    one, other = write(tmp_path / "a.csv", "x"), write(tmp_path / "b.csv", "x")
    expected = hashlib.sha256(b"x").hexdigest()
    assert digest(one, tmp_path / "c") == digest(other, tmp_path / "c") == expected


def test_a_folder_counts_by_names_and_contents(tmp_path: Path) -> None:
    for name, files in {
        "one": {"a.csv": "x", "b.csv": "y"},
        "same": {"a.csv": "x", "b.csv": "y"},
        "renamed": {"a.csv": "x", "c.csv": "y"},
        "swapped": {"a.csv": "y", "b.csv": "x"},
    }.items():
        for file, content in files.items():
            write(tmp_path / name / file, content)
    digests = {
        name: digest(tmp_path / name, tmp_path / "cache")
        for name in ("one", "same", "renamed", "swapped")
    }
    assert digests["one"] == digests["same"]
    assert len(set(digests.values())) == 3


def test_a_second_run_reads_nothing(tmp_path: Path, hashed: list[str]) -> None:
    path = write(tmp_path / "a.csv", "x")
    assert digest(path, tmp_path / "cache") == digest(path, tmp_path / "cache")
    assert hashed == ["a.csv"]


def test_a_changed_size_or_time_is_noticed(tmp_path: Path) -> None:
    cache, path = tmp_path / "cache", tmp_path / "a.csv"
    digests = [
        digest(write(path, "x"), cache),
        digest(write(path, "xy"), cache),
        digest(write(path, "zy", mtime_ns=LONG_AGO_NS + 1), cache),
    ]
    assert len(set(digests)) == 3


def test_a_file_changed_just_now_is_not_remembered(tmp_path: Path, hashed: list[str]) -> None:
    now = time.time_ns()
    path = write(tmp_path / "a.csv", "x", mtime_ns=now)
    before = digest(path, tmp_path / "cache")
    write(path, "y", mtime_ns=now)
    assert digest(path, tmp_path / "cache") != before
    assert len(hashed) == 2


@pytest.mark.parametrize("content", [b"", b"0123", b"\xff" * 64])
def test_a_damaged_cache_is_ignored(tmp_path: Path, content: bytes) -> None:
    path, cache = write(tmp_path / "a.csv", "x"), tmp_path / "cache"
    expected = digest(path, cache)
    (entry,) = cache.iterdir()
    entry.write_bytes(content)
    assert digest(path, cache) == expected


def test_a_cache_that_cannot_be_written_is_no_error(tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", "x")
    assert digest(path, write(tmp_path / "file", "in the way") / "cache")


def test_a_file_that_vanishes_is_named(tmp_path: Path) -> None:
    config = DataConfig.model_validate(
        {"source": {"kind": "csv", "path": str(write(tmp_path / "a.csv", "x"))}}
    )
    files = source_of(config).list_files()
    (tmp_path / "a.csv").unlink()
    with pytest.raises(DataError, match=r"a\.csv: no such file"):
        files_fingerprint(files, cache=tmp_path / "cache")


def test_a_generated_source_counts_by_its_settings() -> None:
    def of(**settings: int) -> str:
        source = {"kind": "generated", **settings}
        return source_of(DataConfig.model_validate({"source": source})).fingerprint()

    assert of() == of()
    assert len({of(), of(seed=1), of(num_rows=50)}) == 3
