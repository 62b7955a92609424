"""Graphs of a machine without a GPU."""

from rnnlane.training.graphs import Launch


class PretendedCapture:
    """A graph of it is the function itself, and can be told to fail as torch does.

    As some versions of torch, it replays nothing any more after a failure.

    Args:
        fails_from: number of the first capture that fails, from 1; None for never.
    """

    def __init__(self, fails_from: int | None = None):
        self._fails_from = fails_from
        self.num_captured = 0
        self._has_failed = False

    def warm_up(self, function: Launch) -> None:
        function()

    def capture(self, function: Launch) -> Launch:
        self.num_captured += 1
        if self._fails_from is not None and self.num_captured >= self._fails_from:
            self._has_failed = True
            try:
                raise RuntimeError("operation not permitted when stream is capturing\nCUDA ...")
            except RuntimeError:
                # The capture's end, while the error passes through it.
                raise RuntimeError("operation failed due to a previous error during capture")  # noqa: B904

        def replay() -> None:
            assert not self._has_failed, "a graph from before the failure is replayed"
            function()

        return replay
