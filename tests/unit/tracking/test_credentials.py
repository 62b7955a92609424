"""An MLflow account from a file."""

import os

import pytest

from rnnlane.errors import ConfigError
from rnnlane.tracking.credentials import use_credentials_file

GOOD = "[mlflow]\nmlflow_tracking_username = me\nmlflow_tracking_password = 100%s=hunter2\n"
VARIABLES = ("MLFLOW_TRACKING_USERNAME", "MLFLOW_TRACKING_PASSWORD")


@pytest.fixture
def named(tmp_path, monkeypatch):
    for variable in VARIABLES:
        # Set first, so that monkeypatch also undoes what the code sets.
        monkeypatch.setenv(variable, "x")
        monkeypatch.delenv(variable)
    file = tmp_path / "mlflow.ini"
    monkeypatch.setenv("RNNLANE_CREDENTIALS_FILE", str(file))
    return file


def test_the_account_of_the_named_file_is_used(named):
    named.write_text(GOOD)
    use_credentials_file()
    assert [os.environ[variable] for variable in VARIABLES] == ["me", "100%s=hunter2"]


def test_the_account_of_the_environment_takes_precedence(named, monkeypatch):
    for variable in VARIABLES:
        monkeypatch.setenv(variable, "own")
    use_credentials_file()
    assert [os.environ[variable] for variable in VARIABLES] == ["own", "own"]


def test_nothing_happens_without_a_name(named, monkeypatch):
    monkeypatch.delenv("RNNLANE_CREDENTIALS_FILE")
    use_credentials_file()
    assert VARIABLES[0] not in os.environ


@pytest.mark.parametrize(
    "content",
    [
        None,
        "",
        "hunter2",
        "[mlflow]\nhunter2",
        GOOD.replace("username", "user"),
        GOOD.replace("[mlflow]", "[x]"),
    ],
)
def test_an_invalid_file_is_refused_without_showing_it(named, content):
    if content is not None:
        named.write_text(content)
    with pytest.raises(ConfigError) as caught:
        use_credentials_file()
    assert str(named) in str(caught.value)
    assert "hunter2" not in str(caught.value)
    assert caught.value.__cause__ is None
    assert VARIABLES[1] not in os.environ
