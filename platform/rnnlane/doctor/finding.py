"""What a check found."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Finding:
    """The result of one check.

    Attributes:
        what: what was checked.
        ok: whether it allows a run.
        found: what the check saw.
        remedy: what to do; empty if there is nothing to do.
    """

    what: str
    ok: bool
    found: str
    remedy: str = ""
