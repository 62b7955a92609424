"""MLflow's registered models: versions under a name, and aliases that move between them."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from rnnlane.errors import ConfigError, redact
from rnnlane.tracking.client import open_client, store_errors
from rnnlane.tracking.internals import MODEL_VERSIONS_TAG
from rnnlane.tracking.logged_model import model_ids
from rnnlane.tracking.packaging import MODEL_PATH

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import LoggedModel
    from mlflow.entities.model_registry import ModelVersion

SCHEME = "models:/"
MAX_NAME_CHARS = 256
MAX_ALIAS_CHARS = 255
# A question mark would end the name in an address such as models:/NAME@ALIAS.
_FORBIDDEN = re.compile(r"[/:?\x00-\x1f\x7f]")
_ALIAS = re.compile(r"[\w-]+")
_ADDRESS = re.compile(r"models:/(?P<name>[^/]+?)(?:@(?P<alias>[^/@]+)|/(?P<number>[0-9]{1,9}))")


@dataclass(frozen=True)
class Version:
    """A version of a registered model.

    Attributes:
        name: of the registered model.
        number: of the version, from 1.
        run_id: of the run that trained it; None if it was registered without one.
    """

    name: str
    number: int
    run_id: str | None

    def __str__(self) -> str:
        return f"version {self.number} of {self.name!r}"


def check_name(name: str) -> None:
    """Refuses what MLflow takes for no name of a registered model, or cannot address.

    Raises:
        ConfigError: it is not a name.
    """
    if name.strip() in {"", ".", ".."} or len(name) > MAX_NAME_CHARS or _FORBIDDEN.search(name):
        raise ConfigError(
            f"the name of a registered model must have 1 to {MAX_NAME_CHARS} characters, none of "
            f"which is /, :, ? or a control character, but got {name!r}",
            where="--name",
            remedy="for example: --name reviews",
        )


def check_alias(alias: str) -> None:
    """Refuses what MLflow takes for no alias, or keeps for itself.

    Raises:
        ConfigError: it is not an alias.
    """
    if len(alias) > MAX_ALIAS_CHARS or not _ALIAS.fullmatch(alias):
        raise ConfigError(
            f"an alias must have 1 to {MAX_ALIAS_CHARS} letters, digits, - or _, but got {alias!r}",
            where="--alias",
            remedy="for example: --alias champion",
        )
    if alias.lower() == "latest" or re.fullmatch(r"[vV]\d+", alias):
        raise ConfigError(
            f"an alias must not be `latest` or v and a number, which MLflow gives a meaning, "
            f"but got {alias!r}",
            where="--alias",
            remedy="for example: --alias champion",
        )


def holder(uri: str, name: str, alias: str) -> Version | None:
    """The version that has an alias; None if no version or no registered model has it.

    Raises:
        TrackingError: the store cannot be read.
    """
    client = open_client(uri)
    with store_errors(uri, f"cannot look for the alias {alias!r} of {name!r}"):
        # A server with accounts denies to read a registered model that does not exist. One that
        # does exist, and is another account's, refuses the version in the end.
        with _tolerated("PERMISSION_DENIED"):
            return _holder(client, name, alias)
        return None


def register(
    uri: str, run_id: str, name: str, *, tags: Mapping[str, str], description: str
) -> Version:
    """Makes the model of a run a version of a registered model, which it creates if it is missing.

    A model that is a version already stays that one.

    Args:
        uri: the store.
        run_id: of a run with a model.
        name: of the registered model.
        tags: of the version.
        description: of a version that is new; one that a person has edited stays.

    Raises:
        TrackingError: the store cannot be read or written.
    """
    client = open_client(uri)
    with store_errors(uri, f"cannot register the model of run {run_id} as {name!r}"):
        run = client.get_run(run_id)
        ids = model_ids(run)
        model = client.get_logged_model(ids[-1]) if ids else None
        with _tolerated("RESOURCE_ALREADY_EXISTS"):
            client.create_registered_model(name)
        found = [v for v in client.search_model_versions(f"run_id = '{run_id}'") if v.name == name]
        if found:
            version = max(found, key=lambda version: int(version.version))
            for key, value in tags.items():
                client.set_model_version_tag(name, version.version, key, value)
        else:
            # Not models:/ID, which MLflow would look for in the store that this process has set.
            # A model of rnnlane 0.3 is an artifact of its run.
            source = model.artifact_location if model else f"{run.info.artifact_uri}/{MODEL_PATH}"
            model_id = model.model_id if model else None
            version = client.create_model_version(
                name,
                source,
                run_id,
                tags=dict(tags),
                description=description,
                model_id=model_id,
            )
        if model is not None:
            _show_on_page(client, model, version)
        return _version(version)


def _show_on_page(client: MlflowClient, model: LoggedModel, version: ModelVersion) -> None:
    """Names a version on the page of its model, as MLflow itself does."""
    known = json.loads(model.tags.get(MODEL_VERSIONS_TAG, "[]"))
    # MLflow gives the number of a version as a text or a number, depending on the store.
    own = {"name": version.name, "version": str(version.version)}
    if own not in known:
        tags = {MODEL_VERSIONS_TAG: json.dumps([*known, own])}
        client.set_logged_model_tags(model.model_id, tags)


def move_alias(uri: str, version: Version, alias: str, *, expected: Version | None) -> None:
    """Gives a version an alias, which another one loses.

    Args:
        uri: the store.
        version: the new holder.
        alias: of the registered model.
        expected: who holds it until now.

    Raises:
        ConfigError: another version has it by now. (MLflow offers no lock: this can still happen in
            the few milliseconds between the look and the move.)
        TrackingError: the store cannot be written.
    """
    client = open_client(uri)
    with store_errors(uri, f"cannot move the alias {alias!r} to {version}"):
        present = _holder(client, version.name, alias)
        if present not in {expected, version}:
            raise ConfigError(
                f"the alias {alias!r} must not move while models are compared, but {present} has "
                "it by now",
                where=redact(uri),
                remedy="promote again, which compares with that one",
            )
        client.set_registered_model_alias(version.name, alias, str(version.number))


def run_of_address(client: MlflowClient, address: str) -> str:
    """Id of the run whose model an address names: ``models:/NAME@ALIAS`` or ``models:/NAME/3``.

    Raises:
        ConfigError: it is no such address, or there is no such version.
    """
    matched = _ADDRESS.fullmatch(address)
    if matched is None:
        raise ConfigError(
            "a registered model is named as models:/NAME@ALIAS or models:/NAME/VERSION, "
            f"but got {address!r}",
            remedy="for example: models:/reviews@champion",
        )
    name, alias, number = matched["name"], matched["alias"], matched["number"]
    found = None
    with _tolerated("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"):
        if alias is not None:
            found = client.get_model_version_by_alias(name, alias)
        else:
            found = client.get_model_version(name, number)
    if found is None or not found.run_id:
        raise ConfigError(
            f"an address must name a registered model that a run has trained, but there is none "
            f"at {address!r}",
            remedy="`rnnlane promote` registers the model of a run",
        )
    return str(found.run_id)


def _holder(client: MlflowClient, name: str, alias: str) -> Version | None:
    # MLflow says that a value is not valid where a registered model lacks the alias.
    with _tolerated("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"):
        return _version(client.get_model_version_by_alias(name, alias))
    return None


def _version(version: ModelVersion) -> Version:
    return Version(version.name, int(version.version), version.run_id or None)


@contextmanager
def _tolerated(*codes: str) -> Iterator[None]:
    """Ends the block at an error of MLflow with one of these codes."""
    from mlflow.exceptions import MlflowException

    try:
        yield
    except MlflowException as error:
        if error.error_code not in codes:
            raise
