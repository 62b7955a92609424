"""`rnnlane clean`."""

from __future__ import annotations

import re
import sys
from typing import TYPE_CHECKING, Annotated, Any

import typer

from rnnlane.cli import output
from rnnlane.cli.options import Json
from rnnlane.errors import ConfigError

if TYPE_CHECKING:
    from rnnlane.execution.inventory import Inventory

_UNITS_S = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0, "w": 7 * 86400.0}
_MAX_KEPT_SHOWN = 20

OlderThan = Annotated[
    str | None,
    typer.Option(
        "--older-than",
        metavar="AGE",
        help="Also remove runs that have not changed for this long (30d, 12h, 2w): they cannot be "
        "resumed then, but stay in the tracking store. Prepared data used since then stays.",
    ),
]
Keep = Annotated[
    int | None,
    typer.Option(
        "--keep",
        metavar="N",
        min=0,
        help="Also remove all runs but the newest N. With --older-than: those that both allow.",
    ),
]
DryRun = Annotated[bool, typer.Option("--dry-run", help="List only; remove nothing.")]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Remove without asking.")]


def clean(
    older_than: OlderThan = None,
    keep: Keep = None,
    dry_run: DryRun = False,
    yes: Yes = False,
    as_json: Json = False,
) -> None:
    """List what is no longer needed of runs and data on this disk, ask, and remove it.

    Examples:
        rnnlane clean --dry-run
        rnnlane clean --older-than 30d --keep 20
    """
    if not (dry_run or yes) and (as_json or not _can_ask()):
        raise ConfigError(
            "what is to be removed must be confirmed, but nobody can be asked here",
            where="command line",
            remedy="add --yes to remove it, or --dry-run to list it",
        )
    from rnnlane.execution.inventory import Limits, in_words
    from rnnlane.pipeline import clean as find_leftovers

    age_s = None if older_than is None else _seconds(older_than)
    found = find_leftovers(Limits(older_than_s=age_s, keep=keep))
    if not as_json:
        _show(found)
    removes = bool(found.leftovers) and not dry_run
    if removes and not yes:
        removes = typer.confirm("Remove these?", err=True)
    removed = [item.remove() for item in found.leftovers] if removes else []
    num_bytes = sum(
        item.num_bytes for item, gone in zip(found.leftovers, removed, strict=False) if gone
    )
    if as_json:
        output.write_json(_as_dict(found, removed, num_bytes))
    elif removes:
        output.write(f"removed {removed.count(True)}, {in_words(num_bytes)}")
    if removed.count(False):
        output.note(f"{removed.count(False)} are in use by now, or could not be removed")


def _can_ask() -> bool:
    return sys.stdin.isatty()


def _seconds(age: str) -> float:
    """The seconds of an age such as ``30d``."""
    match = re.fullmatch(r"(\d{1,9}(?:\.\d{1,9})?)([smhdw])", age)
    if match is None:
        raise ConfigError(
            f"an age is a number and a unit (s, m, h, d, w), but got {age!r}",
            where="--older-than",
            remedy="write 30d for 30 days, or 12h for 12 hours",
        )
    return float(match[1]) * _UNITS_S[match[2]]


def _show(found: Inventory) -> None:
    from rnnlane.execution.inventory import in_words

    if found.leftovers:
        rows = [
            [item.kind, in_words(item.num_bytes), item.path, item.why] for item in found.leftovers
        ]
        total = sum(item.num_bytes for item in found.leftovers)
        title = f"no longer needed: {in_words(total)}"
        output.write_table(rows, header=["what", "size", "where", "why"], title=title)
    else:
        output.write("nothing to remove")
    for item in found.kept[:_MAX_KEPT_SHOWN]:
        output.note(f"left: {item.path} ({in_words(item.num_bytes)}): {item.why}")
    if len(found.kept) > _MAX_KEPT_SHOWN:
        output.note(f"left: {len(found.kept) - _MAX_KEPT_SHOWN} more, listed by --json")


def _as_dict(found: Inventory, removed: list[bool], num_bytes: int) -> dict[str, Any]:
    gone = removed or [False] * len(found.leftovers)
    return {
        "leftovers": [
            {
                "kind": item.kind,
                "path": item.path,
                "num_bytes": item.num_bytes,
                "why": item.why,
                "removed": is_gone,
            }
            for item, is_gone in zip(found.leftovers, gone, strict=True)
        ],
        "kept": [vars(item) for item in found.kept],
        "removed_bytes": num_bytes,
    }
