"""Which rows each step of an epoch takes: of a split in memory, or of one read from shards."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import closing
from typing import Protocol

from rnnlane.config.training import TrainingConfig
from rnnlane.data.batches.encoded import EncodedSplit
from rnnlane.data.batches.orders_ahead import OrdersAhead
from rnnlane.data.batches.plan import Planner
from rnnlane.data.batches.streamed import StepRows, StreamedSplit
from rnnlane.training.ahead import made_ahead

# Windows that wait to be read; one more is being decoded, and one is read.
WINDOWS_AHEAD = 1


class TrainRows(Protocol):
    """The rows of a train split in the order of the batch plan."""

    @property
    def order_id(self) -> str | None:
        """What decides the order of the rows beside the batch plan; None: nothing does."""

    def steps(self, epoch: int, start: int) -> Generator[StepRows]:
        """The rows of each step of an epoch from step ``start`` on."""

    def expect(self, epoch: int) -> None:
        """Says which epoch will be asked for first: it may be planned from now on."""

    def close(self) -> None:
        """Ends what goes on beside the steps."""


def train_rows(
    split: EncodedSplit | StreamedSplit, config: TrainingConfig, *, seed: int
) -> TrainRows:
    """The rows of a split.

    Args:
        split: in memory, or in shards.
        config: batch size and buckets.
        seed: of the batch plan.
    """
    if isinstance(split, EncodedSplit):
        return _ResidentRows(split, config, seed)
    return _StreamedRows(split, config, seed)


class _ResidentRows:
    """Of many rows, a thread plans the next epoch while one is trained on."""

    order_id = None

    def __init__(self, split: EncodedSplit, config: TrainingConfig, seed: int):
        self._split, self._size = split, config.global_batch_size
        self._orders = OrdersAhead(
            lambda: Planner.of_split(
                split.labels,
                split.lengths,
                global_batch_size=config.global_batch_size,
                seed=seed,
                max_buckets=config.bucket_window,
            ),
            num_rows=len(split),
            last_epoch=config.epochs,
        )

    def steps(self, epoch: int, start: int) -> Generator[StepRows]:
        order, size = self._orders.order(epoch), self._size
        for first in range(start * size, len(order), size):
            rows = order[first : first + size]
            yield StepRows(self._split, rows, rows)

    def expect(self, epoch: int) -> None:
        self._orders.begin(epoch)

    def close(self) -> None:
        self._orders.close()


class _StreamedRows:
    """A thread decodes the next windows, and ends with the iterator over steps."""

    def __init__(self, split: StreamedSplit, config: TrainingConfig, seed: int):
        self._split, self._config, self._seed = split, config, seed

    @property
    def order_id(self) -> str | None:
        return self._split.order_id(self._config.global_batch_size)

    def steps(self, epoch: int, start: int) -> Generator[StepRows]:
        with (
            self._split.epoch(
                global_batch_size=self._config.global_batch_size,
                seed=self._seed,
                epoch=epoch,
                max_buckets=self._config.bucket_window,
            ) as read,
            closing(made_ahead(read.windows(start), depth=WINDOWS_AHEAD)) as windows,
        ):
            for name, steps in windows:
                yield from steps
                read.forget(name)

    def expect(self, epoch: int) -> None:
        pass

    def close(self) -> None:
        pass
