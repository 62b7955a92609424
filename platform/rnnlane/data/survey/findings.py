"""What a survey found, in lines for people: what shows, and what may be otherwise."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from rnnlane.config.class_names import near_duplicates
from rnnlane.data.prepare.labels import counts_text
from rnnlane.data.survey.layout import DELIMITERS
from rnnlane.data.survey.rows import MAX_ROWS
from rnnlane.data.survey.survey import NEEDED, Survey
from rnnlane.records.draft import Finding

_MUCH_CUT = 0.05
_MOST_PAIRS = 3
_FEW = 10  # different texts of a class
_TEST_FILE = re.compile(r"(^|[/_.-])test([/_.-]|$)", re.IGNORECASE)


def findings_of(survey: Survey) -> Iterator[Finding]:
    """All that the drafted experiment rests on."""
    yield from _of_files(survey)
    yield from _of_columns(survey)
    yield from _of_rows(survey)
    text = survey.text
    kept = f"{1 - text.cut:.1%} of the texts are" if text.cut else "no text is"
    cut = f"{kept} {'not ' if text.cut else ''}longer; the longest has {text.longest:,}"
    yield Finding(
        "tokens",
        f"{text.tokenizer}{f', because {text.reason}' if text.reason else ''}; at most "
        f"{text.max_length}: {cut}",
        "text.max_length decides; a longer one takes more time" if text.cut > _MUCH_CUT else None,
    )
    if text.min_count == 1:
        yield Finding(
            "vocabulary", "min_count 1, because most words of so few texts are there once"
        )


def _of_files(survey: Survey) -> Iterator[Finding]:
    num_files = len(survey.files)
    several = "" if num_files == 1 else f"{num_files:,} of "
    yield Finding("files" if several else "file", f"{several}{survey.source.kind}")
    tests = [file.name for file in survey.files if _TEST_FILE.search(file.name)]
    if tests and len(tests) < num_files:
        yield Finding(
            "split",
            "the rows of all files are dealt to train, val and test",
            f"{tests[0]!r} may be an official test; data.source.test_path and data.test: official "
            "keep it apart",
        )
    if (layout := survey.layout) is not None:
        others = " or ".join(DELIMITERS.get(each, repr(each)) for each in layout.others)
        yield Finding(
            "delimiter",
            DELIMITERS.get(layout.delimiter, repr(layout.delimiter))
            + ("" if layout.quoting == "standard" else "; a quote is a character like any other"),
            f"{others} divides the rows as well; --delimiter decides" if others else None,
        )
        yield Finding(
            "header",
            "the first line names the columns" if layout.header else "none, columns are numbered",
            None if layout.is_header_sure else "not certain; --header or --no-header decides",
        )
    if (encoding := survey.encoding) is not None:
        doubt = None
        if encoding.is_guess:
            others = " or ".join(encoding.others)
            may_be = f", and {others} is possible too" if others else ""
            doubt = f"a guess by the letters{may_be}; --encoding decides"
        marked = f"{encoding.marked}, by its byte order mark" if encoding.marked else None
        yield Finding("encoding", marked or encoding.name, doubt)


def _of_columns(survey: Survey) -> Iterator[Finding]:
    roles = survey.roles
    yield Finding("text", _named(roles.texts), _or_else(roles.other_texts, "--text"))
    yield Finding("label", _named([roles.label]), _or_else(roles.other_labels, "--label"))
    if roles.id is not None:
        yield Finding("id", _named([roles.id]))
    if roles.groups:
        name = roles.groups[0]
        yield Finding(
            "groups",
            "none, each row is dealt to a split alone",
            f"rows with the same {name!r} may be alike; data.columns.group: {name} keeps them in "
            "one split",
        )


def _named(columns: Sequence[str]) -> str:
    names = " and ".join(map(repr, columns))
    return f"column {names}" if len(columns) == 1 else f"columns {names}, joined"


def _or_else(others: Sequence[str], flag: str) -> str | None:
    if not others:
        return None
    names = " or ".join(map(repr, others[:3]))
    return f"{names} may be it too; {flag} decides"


def _of_rows(survey: Survey) -> Iterator[Finding]:
    tally = survey.tally
    missing = {
        "without a text": tally.num_without_text,
        "without a label": tally.num_without_label,
    }
    rows = f"{tally.num_rows:,}" if tally.is_complete else f"the first {MAX_ROWS:,}"
    rows += "".join(f", {count:,} {what}" for what, count in missing.items() if count)
    raised = survey.share_unusable > 0.05
    yield Finding(
        "rows", rows, "many are unusable; data.max_dropped is raised for them" if raised else None
    )
    num_rare = len(survey.rare)
    yield Finding(
        "classes",
        f"{len(survey.classes):,}, by rows {counts_text(survey.classes)}"
        + ("; class weights are balanced" if survey.is_unbalanced else ""),
        "; ".join(near_duplicates(tally.classes)[:_MOST_PAIRS]) or None,
    )
    if num_rare:
        yield Finding(
            "rare classes",
            f"{num_rare:,} left out, by different texts {counts_text(survey.rare)}",
            f"every split needs a row, so a class needs {NEEDED}; data.rare_classes decides",
        )
    few = {name: n for name, n in tally.different.items() if NEEDED <= n < _FEW}
    if few:
        yield Finding(
            "few rows",
            f"{len(few):,} classes have fewer than {_FEW} different texts"
            if len(few) > 1
            else f"class {next(iter(few))!r} has fewer than {_FEW} different texts",
            "their figures will be chance; more rows decide",
        )
