"""The runtime section: where an experiment runs, and on how many processes."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, field_validator

from rnnlane.config.section import Location, PositiveFloat, PositiveInt, Section


class RuntimeConfig(Section):
    """Where and on how many processes it runs; does not change what is computed."""

    num_workers: Annotated[int, Field(ge=0)] | tuple[PositiveInt, PositiveInt] = Field(
        2,
        description="DDP workers; 0 trains in this process, without Ray Train. [least, most] takes "
        "what the cluster has: a run goes on with fewer when a node is lost, from its last "
        "checkpoint, and with more when one comes.",
    )
    device: Literal["auto", "cpu", "gpu"] = Field(
        "auto", description="auto: a GPU for each worker where the cluster has them, else CPUs."
    )
    cpus_per_worker: PositiveFloat = Field(1.0, description="CPUs that Ray sets aside a worker.")
    storage_path: Location | None = Field(
        None,
        description="Folder or pyarrow URI for prepared data and checkpoints, such as "
        "s3://bucket/folder?endpoint_override=https://host:9000; every node must reach it. Keys "
        "come from each node's environment (AWS_ACCESS_KEY_ID), never from here. Default: "
        "RNNLANE_HOME, else .rnnlane in the working directory.",
    )
    max_restarts: int = Field(
        3,
        ge=0,
        description="Times a run goes on from its last checkpoint after a lost worker, node or "
        "controller, or a process group that could not be set up; all of them together.",
    )
    resize_every_s: PositiveFloat = Field(
        60.0,
        description="For num_workers [least, most]: seconds between looks for room for more "
        "workers. Taking them in repeats the steps since the last checkpoint.",
    )
    collective_timeout_s: PositiveFloat = Field(
        300.0, description="Seconds a worker waits for the others before it counts them as lost."
    )

    @field_validator("num_workers", mode="before")
    @classmethod
    def _is_a_count_or_a_range(cls, value: Any) -> Any:
        # Here and not by type: pydantic would tell of each member of the union by itself.
        if type(value) is int and value >= 0:
            return value
        if isinstance(value, list | tuple) and [type(bound) for bound in value] == [int, int]:
            least, most = value
            if 1 <= least < most:
                return value
        raise ValueError(
            "num_workers must be a whole number from 0, or [least, most] with 1 <= least < most, "
            f"but got {list(value) if isinstance(value, tuple) else value!r}"
        )

    @property
    def min_workers(self) -> int:
        """The fewest workers that the run goes on with."""
        return self.num_workers if isinstance(self.num_workers, int) else self.num_workers[0]

    @property
    def max_workers(self) -> int:
        """The most workers that the run takes."""
        return self.num_workers if isinstance(self.num_workers, int) else self.num_workers[1]

    @property
    def is_elastic(self) -> bool:
        """Whether the number of workers may change while the run goes on."""
        return not isinstance(self.num_workers, int)
