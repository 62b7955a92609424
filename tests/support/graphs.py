"""Graphs of a machine without a GPU."""

from rnnlane.training.graphs import Launch


class PretendedCapture:
    """A graph of it is the function itself, and can be told to fail as torch does.

    Args:
        fails_from: number of the first capture that fails, from 1; None for never.
    """

    def __init__(self, fails_from: int | None = None):
        self._fails_from = fails_from
        self.num_captured = 0

    def warm_up(self, function: Launch) -> None:
        function()

    def capture(self, function: Launch) -> Launch:
        self.num_captured += 1
        if self._fails_from is not None and self.num_captured >= self._fails_from:
            raise RuntimeError("operation not permitted when stream is capturing\nCUDA kernel ...")
        return function
