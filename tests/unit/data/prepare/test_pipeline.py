from pathlib import Path
from typing import Any

import pytest

from rnnlane.config import ExperimentConfig, experiment_from_mapping
from rnnlane.data.prepare.pipeline import check_source
from rnnlane.errors import DataError


def experiment(source: dict[str, Any], **data: Any) -> ExperimentConfig:
    return experiment_from_mapping({"name": "x", "data": {"source": source, **data}})


@pytest.fixture
def tickets(tmp_path: Path) -> Path:
    file = tmp_path / "tickets.csv"
    file.write_text("Body,Queue\nhello,a\n" + "x" * 10 + "\n")
    return file


def test_a_missing_column_is_known_before_anything_starts(tickets: Path) -> None:
    config = experiment({"kind": "csv", "path": str(tickets)}, columns={"text": "Bdy"})
    with pytest.raises(DataError) as caught:
        check_source(config)
    assert "Bdy" in str(caught.value)
    assert "Body" in str(caught.value)


def test_official_test_files_are_looked_at_too(tickets: Path, tmp_path: Path) -> None:
    test = tmp_path / "test.csv"
    test.write_text("Text,Queue\nhello,a\n")
    source = {"kind": "csv", "path": str(tickets), "test_path": str(test)}
    config = experiment(source, columns={"text": "Body", "label": "Queue"}, test="official")
    with pytest.raises(DataError, match=r"test\.csv"):
        check_source(config)


def test_what_can_be_read_passes(tickets: Path) -> None:
    columns = {"text": "Body", "label": "Queue"}
    check_source(experiment({"kind": "csv", "path": str(tickets)}, columns=columns))
    check_source(experiment({"kind": "generated"}))
