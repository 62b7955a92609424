"""Why a model gave a text its label: the share of each token."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from rnnlane.records import html
from rnnlane.records.pictures import drawn
from rnnlane.records.plain_text import one_line

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

# Blue and vermilion, as in the pictures; transparent, so that a dark page can show them too.
_FOR, _AGAINST = "0,114,178", "213,94,0"
_MOST_OPAQUE = 0.6


@dataclass(frozen=True, repr=False)
class Explanation:
    """What each token adds to a label's log-odds. A notebook shows it as a colored text.

    The shares and ``base`` add up to ``log_odds``, to within ``gap``.

    Attributes:
        text: what was asked.
        label: the class that is explained.
        probability: of that class.
        tokens: those that the model reads, in their order.
        known: whether each has an id of its own; what is not known shares one.
        shares: of each token: above 0 it speaks for the label, below 0 against it.
        base: log-odds of the label where no token says anything.
        log_odds: ln(p / (1 - p)) of the label, given the text.
        num_unread: tokens of the text beyond the ``text.max_length`` that the model reads.
    """

    text: str
    label: str
    probability: float
    tokens: tuple[str, ...]
    known: tuple[bool, ...]
    shares: tuple[float, ...]
    base: float
    log_odds: float
    num_unread: int = 0

    @property
    def gap(self) -> float:
        """What the sum misses, in log-odds: shares are an integral that is computed in steps."""
        return self.log_odds - self.base - sum(self.shares)

    @property
    def table(self) -> pd.DataFrame:
        """A row a token, in the order of the text, with the columns token, share and known."""
        import pandas as pd

        columns = {"token": self.tokens, "share": self.shares, "known": self.known}
        return pd.DataFrame({name: list(values) for name, values in columns.items()})

    def plot(self) -> Figure:
        """The tokens, colored by their shares, as a matplotlib figure."""
        return drawn("token_shares", self)

    def intensities(self) -> list[float]:
        """Each share as a part of the largest one, in [-1, 1]."""
        most = max(map(abs, self.shares), default=0.0)
        return [share / most if most else 0.0 for share in self.shares]

    def __repr__(self) -> str:
        first = sorted(zip(self.shares, self.tokens, strict=True), key=lambda one: -abs(one[0]))
        most = ", ".join(f"{one_line(token)} {share:+.2f}" for share, token in first[:3])
        return f"Explanation({one_line(self.label)} {self.probability:.1%}: {most})"

    def _repr_html_(self) -> str:
        tokens = zip(self.tokens, self.shares, self.intensities(), self.known, strict=True)
        words = " ".join(_word(*token) for token in tokens)
        notes = [f"log-odds {self.log_odds:+.2f}, of which {self.base:+.2f} without any token"]
        if not all(self.known):
            notes.append("underlined: tokens that the model does not know")
        if self.num_unread:
            notes.append(f"{self.num_unread:,} more tokens are not read (text.max_length)")
        body = f'<div style="line-height:1.9;max-width:60em">{words}</div>'
        title = f"{self.label} {self.probability:.1%}"
        return html.card(title, body, html.paragraphs(notes))


def _word(token: str, share: float, intensity: float, is_known: bool) -> str:
    color = _FOR if intensity > 0 else _AGAINST
    style = f"background:rgba({color},{_MOST_OPAQUE * abs(intensity):.2f});border-radius:0.2em"
    if not is_known:
        style += ";text-decoration:underline dotted"
    return f'<span style="{style};padding:0.1em" title="{share:+.3f}">{html.text(token)}</span>'
