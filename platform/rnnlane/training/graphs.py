"""Functions of tensors at fixed addresses, captured once as CUDA graphs and then replayed.

A graph launches all kernels of a function with one call: the steps of a small model are otherwise
bound by the time that Python takes to launch them.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Hashable, Sequence
from typing import Any, Protocol

import torch

from rnnlane.config.training import TrainingConfig
from rnnlane.errors import first_line
from rnnlane.records.events import RunEvents

Launch = Callable[[], None]


class Capture(Protocol):
    """How functions are captured; :class:`CudaCapture`, or a pretended one in tests."""

    def warm_up(self, function: Launch) -> None:
        """Runs a function where it will be captured."""

    def capture(self, function: Launch) -> Launch:
        """What repeats the function's work on the device; does not run it."""


class CudaCapture:
    """Captures on a stream of its own, into one pool of memory.

    Graphs may share it in any order, because they leave nothing behind in it: what outlives a
    function is in tensors that were there before.
    """

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._stream: Any = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]
        self._pool = torch.cuda.graph_pool_handle()

    def warm_up(self, function: Launch) -> None:
        """See :class:`Capture`."""
        current = torch.cuda.current_stream(self._device)
        self._stream.wait_stream(current)
        with torch.cuda.stream(self._stream):
            function()
        current.wait_stream(self._stream)

    def capture(self, function: Launch) -> Launch:
        """See :class:`Capture`."""
        graph = torch.cuda.CUDAGraph()
        # thread_local: the thread that makes the next batches may allocate pinned memory meanwhile.
        recording = torch.cuda.graph(
            graph, pool=self._pool, stream=self._stream, capture_error_mode="thread_local"
        )
        # A capture that fails does not leave its stream by itself.
        try:
            with torch.cuda.stream(self._stream), recording:
                function()
        except RuntimeError:
            # Some versions of torch do not end what they began: the allocator would refuse to free
            # memory from now on, and the generator would still wait for the capture's end.
            with contextlib.suppress(RuntimeError):
                torch._C._cuda_endAllocateToPool(self._stream.device_index, self._pool)
            generator = torch.cuda.default_generators[self._stream.device_index]
            generator.graphsafe_set_state(generator.clone_state())
            raise
        return graph.replay


class Graphs:
    """Captures functions, until it fails once: from then on they run as they are.

    Args:
        capture: None captures nothing.
        events: receive the one sentence that says why nothing is captured any more.

    Attributes:
        has_failed: whether a capture has failed. Graphs from before must not be replayed any more:
            their random numbers come from a generator that nothing seeds now.
    """

    def __init__(self, capture: Capture | None, events: RunEvents):
        self._capture = capture
        self._events = events
        self.has_failed = False

    def captured(
        self, functions: Sequence[Launch], *, warm_up: Launch, name: Hashable
    ) -> Sequence[Launch]:
        """The functions as graphs; where that is not possible, the functions themselves.

        Args:
            functions: what is captured, one graph each; none of them is run.
            warm_up: runs all that the functions do, so that libraries are set up and what they
                keep is not part of a graph.
            name: of what they do, for the sentence.

        Raises:
            RuntimeError: the warm-up failed, which would fail without a capture as well.
        """
        if self._capture is None:
            return functions
        self._capture.warm_up(warm_up)
        try:
            return [self._capture.capture(function) for function in functions]
        except RuntimeError as error:
            self._capture, self.has_failed = None, True
            # The error of the capture's end says only that there was one before.
            cause = first_line(error.__context__ or error)
            self._events.note(
                f"training.cuda_graphs has no effect: {name} cannot be captured ({cause})"
            )
            return functions


def graphs_for(config: TrainingConfig, device: torch.device, events: RunEvents) -> Graphs:
    """The graphs of a run: none without ``training.cuda_graphs`` or on a CPU."""
    is_captured = config.cuda_graphs and device.type == "cuda"
    return Graphs(CudaCapture(device) if is_captured else None, events)
