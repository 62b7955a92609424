"""Telling errors apart, and opening stores."""

from __future__ import annotations

import sqlite3
from contextlib import closing, nullcontext
from pathlib import Path

import pytest
import requests

from rnnlane.errors import ResourceError, TrackingError
from rnnlane.tracking.client import (
    _check_version,
    experiment_id,
    is_away,
    one_line,
    open_client,
    store_errors,
)
from rnnlane.tracking.uris import sqlite_file


def http_error(status: int) -> requests.HTTPError:
    response = requests.Response()
    response.status_code = status
    return requests.HTTPError(response=response)


@pytest.mark.parametrize(
    ("error", "away"),
    [
        (requests.ConnectionError("refused"), True),
        (http_error(503), True),
        (http_error(429), True),
        (http_error(401), True),
        (http_error(403), True),
        (http_error(400), False),
        (http_error(404), False),
        (ConnectionResetError(), True),
        (FileNotFoundError("the folder is gone"), False),
        (ValueError("not a number"), False),
        (RuntimeError("no credentials for the bucket"), True),
    ],
)
def test_only_what_may_work_later_counts_as_away(error: Exception, away: bool) -> None:
    assert is_away(error) == away


@pytest.mark.parametrize(
    ("code", "away"),
    [
        ("INTERNAL_ERROR", True),
        ("TEMPORARILY_UNAVAILABLE", True),
        ("REQUEST_LIMIT_EXCEEDED", True),
        ("PERMISSION_DENIED", True),
        ("INVALID_PARAMETER_VALUE", False),
        ("RESOURCE_DOES_NOT_EXIST", False),
    ],
)
def test_an_answer_of_mlflow_is_judged_by_its_code(code: str, away: bool) -> None:
    from mlflow.exceptions import RestException

    assert is_away(RestException({"error_code": code, "message": "m"})) == away


def test_an_error_becomes_one_line_with_its_innermost_reason() -> None:
    text = (
        "API request to http://me:hunter2@h failed with exception HTTPConnectionPool(host='h', "
        "port=9): Max retries exceeded with url: /api (Caused by NewConnectionError("
        "\"HTTPConnection(host='h', port=9): Failed to establish: [Errno 111] refused\"))"
    )
    assert one_line(Exception(text)) == "Failed to establish: [Errno 111] refused"
    assert (
        one_line(Exception("line 1\n  line 2 http://me:hunter2@h")) == "line 1 line 2 http://***@h"
    )
    assert one_line(KeyError()) == "KeyError"
    assert len(one_line(Exception("x" * 1000))) == 300


def test_every_error_of_a_store_becomes_one_with_a_remedy_and_no_password() -> None:
    uri = "http://me:hunter2@h"
    for status, remedy in (
        (401, "RNNLANE_CREDENTIALS_FILE"),
        (403, "the account's rights"),
        (503, "that the server runs"),
    ):
        with (
            pytest.raises(TrackingError, match="cannot look") as caught,
            store_errors(uri, "cannot look"),
        ):
            raise http_error(status)
        assert remedy in str(caught.value.remedy)
        assert caught.value.where == "http://***@h"
    with pytest.raises(TrackingError) as caught, store_errors("sqlite:///a.db", "cannot open"):
        raise RuntimeError("Detected out-of-date database schema (found version 1)")
    assert "mlflow db upgrade sqlite:///a.db" in str(caught.value.remedy)


def test_an_experiment_is_created_once_beside_its_store_and_refused_once_deleted(
    tmp_path: Path,
) -> None:
    uri = f"sqlite:///{tmp_path / 'mlflow.db'}"
    client = open_client(uri)
    created = experiment_id(client, uri=uri, name="reviews")
    assert experiment_id(client, uri=uri, name="reviews") == created
    location = client.get_experiment(created).artifact_location
    assert location.startswith((tmp_path / "mlartifacts").as_uri())
    client.delete_experiment(created)
    with pytest.raises(TrackingError, match="'reviews' was deleted"):
        experiment_id(client, uri=uri, name="reviews")


def test_a_store_is_made_whole_or_not_at_all(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    import mlflow

    def half(tracking_uri: str) -> None:
        file = sqlite_file(tracking_uri)
        assert file is not None
        with closing(sqlite3.connect(file)) as database:
            database.execute("CREATE TABLE secrets (x)")
        raise sqlite3.OperationalError("database or disk is full")

    uri = f"sqlite:///{tmp_path / 'mlflow.db'}"
    with monkeypatch.context() as patch:
        patch.setattr(mlflow, "MlflowClient", half)
        with pytest.raises(ResourceError, match="no space left on the disk /") as refused:
            open_client(uri)
    assert refused.value.where == str(tmp_path / "mlflow.db")
    assert [file.name for file in tmp_path.iterdir()] == ["mlflow.db.lock"]
    open_client(uri).search_experiments()


@pytest.mark.parametrize("kind", ["folder", "other content"])
def test_a_file_that_is_no_store_is_refused_at_once(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, kind: str
) -> None:
    import mlflow

    # MLflow would try for 100 s.
    monkeypatch.setattr(mlflow, "MlflowClient", lambda **_: pytest.fail("MLflow was asked"))
    file = tmp_path / "mlflow.db"
    file.mkdir() if kind == "folder" else file.write_bytes(b"no database" * 100)
    with pytest.raises(TrackingError, match=r"cannot open the MLflow store: (unable|file is not)"):
        open_client(f"sqlite:///{file}")


def test_a_full_disk_under_a_server_is_the_server_s() -> None:
    full = sqlite3.OperationalError("database or disk is full")
    with pytest.raises(TrackingError), store_errors("http://host", "cannot write"):
        raise full
    with pytest.raises(ResourceError), store_errors("sqlite:////x/mlflow.db", "cannot write"):
        raise full


@pytest.mark.parametrize(
    ("answer", "is_refused"),
    [(b"2.22.0", True), (b"1.30", True), (b"3.17.2\n", False), (b"<html>2.0 log in", False)],
)
def test_a_server_older_than_mlflow_3_is_refused(answer: bytes, is_refused: bool) -> None:
    expected = pytest.raises(TrackingError, match=r"of version 3 or newer, but this one is \d")
    with expected if is_refused else nullcontext():
        _check_version("http://localhost:5000", answer)
