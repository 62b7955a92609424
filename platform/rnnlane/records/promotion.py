"""What the verb `promote` returns."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from rnnlane.records.results import Result


@dataclass(frozen=True, repr=False)
class Promotion(Result):
    """A version of a registered model that has an alias.

    Attributes:
        name: of the registered model.
        alias: that the version has.
        version: its number, from 1.
        run_id: of the run that trained it.
        tracking_uri: the MLflow store, without passwords.
        model_uri: argument for ``mlflow.pyfunc.load_model``, and for ``--run``.
        reason: why it has the alias.
        is_moved: False if it had the alias before.
        is_forced: whether the alias was moved whatever a comparison says.
        previous: name, number and run_id of the version that had it before; None: there was none.
        test: what :class:`rnnlane.inference.paired.PairedTest` has, of this model against the
            previous one on the test rows; None if they were not compared.
        difference: the same in words.
    """

    name: str
    alias: str
    version: int
    run_id: str
    tracking_uri: str
    model_uri: str
    reason: str
    is_moved: bool = True
    is_forced: bool = False
    previous: dict[str, Any] | None = None
    test: dict[str, Any] | None = None
    difference: str | None = None

    def _facts(self) -> list[tuple[str, str]]:
        return [
            ("model", f"version {self.version} of {self.name}"),
            ("alias", self.alias),
            ("run", self.run_id[:8]),
            ("reason", self.reason),
            ("difference to the previous one", self.difference or ""),
            ("store", self.tracking_uri),
        ]
