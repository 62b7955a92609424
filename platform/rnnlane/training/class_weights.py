"""How much a row counts in the loss, by its class."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

from rnnlane.errors import ConfigError


def check_class_weights(setting: str | Mapping[str, float], class_names: Sequence[str]) -> None:
    """Refuses weights of classes that the data does not have.

    Raises:
        ConfigError: names the first such class.
    """
    if isinstance(setting, str):
        return
    unknown = [name for name in setting if name not in class_names]
    if unknown:
        near = difflib.get_close_matches(unknown[0], class_names, n=1)
        shown = ", ".join(class_names[:10]) + (", ..." if len(class_names) > 10 else "")
        raise ConfigError(
            f"the names must be classes of the data, but got {unknown[0]!r}",
            where="training.class_weights",
            remedy=f"did you mean {near[0]!r}?" if near else f"the classes are {shown}",
        )


def class_weights(
    setting: str | Mapping[str, float],
    counts: npt.NDArray[np.int64],
    class_names: Sequence[str],
) -> npt.NDArray[np.float32] | None:
    """The weight of each class: float32 [C], or None where all rows count the same.

    Args:
        setting: none; balanced, which makes every class that occurs count the same in all, at a
            mean of 1 over the rows; or weights by name, 1 for classes that are not named.
        counts: rows of each class of the train split, int64 [C].
        class_names: C names, by label.

    Raises:
        ConfigError: a name is not a class of the data.
    """
    check_class_weights(setting, class_names)
    if setting == "none":
        return None
    if isinstance(setting, Mapping):
        return np.array([setting.get(name, 1.0) for name in class_names], dtype=np.float32)
    weights = np.ones(len(class_names), dtype=np.float32)
    occurs = counts > 0
    weights[occurs] = counts.sum() / (occurs.sum() * counts[occurs])
    return weights
