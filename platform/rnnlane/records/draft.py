"""An experiment that was drafted for a file: what `rnnlane init` was told, found and wrote."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from rnnlane.config.experiment import ExperimentConfig


@dataclass(frozen=True)
class Hints:
    """What a person says of a file; what is missing is found out.

    Attributes:
        texts: columns of the text.
        label: column of the class.
        delimiter: of a csv file: a character, or comma, tab, semicolon or pipe.
        encoding: of a text file without a byte order mark.
        header: whether the first line of a csv file names the columns.
    """

    texts: tuple[str, ...] = ()
    label: str | None = None
    delimiter: str | None = None
    encoding: str | None = None
    header: bool | None = None


@dataclass(frozen=True)
class Finding:
    """Something found out about a file.

    Attributes:
        what: such as "label".
        found: in words.
        doubt: why it may be otherwise, and the flag or the key that decides; None: it shows.
    """

    what: str
    found: str
    doubt: str | None = None

    def __str__(self) -> str:
        return f"{self.what}: {self.found}" + (f" ({self.doubt})" if self.doubt else "")


@dataclass(frozen=True)
class ExperimentDraft:
    """An experiment for a file.

    Attributes:
        config: the experiment.
        yaml: its text.
        findings: what it rests on.
        path: of the written file; None: not written.
    """

    config: ExperimentConfig
    yaml: str
    findings: tuple[Finding, ...]
    path: str | None = None

    def as_dict(self) -> dict[str, Any]:
        """What ``--json`` prints."""
        return {
            "experiment": self.path,
            "findings": [
                {"what": each.what, "found": each.found, "doubt": each.doubt}
                for each in self.findings
            ],
            "config": self.config.model_dump(mode="json"),
        }
