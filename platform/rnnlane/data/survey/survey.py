"""What was found out about files of labeled texts."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from rnnlane.data.sources.column_files import ColumnFileSource
from rnnlane.data.sources.files import SourceFile
from rnnlane.data.survey.columns import Roles
from rnnlane.data.survey.encoding import Encoding
from rnnlane.data.survey.layout import Layout
from rnnlane.data.survey.rows import Tally
from rnnlane.data.survey.texts import TextSettings, text_settings

NEEDED = 3  # different texts of a class: one for each of train, val and test
_UNBALANCED = 3  # times as many rows of the largest class as of the smallest


@dataclass(frozen=True)
class Survey:
    """What was found out about files.

    Attributes:
        location: as the person gave it.
        files: how many.
        source: reads them.
        encoding: of text files.
        layout: of csv files.
        roles: of the columns.
        tally: of the rows.
    """

    location: str
    files: tuple[SourceFile, ...]
    source: ColumnFileSource
    encoding: Encoding | None
    layout: Layout | None
    roles: Roles
    tally: Tally

    @cached_property
    def text(self) -> TextSettings:
        """Settings that suit the texts; there must be one."""
        return text_settings(self.tally.texts)

    @property
    def rare(self) -> dict[str, int]:
        """Different texts of the classes that have too few for every split."""
        return {name: n for name, n in self.tally.different.items() if n < NEEDED}

    @property
    def classes(self) -> dict[str, int]:
        """Rows of the classes that have enough."""
        return {name: n for name, n in self.tally.classes.items() if name not in self.rare}

    @property
    def is_unbalanced(self) -> bool:
        """Whether rare classes would hardly count in a plain loss."""
        sizes = self.classes.values()
        return max(sizes) >= _UNBALANCED * min(sizes)

    @property
    def share_unusable(self) -> float:
        """Share of the rows without a text or without a label."""
        tally = self.tally
        return (tally.num_without_text + tally.num_without_label) / tally.num_rows
