"""What a run can do without: a picture or a page that cannot be made must not fail its run."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterator

from rnnlane.errors import first_line, is_disk_error

logger = logging.getLogger(__name__)


@contextlib.contextmanager
def optional(what: str) -> Iterator[None]:
    """Leaves out what its block makes if that fails, with a warning.

    A full or broken disk is raised: what the run needs could not be written either.

    Args:
        what: is left out, for people.
    """
    try:
        yield
    except Exception as error:
        if is_disk_error(error):
            raise
        reason = f"{type(error).__name__}: {first_line(error)}"
        logger.warning("%s is left out, because it cannot be made: %s", what, reason)
