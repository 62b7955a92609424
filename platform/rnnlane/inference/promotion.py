"""Whether the model of a run takes the place of the one that an alias names."""

from __future__ import annotations

import functools
from dataclasses import asdict

from rnnlane.errors import ConfigError, DataError, TrackingError, redact
from rnnlane.inference.comparison import verdict
from rnnlane.inference.kept import read_predictions
from rnnlane.inference.paired import LEVEL, PairedTest, paired_test
from rnnlane.records.promotion import Promotion
from rnnlane.records.results import p_value_text
from rnnlane.tracking.registry import (
    SCHEME,
    Version,
    check_alias,
    check_name,
    holder,
    move_alias,
    register,
)
from rnnlane.tracking.store import RunSummary, find_run

_SPLIT = "test"
MAX_REASON_CHARS = 1000
_FORCE = "or move the alias all the same with --force REASON"


def promote_in_store(
    uri: str, reference: str, *, name: str, alias: str, force: str | None = None
) -> Promotion:
    """Registers the model of a run as a version, and gives it an alias if it is better.

    Args:
        uri: the store.
        reference: of the run, as :func:`rnnlane.tracking.store.find_run` takes it.
        name: of the registered model; created if it is missing.
        alias: the version's.
        force: why the alias moves whatever a comparison says.

    Raises:
        ConfigError: the run has no model; a name is not valid; or, without ``force``, the model is
            not shown to be better on the test rows than the one that the alias names, or cannot
            be compared with it. Nothing was registered.
        TrackingError: the store cannot be read or written.
    """
    check_name(name)
    check_alias(alias)
    if force is not None:
        _check_reason(force)
    run = find_run(uri, reference, with_model=True)
    present = holder(uri, name, alias)
    promotion = functools.partial(
        Promotion,
        name=name,
        alias=alias,
        run_id=run.run_id,
        tracking_uri=redact(uri),
        model_uri=f"{SCHEME}{name}@{alias}",
    )
    if present is not None and present.run_id == run.run_id:
        return promotion(version=present.number, reason="it has the alias already", is_moved=False)
    test = None if present is None else _test(uri, run, present, alias, force=force)
    reason = force or ("better on the test rows" if test else "the first to have the alias")
    tags = _tags(alias, reason, present=present, test=test, is_forced=force is not None)
    description = f"{alias}: {reason}"
    if present is not None:
        compared = difference_text(test) if test else "not compared"
        description += f"; against {present}: {compared}"
    version = register(uri, run.run_id, name, tags=tags, description=description)
    move_alias(uri, version, alias, expected=present)
    return promotion(
        version=version.number,
        reason=reason,
        is_forced=force is not None,
        previous=asdict(present) if present else None,
        test=test.as_dict() if test else None,
        difference=difference_text(test) if test else None,
    )


def _check_reason(reason: str) -> None:
    if not reason.strip() or len(reason) > MAX_REASON_CHARS:
        raise ConfigError(
            f"a reason must have 1 to {MAX_REASON_CHARS:,} characters, but got "
            + (f"{len(reason):,}" if reason.strip() else repr(reason)),
            where="--force",
            remedy='for example: --force "the old model knows too few words"',
        )


def _test(
    uri: str, run: RunSummary, present: Version, alias: str, *, force: str | None
) -> PairedTest | None:
    """The test that the run passes, or ``force`` overrules; None: they cannot be compared."""
    try:
        test = _compare(uri, run, present)
    except (ConfigError, DataError, TrackingError) as error:
        if force is not None:
            return None
        raise ConfigError(
            error.message,
            where=error.where,
            remedy=f"{error.remedy}; {_FORCE}" if error.remedy else _FORCE,
        ) from None
    if force is None and verdict(test) != "better":
        raise ConfigError(
            f"a model must be better than the one at {present.name}@{alias} to take its place, "
            f"but on {test.num_rows:,} test rows its accuracy differs from that of {present} by "
            f"{difference_text(test)}",
            where=redact(uri),
            remedy=f"train a better one, {_FORCE}",
        )
    return test


def _compare(uri: str, run: RunSummary, present: Version) -> PairedTest:
    if present.run_id is None:
        raise ConfigError(
            f"models are compared by their runs, but {present} was registered without one",
            where=redact(uri),
        )
    theirs = find_run(uri, present.run_id, with_model=True)
    first = read_predictions(uri, theirs, _SPLIT)
    return paired_test(first, read_predictions(uri, run, _SPLIT))


def difference_text(test: PairedTest) -> str:
    """The difference with its interval and p-value, for a person."""
    return (
        f"{100 * test.difference:+.2f} points ({LEVEL:.0%} interval {100 * test.low:+.2f} to "
        f"{100 * test.high:+.2f}, p {p_value_text(test.p_value)})"
    )


def _tags(
    alias: str, reason: str, *, present: Version | None, test: PairedTest | None, is_forced: bool
) -> dict[str, str]:
    """What the version's page says of how it got the alias."""
    facts = {"reason": reason, "forced": str(is_forced).lower()}
    if present is not None:
        facts["compared_with"] = f"{present} (run {present.run_id})"
        facts["difference"] = "not compared"
    if test is not None:
        facts |= {
            "difference": f"{test.difference:+.6f}",
            "interval": f"{test.low:+.6f} to {test.high:+.6f}",
            "p_value": f"{test.p_value:.4g}",
            "num_test_rows": str(test.num_rows),
        }
    return {f"rnnlane.{alias}.{key}": value for key, value in facts.items()}
