"""The kinds of fault: what each does, where it fits, and how a command may end because of it."""

from __future__ import annotations

import contextlib
import inspect
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from enum import IntEnum

from faults.machine import Machine
from faults.targets import TARGETS

EVERY = frozenset(TARGETS)
ON_RAY = frozenset(name for name, target in TARGETS.items() if target.has_ray)
RESUMABLE = frozenset(name for name, target in TARGETS.items() if target.is_resumable)
LOCAL = EVERY - {"job"}


class Ends(IntEnum):
    """How a command may end because of a fault; each includes those before it."""

    FINISHES = 0  # with exit code 0 and the result
    FAILS = 1  # with exit code 1 or 2 and one line
    STOPS = 2  # with exit code 130: it was interrupted
    DIES = 3  # in any way: it was killed


@dataclass(frozen=True)
class Kind:
    """One kind of fault.

    Attributes:
        name: for ``--only`` and the printout.
        summary: what happens.
        apply: a context manager: the fault on entry, the healing on exit.
        targets: names of what it fits.
        ends: how a command may end because of it.
        store: "server" or "embedded" if it needs one of the two; else "any".
        moments: the first words of the moments at which it may come; empty: any of the target's.
        lasts_s: shortest and longest time until it is healed; None: until the command has ended.
        at_rest: whether it comes after everything was killed, before a person goes on.
        may_add_runs: whether a person may be left with another MLflow run beside the right one.
        environment: further variables of the commands.
    """

    name: str
    summary: str
    apply: Callable[[Machine], AbstractContextManager[None]]
    targets: frozenset[str]
    ends: Ends
    store: str = "any"
    moments: tuple[str, ...] = ()
    lasts_s: tuple[float, float] | None = (0.0, 0.0)
    at_rest: bool = False
    may_add_runs: bool = False


KINDS: dict[str, Kind] = {}


def fault(
    name: str,
    summary: str,
    *,
    on: frozenset[str] | set[str] = EVERY,
    ends: Ends = Ends.FINISHES,
    **options: object,
) -> Callable[[Callable[[Machine], object]], Callable[[Machine], object]]:
    """Registers a function as a kind of fault; what follows its ``yield`` heals it."""

    def register(function: Callable[[Machine], object]) -> Callable[[Machine], object]:
        if name in KINDS:
            raise ValueError(f"two kinds are called {name}")
        apply = _as_context(function)
        kind = Kind(name, summary, apply, frozenset(on), ends, **options)  # type: ignore[arg-type]
        KINDS[name] = kind
        return function

    return register


def _as_context(
    function: Callable[[Machine], object],
) -> Callable[[Machine], AbstractContextManager[None]]:
    if inspect.isgeneratorfunction(function):
        return contextlib.contextmanager(function)

    @contextlib.contextmanager
    def apply(machine: Machine) -> Iterator[None]:
        function(machine)
        yield

    return apply


def all_kinds() -> dict[str, Kind]:
    """Every kind by name."""
    import faults.kinds.at_rest
    import faults.kinds.disks
    import faults.kinds.limits
    import faults.kinds.processes
    import faults.kinds.stores
    import faults.kinds.surroundings  # noqa: F401

    return dict(sorted(KINDS.items()))
