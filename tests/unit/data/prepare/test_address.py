from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from rnnlane.config import ExperimentConfig, experiment_from_mapping
from rnnlane.data.prepare import address as prepared_address
from rnnlane.data.prepare.address import (
    SHAPING_MODULES,
    _shaping_files,
    code_version,
    prepared_path,
)
from rnnlane.data.sources.csv import CsvSource
from rnnlane.data.sources.generated import GeneratedSource

SOURCE_OF = {
    "csv": CsvSource(kind="csv", path="x.csv"),
    "generated": GeneratedSource(kind="generated"),
}


def experiment(path: Path, **changes: Any) -> ExperimentConfig:
    source = {"kind": "csv", "path": str(path)}
    return experiment_from_mapping(
        {"name": "x", "data": {"source": source}}, changes.pop("set", ())
    )


@pytest.fixture
def source(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    (tmp_path / "data.csv").write_text("text,label\na,1\n")
    return tmp_path / "data.csv"


def test_the_address_lies_below_the_storage(source: Path) -> None:
    path = prepared_path(experiment(source), storage="/store")
    assert path.rpartition("/")[0] == "/store/prepared"
    assert len(path.rpartition("/")[2]) == 16


def test_what_does_not_shape_the_data_does_not_change_the_address(source: Path) -> None:
    moved = source.with_name("moved.csv")
    moved.write_bytes(source.read_bytes())
    addresses = {
        prepared_path(experiment(path, set=overrides), storage="/store")
        for path in (source, moved)
        for overrides in ([], ["training.epochs=3", "data.feed=streaming", "name=other"])
    }
    assert len(addresses) == 1


def test_whatever_shapes_the_data_changes_the_address(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = tmp_path / "words"
    addresses = []

    def add(*overrides: str) -> None:
        addresses.append(prepared_path(experiment(source, set=overrides), storage="/store"))

    add()
    add("seed=1")
    add("data.val=0.2")
    add("text.max_length=7")
    words.write_text("the\n")
    add(f"text.stop_words={words}")
    words.write_text("a\n")
    add(f"text.stop_words={words}")
    source.write_text("text,label\nb,1\n")
    add()
    monkeypatch.setattr(prepared_address, "code_version", lambda _: "other")
    add()
    assert len(set(addresses)) == len(addresses)


def test_stop_words_count_by_their_words_and_not_their_file(source: Path, tmp_path: Path) -> None:
    addresses = set()
    for name in ("one", "two"):
        (tmp_path / name).write_text("the\n")
        overrides = [f"text.stop_words={tmp_path / name}"]
        addresses.add(prepared_path(experiment(source, set=overrides), storage="/store"))
    assert len(addresses) == 1


def test_each_shaping_module_is_there() -> None:
    folder = Path(prepared_address.__file__).parents[1]
    assert all((folder / f"{name}.py").is_file() for name in SHAPING_MODULES)


def test_only_the_code_of_the_own_kind_of_source_counts() -> None:
    names = {kind: {path.stem for path in _shaping_files(SOURCE_OF[kind])} for kind in SOURCE_OF}
    assert {"csv", "column_files", "base", "rows", "splits"} <= names["csv"]
    assert {"generated", "base", "rows", "splits"} <= names["generated"]
    assert not {"csv", "column_files"} & names["generated"]
    assert code_version(SOURCE_OF["csv"]) != code_version(SOURCE_OF["generated"])
    assert code_version(SOURCE_OF["csv"]) == code_version(SOURCE_OF["csv"])


def test_finding_prepared_data_does_not_import_ray_or_torch() -> None:
    code = (
        "import sys; import rnnlane.data.prepare.pipeline;"
        "assert not {'ray', 'torch', 'mlflow', 'nltk'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
