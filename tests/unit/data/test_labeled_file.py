import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from rnnlane.config import experiment_from_mapping
from rnnlane.data.labeled_file import counted, read_labeled
from rnnlane.errors import ConfigError, DataError

CLASSES = ("neg", "pos")
CSV = "Body,Stars\n a film,pos\nfine;é,neg\n"


def data(kind="generated", **source):
    source |= {"path": "own"} if kind != "generated" else {}
    columns = {"text": "Body", "label": "Stars"}
    values = {"name": "x", "data": {"source": {"kind": kind, **source}, "columns": columns}}
    return experiment_from_mapping(values).data


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("x.csv", CSV),
        ("x.tsv", CSV.replace(",", "\t")),
        ("x.jsonl", '{"Body": "a film", "Stars": "pos"}\n{"Body": "fine;é", "Stars": "neg"}'),
    ],
)
def test_a_file_is_read_by_the_columns_of_the_experiment(tmp_path, name, content):
    (tmp_path / name).write_text(content)
    rows = read_labeled(str(tmp_path / name), data(), class_names=CLASSES)
    assert (rows.texts, rows.labels) == (["a film", "fine;é"], [1, 0])
    assert (rows.skipped, rows.unknown_labels, rows.num_broken) == ({}, {}, 0)


@pytest.mark.parametrize("unused", ["id", "group"])
def test_a_file_needs_no_ids_and_groups(tmp_path, unused):
    (tmp_path / "x.csv").write_text(CSV)
    own = data("csv")
    own = own.model_copy(update={"columns": own.columns.model_copy(update={unused: "Nr"})})
    assert read_labeled(str(tmp_path / "x.csv"), own, class_names=CLASSES).labels == [1, 0]


def test_a_file_of_the_experiments_kind_is_read_by_its_settings(tmp_path):
    (tmp_path / "x.csv").write_text(CSV.replace(",", "|"))
    own = data("csv", delimiter="|")
    assert read_labeled(str(tmp_path), own, class_names=CLASSES).labels == [1, 0]
    (tmp_path / "x.tsv").write_text(CSV.replace(",", "\t"))
    assert read_labeled(str(tmp_path / "x.tsv"), own, class_names=CLASSES).labels == [1, 0]
    with pytest.raises(DataError, match="the delimiter is ','"):
        read_labeled(str(tmp_path / "x.csv"), data("csv"), class_names=CLASSES)


def test_rows_that_cannot_be_scored_are_counted_by_reason(tmp_path):
    labels = ["pos", None, "neg", "neutral", "mixed", "mixed"]
    texts = [b"a", b"b", None, b"d", b"e", b"f"]
    pq.write_table(pa.table({"Body": texts, "Stars": labels}), tmp_path / "x.parquet")
    rows = read_labeled(str(tmp_path / "x.parquet"), data(), class_names=CLASSES)
    assert (rows.texts, rows.labels) == (["a"], [1])
    assert rows.skipped == {"null_label": 1, "null_text": 1, "unknown_label": 3}
    assert rows.unknown_labels == {"mixed": 2, "neutral": 1}


@pytest.mark.parametrize(
    ("classes", "labels", "unknown"),
    [(None, [1, 2, 2, 2], {}), (("neg", "pos", "rare"), [1, 2, 2], {"x": 1})],
)
def test_rare_classes_count_as_the_one_that_they_are_merged_into(
    tmp_path, caplog, classes, labels, unknown
):
    (tmp_path / "x.csv").write_text("Body,Stars\na,pos\nb,rare\nc,rare\nd,x\n")
    own = data("csv").model_copy(update={"rare_classes": "merge:other", "classes": classes})
    rows = read_labeled(str(tmp_path / "x.csv"), own, class_names=(*CLASSES, "other"))
    assert (rows.labels, rows.unknown_labels) == (labels, unknown)
    assert "which count as 'other': 'rare' (2)" in caplog.text
    alone = read_labeled(str(tmp_path / "x.csv"), data("csv"), class_names=(*CLASSES, "other"))
    assert (alone.labels, alone.unknown_labels) == ([1], {"rare": 2, "x": 1})


@pytest.mark.parametrize(
    ("texts", "message"),
    [
        ({"Body": "a", "Stars": "1"}, r"'neg', 'pos', but .*\(1 unknown_label\); .* '1' \(1\)"),
        ({"Body": "a"}, r"but there is none \(1 null_label\)"),
    ],
)
def test_a_file_of_which_no_row_can_be_scored_is_refused(tmp_path, texts, message):
    (tmp_path / "x.jsonl").write_text(json.dumps(texts))
    with pytest.raises(DataError, match=message) as caught:
        read_labeled(str(tmp_path / "x.jsonl"), data(), class_names=CLASSES)
    assert caught.value.where == str(tmp_path / "x.jsonl")


def test_another_kind_or_encoding_is_refused(tmp_path):
    with pytest.raises(ConfigError, match=r"must be a file that ends in \.csv"):
        read_labeled(str(tmp_path / "x.txt"), data(), class_names=CLASSES)
    with pytest.raises(ConfigError, match="but got ''"):
        read_labeled("", data("csv"), class_names=CLASSES)
    with pytest.raises(DataError, match="no such file") as caught:
        read_labeled(str(tmp_path / "x.csv"), data(), class_names=CLASSES)
    assert caught.value.where == f"--data {tmp_path / 'x.csv'}"
    (tmp_path / "x.csv").write_bytes("Body,Stars\nété,pos\n".encode("latin-1"))
    with pytest.raises(DataError, match="UTF-8"):
        read_labeled(str(tmp_path / "x.csv"), data(), class_names=CLASSES)


def test_many_names_are_cut():
    assert counted(dict.fromkeys("abcdefg", 2), most=2) == "'a' (2), 'b' (2) and 5 more"
