"""Names and aliases of registered models are those that MLflow takes."""

from __future__ import annotations

from typing import Any

import pytest

from rnnlane.errors import ConfigError, TrackingError
from rnnlane.tracking import registry
from rnnlane.tracking.links import version_link
from rnnlane.tracking.registry import check_alias, check_name


@pytest.mark.parametrize("name", ["reviews", "Ärzte 2", "a.b-c_d", "a@b", "x" * 256])
def test_names_that_mlflow_takes_are_names(name: str) -> None:
    from mlflow.utils.validation import _validate_model_name

    check_name(name)
    _validate_model_name(name)


@pytest.mark.parametrize(
    "name", ["", " ", ".", "..", "a/b", "a:b", "a?b", "a\nb", "\x7f", "x" * 257]
)
def test_what_mlflow_cannot_address_is_no_name(name: str) -> None:
    with pytest.raises(ConfigError, match="the name of a registered model must have"):
        check_name(name)


@pytest.mark.parametrize("alias", ["champion", "v", "v1b", "the_best-1", "älteste", "x" * 255])
def test_aliases_that_mlflow_takes_are_aliases(alias: str) -> None:
    from mlflow.utils import validation

    check_alias(alias)
    validation._validate_model_alias_name(alias)
    validation._validate_model_alias_name_reserved(alias)


@pytest.mark.parametrize("alias", ["", "a b", "a@b", "a\n", "x" * 256, "latest", "Latest", "V12"])
def test_what_mlflow_refuses_or_keeps_is_no_alias(alias: str) -> None:
    with pytest.raises(ConfigError, match="an alias must"):
        check_alias(alias)


def test_the_page_of_a_version() -> None:
    uri: Any = "http://me:hunter2@host:5000"
    link = version_link(uri, "a b@c", 3)
    assert link is not None
    assert link.startswith("http://host:5000/#/models/a%20b%40c/versions/3")
    assert version_link("sqlite:///a.db", "a", 1) is None


@pytest.mark.parametrize(
    ("code", "is_fault"), [("PERMISSION_DENIED", False), ("INTERNAL_ERROR", True)]
)
def test_a_name_that_a_server_with_accounts_denies_has_no_holder(
    code: str, is_fault: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    from mlflow.exceptions import MlflowException
    from mlflow.protos.databricks_pb2 import ErrorCode

    class Client:
        def get_model_version_by_alias(self, *_):
            raise MlflowException("no", error_code=ErrorCode.Value(code))

    monkeypatch.setattr(registry, "open_client", lambda _: Client())
    if is_fault:
        with pytest.raises(TrackingError):
            registry.holder("http://host", "reviews", "champion")
    else:
        assert registry.holder("http://host", "reviews", "champion") is None
