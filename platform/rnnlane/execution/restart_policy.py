"""What to do after a failure: restart, wait for the cluster, or give up."""

from __future__ import annotations

from dataclasses import dataclass

from rnnlane.errors import JobError, RnnlaneError

MAX_BACKOFF_S = 30.0


@dataclass(frozen=True)
class Failure:
    """Why an attempt ended without a result.

    Attributes:
        reason: a clause for people, such as "worker 1 died".
        is_lack_of_room: nothing broke; the cluster had no free resources for the workers.
        error: what to raise at once, where another attempt would fail in the same way.
    """

    reason: str
    is_lack_of_room: bool = False
    error: RnnlaneError | None = None


@dataclass(frozen=True)
class Restart:
    """Permission for another attempt.

    Attributes:
        wait_s: seconds to wait first.
        note: a sentence for people; empty where it would only repeat the previous one.
    """

    wait_s: float
    note: str


class RestartPolicy:
    """Counts failures of any kind against one limit; the wait doubles with each.

    Lack of room does not count: a run waits as long as it takes for another run to end or for a
    lost node to come back.

    Args:
        max_restarts: the limit.
        work: what fails, such as "training".
        plan: what a restart does, for its note.
        remedy: what to do once the limit is reached.
    """

    def __init__(self, max_restarts: int, *, work: str, plan: str, remedy: str):
        self._max_restarts = max_restarts
        self._work, self._plan, self._remedy = work, plan, remedy
        self._num_restarts = 0
        self._is_waiting = False

    def decide(self, failure: Failure) -> Restart:
        """What to do after a failure.

        Raises:
            JobError: the limit is reached.
            RnnlaneError: the failure's own error, if no restart can mend it.
        """
        if failure.error is not None:
            raise failure.error
        if failure.is_lack_of_room:
            note = "" if self._is_waiting else f"{failure.reason}; waiting for free resources"
            self._is_waiting = True
            return Restart(0.0, note)
        self._is_waiting = False
        if self._num_restarts == self._max_restarts:
            raise JobError(
                f"runtime.max_restarts allows {self._max_restarts} restarts, but {self._work} "
                f"failed once more: {failure.reason}",
                remedy=self._remedy,
            )
        wait_s = min(MAX_BACKOFF_S, 2.0**self._num_restarts)
        self._num_restarts += 1
        return Restart(
            wait_s,
            f"{failure.reason}; {self._plan} in {wait_s:g} s "
            f"(restart {self._num_restarts} of {self._max_restarts})",
        )
