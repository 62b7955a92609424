from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from sqlalchemy import make_url

from rnnlane.errors import ConfigError, redact
from rnnlane.tracking.uris import resolve_uri, sqlite_file, store_identity, without_secrets

# Characters of a password that somebody forgot to percent-encode.
passwords = st.text(
    st.characters(categories=("L", "N", "P", "S"), exclude_characters="'\""), min_size=4
).filter(lambda text: text not in "://***@host:5000/path")


@pytest.fixture(autouse=True)
def _no_ambient_store(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)


def test_configured_store_wins_over_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://from-environment:5000")
    assert resolve_uri("http://configured:5000") == "http://configured:5000"
    assert resolve_uri(None) == "http://from-environment:5000"


def test_the_default_store_is_a_file_in_home_that_is_not_created(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("RNNLANE_HOME", str(tmp_path / "home"))
    assert resolve_uri(None) == f"sqlite:///{tmp_path / 'home' / 'mlflow.db'}"
    assert not (tmp_path / "home").exists()


NAMES = [
    "a%20b",
    "a?b",
    "a#b",
    "a@b",
    "a:b@c",
    "a b",
    "été",
    "a\nb",
    "100%",
    "a&b=c;d",
    "~x",
    "x[/old]",
]


@pytest.mark.parametrize("name", NAMES)
def test_a_home_of_any_name_has_its_store(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, name: str
) -> None:
    monkeypatch.setenv("RNNLANE_HOME", str(tmp_path / name))
    uri = resolve_uri(None)
    file = tmp_path / name / "mlflow.db"
    assert sqlite_file(uri) == file
    assert make_url(uri).database == str(file)
    assert store_identity(uri) == str(file)
    # Shown as it is: what follows :// is no password, and the address can be given back.
    assert redact(uri) == uri
    assert resolve_uri(uri) == uri


@pytest.mark.parametrize(
    "uri", ["mlruns", "/data/mlruns", "file:///data/mlruns", "C:\\mlruns", "ftp://x", "x://y"]
)
def test_folders_are_refused_with_what_to_use(uri: str) -> None:
    with pytest.raises(ConfigError, match="must be a database or a server") as caught:
        resolve_uri(uri)
    assert caught.value.where == "tracking.uri"
    assert "sqlite:///" in str(caught.value.remedy)


def test_the_error_names_a_bad_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "mlruns")
    with pytest.raises(ConfigError) as caught:
        resolve_uri(None)
    assert caught.value.where == "MLFLOW_TRACKING_URI"


@pytest.mark.parametrize("uri", ["sqlite://", "sqlite:///", "sqlite:///:memory:"])
def test_sqlite_without_a_file_is_refused(uri: str) -> None:
    with pytest.raises(ConfigError, match="must name a file"):
        resolve_uri(uri)


@pytest.mark.parametrize(
    "uri", ["http://h:5000", "https://h/mlflow", "postgresql+psycopg2://h/db", "databricks"]
)
def test_servers_and_databases_are_taken_as_they_are(uri: str) -> None:
    assert resolve_uri(uri) == uri
    assert sqlite_file(uri) is None


def test_sqlite_file_is_absolute() -> None:
    assert sqlite_file("sqlite:////data/mlflow.db") == Path("/data/mlflow.db")
    assert sqlite_file("sqlite:///mlflow.db?timeout=3") == Path("mlflow.db").absolute()


@given(user=passwords, password=passwords)
def test_no_password_survives_in_an_address(user: str, password: str) -> None:
    shown = redact(f"cannot reach http://{user}:{password}@host:5000/path now")
    assert shown == "cannot reach http://***@host:5000/path now"


@pytest.mark.parametrize(
    ("uri", "shown"),
    [
        ("https://h/?access_token=abc&page=2", "https://h/?access_token=***&page=2"),
        ("postgresql://h/db?user=me&password=abc", "postgresql://h/db?user=me&password=***"),
        ("s3://token@bucket/a s3://other/b", "s3://***@bucket/a s3://other/b"),
        ("http://host:5000/path", "http://host:5000/path"),
        ("write to me@example.org", "write to me@example.org"),
    ],
)
def test_redact_hides_secrets_and_nothing_else(uri: str, shown: str) -> None:
    assert redact(uri) == shown


def test_a_store_is_the_same_with_other_credentials_and_from_another_folder(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    assert store_identity("http://a:b@h") == store_identity("http://c:d@h") != "http://h2"
    monkeypatch.chdir(tmp_path)
    assert store_identity("sqlite:///mlflow.db") == str(tmp_path / "mlflow.db")


@given(user=passwords, password=passwords)
@example(user="/000", password="0000")
def test_a_browser_gets_an_address_without_credentials(user: str, password: str) -> None:
    uri = f"https://{user}:{password}@host:5000/mlflow/?access_token=abc"
    assert without_secrets(uri) == "https://host:5000/mlflow"
    assert without_secrets("http://host:5000") == "http://host:5000"
