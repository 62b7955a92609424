"""The runtime section: where an experiment runs, and on how many processes."""

from __future__ import annotations

from typing import Annotated, Any, Literal, TypeAlias

from pydantic import Field, field_validator

from rnnlane.config.section import Location, PositiveFloat, PositiveInt, Seconds, Section

Device: TypeAlias = Literal["auto", "cpu", "gpu"]
"""auto takes a GPU where there is one; gpu insists on one."""
NumWorkers = Annotated[int, Field(ge=0)] | tuple[PositiveInt, PositiveInt] | Literal["auto"]


class RuntimeConfig(Section):
    """Where and on how many processes the experiment runs.

    The number of workers changes the order of sums, and with dropout the masks, unless
    training.reduction_shards is set; nothing else here changes what is computed.
    """

    num_workers: NumWorkers = Field(
        2,
        description="DDP workers; 0 trains in this process, without Ray Train. [min, max] uses "
        "what the cluster has: a run continues from its last checkpoint with fewer when a node is "
        "lost, and with more when one joins. auto: one for each GPU that the cluster has when the "
        "run starts, 2 where it uses none. Without a cluster: at most 8 for each CPU.",
    )
    device: Device = Field(
        "auto", description="auto: a GPU for each worker where the cluster has them, else CPUs."
    )
    cpus_per_worker: PositiveFloat = Field(1.0, description="CPUs that Ray reserves per worker.")
    storage_path: Location | None = Field(
        None,
        description="Folder or pyarrow URI for prepared data and checkpoints, such as "
        "s3://bucket/folder?endpoint_override=https://host:9000; every node must reach it. Keys "
        "come from each node's environment (AWS_ACCESS_KEY_ID), never from here. Default: "
        "RNNLANE_HOME, else .rnnlane in the working directory.",
    )
    cache_gb: float = Field(
        10.0,
        ge=0,
        allow_inf_nan=False,
        description="GB of each node's disk, and at most half of what is free there, for copies of "
        "files that are read from an object store in every epoch: shards, val and test of "
        "data.feed streaming. 0: none.",
    )
    max_restarts: int = Field(
        3,
        ge=0,
        description="Times a run continues from its last checkpoint after a lost worker, node or "
        "controller, or a process group that could not be set up; all of these together. Preparing "
        "the data is repeated as often after a lost node.",
    )
    resize_every_s: Seconds = Field(
        60.0,
        description="For num_workers [min, max]: seconds between checks for room for more workers. "
        "Adding them repeats the steps since the last checkpoint.",
    )
    collective_timeout_s: Seconds = Field(
        300.0, description="Seconds a worker waits for the others before it considers them lost."
    )

    @field_validator("num_workers", mode="before")
    @classmethod
    def _is_a_count_or_a_range(cls, value: Any) -> Any:
        # Checked here, because pydantic would report an error for each member of the union.
        if (type(value) is int and value >= 0) or value == "auto":
            return value
        if isinstance(value, list | tuple) and [type(bound) for bound in value] == [int, int]:
            least, most = value
            if 1 <= least < most:
                return value
        raise ValueError(
            "num_workers must be a whole number from 0, [min, max] with 1 <= min < max, or auto, "
            f"but got {list(value) if isinstance(value, tuple) else value!r}"
        )

    @property
    def min_workers(self) -> int:
        """The fewest workers that the run continues with."""
        return self._bounds[0]

    @property
    def max_workers(self) -> int:
        """The most workers that the run uses; 1 for auto, before the cluster's GPUs are counted."""
        return self._bounds[1]

    @property
    def is_elastic(self) -> bool:
        """Whether the number of workers may change during the run."""
        return isinstance(self.num_workers, tuple)

    @property
    def _bounds(self) -> tuple[int, int]:
        if isinstance(self.num_workers, tuple):
            return self.num_workers
        count = 1 if self.num_workers == "auto" else self.num_workers
        return count, count
