"""A new kind of source is one file and one line of the registry."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from rnnlane.config import ExperimentConfig, config_fingerprint, experiment_from_mapping
from rnnlane.config.sources import SOURCES
from rnnlane.data.prepare.address import prepared_path
from rnnlane.data.prepare.pipeline import check_source, find_prepared
from rnnlane.data.sources.base import source_of
from rnnlane.data.sources.stream import SourceRows
from rnnlane.errors import ConfigError, DataError
from rnnlane.jobs.package import files_for
from support.toy_source import REGISTRY_LINE, ToySource


@pytest.fixture(autouse=True)
def registered(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for kind, name in REGISTRY_LINE.items():
        monkeypatch.setitem(SOURCES, kind, name)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "rows").mkdir()
    (tmp_path / "rows" / "b.toy").write_text("bad:dull film\n")
    (tmp_path / "rows" / "a.toy").write_text("good:fine film\nbad:poor film\n")
    (tmp_path / "rows" / "README.md").write_text("no rows\n")


def experiment(**source: str) -> ExperimentConfig:
    settings = {"kind": "toy", "path": "rows", **source}
    return experiment_from_mapping({"name": "x", "data": {"source": settings}})


def test_an_experiment_names_it_and_errors_know_its_keys() -> None:
    config = experiment()
    assert isinstance(config.data.source, ToySource)
    assert config.model_dump()["data"]["source"] == {"kind": "toy", "path": "rows"}
    assert config_fingerprint(config) == config_fingerprint(experiment())
    with pytest.raises(ConfigError) as caught:
        experiment(pth="rows")
    assert caught.value.remedy == "did you mean `path`?"
    assert "ToySource" in ExperimentConfig.model_json_schema()["$defs"]


def test_its_files_are_listed_identified_and_read() -> None:
    config = experiment()
    source = source_of(config.data)
    assert [file.name for file in source.list_files()] == ["a.toy", "b.toy"]
    one = source_of(experiment(path="rows/b.toy").data)
    assert one.fingerprint() == hashlib.sha256(b"bad:dull film\n").hexdigest()
    tables = [table for task in SourceRows(config.data).get_read_tasks(1) for table in task()]
    rows = [(row["label"], row["text"]) for table in tables for row in table.to_pylist()]
    assert rows == [("good", b"fine film"), ("bad", b"poor film"), ("bad", b"dull film")]


def test_its_prepared_data_has_an_address_and_is_looked_for(tmp_path: Path) -> None:
    check_source(experiment())
    assert find_prepared(experiment(), storage=str(tmp_path)) is None
    before = prepared_path(experiment(), storage="/s")
    (tmp_path / "rows" / "b.toy").write_text("bad:another film\n")
    assert prepared_path(experiment(), storage="/s") != before
    with pytest.raises(DataError, match=r"data\.source\.path gone: no such file or folder"):
        find_prepared(experiment(path="gone"), storage=str(tmp_path))


def test_its_local_files_go_along_with_a_job(tmp_path: Path) -> None:
    targets = {file.target for file in files_for(experiment())}
    assert {"rows/a.toy", "rows/b.toy"} <= targets
    absolute = {file.target for file in files_for(experiment(path=str(tmp_path / "rows")))}
    assert "rows/a.toy" not in absolute
