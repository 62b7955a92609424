"""Text from outside in a picture: which fonts draw it, and names that are short but differ."""

from __future__ import annotations

import logging
import unicodedata
from collections import Counter
from collections.abc import Iterable, Sequence
from functools import cache

logger = logging.getLogger(__name__)

MAX_NAME_CHARS = 24
MAIN_FONT = "DejaVu Sans"
# Of the fonts that have a missing character, these are taken before any other.
_PREFERRED = (
    "Noto Sans CJK SC",
    "Noto Sans CJK JP",
    "Noto Sans Devanagari",
    "Noto Sans Thai",
    "Noto Sans Arabic",
    "Hiragino Sans",
    "Microsoft YaHei",
    "Arial Unicode MS",
)
# They have every character, as a box.
_PLACEHOLDERS = ("Last Resort", ".LastResort", "Adobe Blank")
_WARNED: set[str] = set()


def fonts_for(texts: Iterable[str]) -> list[str]:
    """The families that draw the texts: the main font, then others for what it lacks."""
    missing = {char for char in set("".join(texts)) if not _is_control(char)}
    missing -= _characters(MAIN_FONT)
    families = [MAIN_FONT]
    installed = sorted(_files()) if missing else []
    preferred = [family for family in _PREFERRED if family in installed]
    # Reading what hundreds of fonts have takes seconds: most often the preferred ones suffice.
    for candidates in (preferred, installed):
        while missing and candidates:
            # The first of the best: max() keeps the order.
            family = max(candidates, key=lambda one: len(_characters(one) & missing))
            if not _characters(family) & missing:
                break
            families.append(family)
            missing -= _characters(family)
    return families


def drawable(texts: Sequence[str]) -> list[str]:
    """The texts, with each character that no installed font has as an escape such as ``\\u65e5``.

    Control characters and line breaks are escaped too. Warns of a character once a process.
    """
    families = fonts_for(texts)
    known = set().union(*(_characters(family) for family in families))
    missing = {char for char in set("".join(texts)) if not _is_control(char)} - known
    if not missing <= _WARNED:
        _WARNED.update(missing)
        _warn_of_missing("".join(sorted(missing)[:5]), len(missing))
    return [
        "".join(
            char if char in known and not _is_control(char) else _escaped(char) for char in text
        )
        for text in texts
    ]


def short_names(names: Sequence[str], *, max_chars: int = MAX_NAME_CHARS) -> list[str]:
    """Drawable names of at most ``max_chars`` characters that differ where the names do.

    A long name is cut in its middle. Those that are then equal, and those of which little can be
    drawn, get the number of their place, from 1.
    """
    drawn = drawable(names)
    # An escape must not be cut in two.
    shortened = [
        _cut(full, max_chars) if full == name or len(full) <= max_chars else "…"
        for name, full in zip(names, drawn, strict=True)
    ]
    repeats = Counter(shortened)
    return [
        f"{_cut(short, max_chars - 6)} #{place}" if repeats[short] > 1 or short == "…" else short
        for place, short in enumerate(shortened, start=1)
    ]


def _cut(name: str, max_chars: int) -> str:
    if len(name) <= max_chars:
        return name
    tail = (max_chars - 1) // 2
    return f"{name[: max_chars - 1 - tail]}…{name[len(name) - tail :]}"


def _escaped(char: str) -> str:
    return char.encode("unicode_escape", errors="surrogatepass").decode("ascii")


def _is_control(char: str) -> bool:
    return unicodedata.category(char) in ("Cc", "Cs", "Zl", "Zp")


@cache
def _files() -> dict[str, str]:
    """One upright file of regular weight of each installed family."""
    from matplotlib.font_manager import fontManager

    return {
        font.name: font.fname
        for font in fontManager.ttflist
        if font.style == "normal"
        and font.weight in (400, "normal", "regular", "book")
        and not font.name.startswith(_PLACEHOLDERS)
    }


@cache
def _characters(family: str) -> frozenset[str]:
    """The characters that a family has; none if its file cannot be read."""
    from matplotlib.ft2font import FT2Font

    try:
        return frozenset(map(chr, FT2Font(_files()[family]).get_charmap()))
    except (KeyError, OSError, RuntimeError):
        return frozenset()


def _warn_of_missing(examples: str, count: int) -> None:
    logger.warning(
        "no installed font has %d characters of the names or texts in a picture (such as %s): it "
        "shows their code points; install a font of the script, such as Noto Sans",
        count,
        examples,
    )
