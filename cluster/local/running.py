"""What has been started of a cluster, recorded at once, so that it is found after a crash."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import processes
from processes import Service


class Running:
    """The services of one ``up``.

    Attributes:
        mark: what all its processes inherit.
        port: the first of the cluster's.
        temporary: Ray's folder, which goes with it.
        services: in the order in which they were started.
    """

    def __init__(
        self,
        record: Path,
        *,
        mark: str,
        port: int,
        temporary: Path,
        services: Sequence[Service] = (),
    ):
        self.mark = mark
        self.port = port
        self.temporary = temporary
        self.services = list(services)
        self._record = record
        self._write()

    @classmethod
    def read(cls, record: Path) -> Running | None:
        """What an ``up`` has started, whether or not it completed; None after a ``down``."""
        if not record.exists():
            return None
        content = json.loads(record.read_text(encoding="utf-8"))
        return cls(
            record,
            mark=content["mark"],
            port=content["port"],
            temporary=Path(content["temporary"]),
            services=[Service(**service) for service in content["services"]],
        )

    def add(self, service: Service) -> None:
        """Records one more service."""
        self.services.append(service)
        self._write()

    def _write(self) -> None:
        content = {
            "mark": self.mark,
            "port": self.port,
            "temporary": str(self.temporary),
            "services": [asdict(service) for service in self.services],
        }
        temporary = self._record.with_suffix(".new")
        temporary.write_text(json.dumps(content), encoding="utf-8")
        temporary.replace(self._record)

    def ended(self) -> list[str]:
        """Names of those that no longer run."""
        return [service.name for service in self.services if service.process() is None]

    def end_all(self) -> None:
        """Stops the services, last first, then every other process that has the mark."""
        for service in reversed(self.services):
            processes.end(service)
        processes.end_for_good(processes.marked(self.mark))
        shutil.rmtree(self.temporary, ignore_errors=True)
        self._record.unlink(missing_ok=True)
