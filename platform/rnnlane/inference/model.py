"""The model of a run, for a script or a notebook: texts in, a table or an explanation out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from rnnlane.errors import ConfigError
from rnnlane.inference.ensemble import AnyPredictor
from rnnlane.records import html
from rnnlane.records.explanation import Explanation
from rnnlane.records.pictures import drawn
from rnnlane.records.plain_text import one_line

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

MAX_PLOTTED = 8


class Model:
    """A trained classifier.

    Attributes:
        run_id: of the run that made it.
        class_names: the classes, in the order of their labels.
    """

    def __init__(self, predictor: AnyPredictor, *, run_id: str):
        self.run_id = run_id
        self.class_names = predictor.class_names
        self._predictor = predictor

    def predict(self, texts: Sequence[str] | pd.Series) -> pd.DataFrame:
        """Classifies texts.

        Args:
            texts: a list of str, or a Series, whose index the answer gets.

        Returns:
            A row a text: ``text``, ``label``, ``probability_<class>``; ``num_known_tokens``, how
            many of its ``num_tokens`` the model knows: where it is 0, the answer says nothing about
            the text; and ``is_sure``, whether the answer is more than a guess.

        Raises:
            ConfigError: it is one text, or there is something among them that is no str.
        """
        import pandas as pd

        index = texts.index if isinstance(texts, pd.Series) else None
        table = pd.DataFrame({"text": _checked(texts)}, index=index)
        answer = self._predictor.predict(table["text"].tolist())
        columns = answer.columns()
        table["label"] = columns.pop("predicted_label")
        for name, values in columns.items():
            table[name] = values
        return table

    def plot(self, texts: Sequence[str]) -> Figure:
        """The probability of each class for up to 8 texts, as a matplotlib figure.

        Raises:
            ConfigError: it is one text, there is none or more than 8, or one is no str.
        """
        given = _checked(texts)
        if not 1 <= len(given) <= MAX_PLOTTED:
            raise ConfigError(
                f"a picture shows 1 to {MAX_PLOTTED} texts, but got {len(given)}",
                where="texts",
                remedy=f"give the first {MAX_PLOTTED}; predict answers any number",
            )
        answer = self._predictor.predict(given)
        shown = [one_line(text) for text in given]
        return drawn("confidence", shown, answer.probabilities, self.class_names)

    def explain(self, text: str, *, label: str | None = None) -> Explanation:
        """How much each token of a text speaks for a label, and how much against it.

        Args:
            text: any text.
            label: which class; default: the one that the model gives the text.

        Raises:
            ConfigError: the text is no str, or the model has no such class.
        """
        _checked([text])
        if label is not None and label not in self.class_names:
            raise ConfigError(
                f"a label is one of the model's classes, but got {label!r}",
                where="label",
                remedy=f"they are {', '.join(self.class_names[:20])}",
            )
        return self._predictor.explain(text, label=label)

    def __repr__(self) -> str:
        names = ", ".join(self.class_names[:5])
        more = ", ..." if len(self.class_names) > 5 else ""
        return f"Model(run {self.run_id[:8]}, classes {one_line(names)}{more})"

    def _repr_html_(self) -> str:
        rows = [("run", self.run_id), ("classes", ", ".join(self.class_names))]
        return html.card("Model", html.table(rows))


def _checked(texts: Sequence[str] | pd.Series) -> list[str]:
    """The texts as a list; a missing one of a Series is no str."""
    import numpy as np
    import pandas as pd

    # Iterating over a DataFrame or a dict would classify the names of its columns.
    is_list = isinstance(texts, Sequence | pd.Series | pd.Index | np.ndarray)
    given = list(texts) if is_list and not isinstance(texts, str | bytes) else None
    wrong = [index for index, text in enumerate(given or ()) if not isinstance(text, str)]
    if given is None or wrong:
        got = f"{given[wrong[0]]!r} at position {wrong[0]}" if given else _kind(texts)
        raise ConfigError(
            f"texts must be a sequence of str, but got {got}",
            where="texts",
            remedy="give a list of str, or a Series without missing values, such as table['text']",
        )
    return given


def _kind(value: object) -> str:
    return "None" if value is None else f"one {type(value).__name__}"
