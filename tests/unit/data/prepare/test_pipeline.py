from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rnnlane.config import ExperimentConfig, experiment_from_mapping
from rnnlane.config.data import DataConfig
from rnnlane.config.text import TextConfig
from rnnlane.data.prepare.blocks import (
    count_train_tokens,
    tokenize_rows,
)
from rnnlane.data.prepare.pipeline import check_source
from rnnlane.data.prepare.splits import LEFT_OUT, TEST, TRAIN, VAL
from rnnlane.data.prepare.text import TextProcessor
from rnnlane.data.prepare.vocabulary import merge_counts
from rnnlane.data.sources.row_tables import tables_of
from rnnlane.data.sources.rows import RawRow
from rnnlane.errors import DataError
from support.selected import Selected, selected


def experiment(source: dict[str, Any], **data: Any) -> ExperimentConfig:
    return experiment_from_mapping({"name": "x", "data": {"source": source, **data}})


@pytest.fixture
def tickets(tmp_path: Path) -> Path:
    file = tmp_path / "tickets.csv"
    file.write_text("Body,Queue\nhello,a\n" + "x" * 10 + "\n")
    return file


def test_a_missing_column_is_known_before_anything_starts(tickets: Path) -> None:
    config = experiment({"kind": "csv", "path": str(tickets)}, columns={"text": "Bdy"})
    with pytest.raises(DataError) as caught:
        check_source(config)
    assert "Bdy" in str(caught.value)
    assert "Body" in str(caught.value)


def test_official_test_files_are_looked_at_too(tickets: Path, tmp_path: Path) -> None:
    test = tmp_path / "test.csv"
    test.write_text("Text,Queue\nhello,a\n")
    source = {"kind": "csv", "path": str(tickets), "test_path": str(test)}
    config = experiment(source, columns={"text": "Body", "label": "Queue"}, test="official")
    with pytest.raises(DataError, match=r"test\.csv"):
        check_source(config)


def without_rows(kind: str, file: Path) -> None:
    if kind == "parquet":
        names = [("text", pa.string()), ("label", pa.string())]
        pq.write_table(pa.schema(names).empty_table(), file)
    else:
        file.write_text({"csv": "text,label\n", "jsonl": "\n\n"}[kind])


@pytest.mark.parametrize("kind", ["csv", "jsonl", "parquet"])
def test_a_source_without_rows_is_refused_before_anything_starts(kind: str, tmp_path: Path) -> None:
    for name in ("a", "b"):
        without_rows(kind, tmp_path / f"{name}.{kind}")
    with pytest.raises(DataError, match="there must be rows, but the file holds none"):
        check_source(experiment({"kind": kind, "path": str(tmp_path / f"a.{kind}")}))
    with pytest.raises(DataError, match="there must be rows, but none of the 2 files holds one"):
        check_source(experiment({"kind": kind, "path": str(tmp_path)}))


def test_an_official_test_without_rows_is_refused_and_a_file_without_rows_is_not(
    tickets: Path, tmp_path: Path
) -> None:
    empty = tmp_path / "empty.csv"
    empty.write_text("Body,Queue\n")
    columns = {"text": "Body", "label": "Queue"}
    source = {"kind": "csv", "path": str(tickets), "test_path": str(empty)}
    with pytest.raises(DataError, match=r"empty\.csv: there must be rows"):
        check_source(experiment(source, columns=columns, test="official"))
    check_source(experiment({"kind": "csv", "path": str(tmp_path)}, columns=columns))


def test_what_can_be_read_passes(tickets: Path) -> None:
    columns = {"text": "Body", "label": "Queue"}
    check_source(experiment({"kind": "csv", "path": str(tickets)}, columns=columns))
    check_source(experiment({"kind": "generated"}))


DATA = DataConfig.model_validate({"source": {"kind": "generated"}, "max_dropped": 1})
SIDES = (TRAIN, VAL, TEST)


def noisy_texts(count: int) -> pa.Table:
    """Texts of few words, some in capitals, with markup or broken bytes, some repeated."""
    rng = np.random.default_rng(0)
    words = ["It", "is", "the", "film", "film,", "caf\u00e9", "\uff21b", "<br />", "&amp;", "Fine!"]
    rows = []
    for n in range(count):
        text = " ".join(rng.choice(words, rng.integers(4, 12)))
        text = text.upper() if n % 5 == 0 else text
        content = text.encode() + (b" \xe9" if n % 11 == 0 else b"")
        rows += [RawRow(content, "ab"[n % 2])] * (1 + (n % 7 == 0))
    rows += [RawRow(b"it is the", "a"), RawRow(b"<br />", "b")]
    return pa.concat_tables(tables_of(rows))


def rows_by_side(selection: Selected) -> dict[int, set[int]]:
    return {side: set(np.flatnonzero(selection.split == side).tolist()) for side in SIDES}


def as_dealt(raw: pa.Table) -> Selected:
    """What became of the rows if no two texts looked alike."""
    rows = tokenize_rows(raw, processor=TextProcessor.from_config(TextConfig()))
    index = rows.schema.get_field_index("look")
    return selected(rows.set_column(index, "look", rows["key"]), config=DATA, rows_of_table=400)


RAW = noisy_texts(1000)
DEALT, ROW_KEYS = rows_by_side(as_dealt(RAW)), as_dealt(RAW).row_keys


@settings(deadline=None, max_examples=20)
@given(
    st.builds(
        TextConfig,
        tokenizer=st.sampled_from(["wordpunct", "toktok"]),
        lowercase=st.booleans(),
        strip_html=st.booleans(),
        unicode_form=st.sampled_from(["NFC", "NFKC", "none"]),
        stop_words=st.sampled_from(["off", "english"]),
        max_length=st.integers(4, 20),
        keep=st.sampled_from(["head", "tail"]),
        max_chars=st.integers(25, 90),
    )
)
def test_text_settings_change_the_splits_by_documented_drops_alone(text: TextConfig) -> None:
    table = tokenize_rows(RAW, processor=TextProcessor.from_config(text))
    selection = selected(table, config=DATA, rows_of_table=300)

    looks = table["look"].to_pylist()
    readable = {row for row, look in enumerate(looks) if look is not None}
    rows = rows_by_side(selection)
    lost = {side: len((DEALT[side] & readable) - rows[side]) for side in SIDES}
    assert all(rows[side] <= DEALT[side] & readable for side in SIDES)
    assert lost[TEST] == 0
    assert lost[VAL] == selection.dropped.get("val_like_test", 0)
    assert lost[TRAIN] == selection.dropped.get("train_like_val_or_test", 0)

    # So that runs with other text settings can be compared row by row.
    assert (selection.row_keys[selection.is_used] == ROW_KEYS[selection.is_used]).all()
    assert not selection.row_keys[~selection.is_used].any()

    train, val, test = ({looks[row] for row in rows[side]} for side in SIDES)
    assert train.isdisjoint(val | test)
    assert val.isdisjoint(test)

    counts = merge_counts([count_train_tokens(selection.assignment, table)])
    kept = table["tokens"].take(pa.array(rows[TRAIN])).to_pylist()
    assert counts == Counter(token for tokens in kept for token in tokens)
    assert all(len(tokens) <= text.max_length for tokens in kept)


def test_texts_equal_in_the_tokens_that_are_kept_stand_on_one_side() -> None:
    """200 texts begin alike; of a variant that keeps more, all are used."""
    texts = [f"so it begins and goes on with {n}" for n in range(200)]
    texts += [f"{n} other texts with another beginning" for n in range(800)]
    raw = pa.concat_tables(tables_of(RawRow(t.encode(), "ab"[n % 2]) for n, t in enumerate(texts)))
    sides = {}
    for max_length in (4, 400):
        processor = TextProcessor.from_config(TextConfig(max_length=max_length))
        rows = tokenize_rows(raw, processor=processor)
        sides[max_length] = selected(rows, config=DATA, rows_of_table=300).split
    alike = slice(0, 200)
    assert {LEFT_OUT, TEST} == set(sides[4][alike].tolist())
    assert set(SIDES) == set(sides[400][alike].tolist())
    assert ((sides[4] == TEST) == (sides[400] == TEST)).all()
