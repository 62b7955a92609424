"""What names runs: checked before a store is opened."""

from __future__ import annotations

from collections.abc import Sequence

from rnnlane.errors import ConfigError


def check_several(references: Sequence[str], *, purpose: str) -> None:
    """Refuses less than two references of runs.

    Raises:
        ConfigError: there are fewer.
    """
    if isinstance(references, str) or len(references) < 2:
        raise ConfigError(
            f"{purpose} needs two runs or more, but got one",
            where="runs",
            remedy="`rnnlane runs` lists them",
        )
