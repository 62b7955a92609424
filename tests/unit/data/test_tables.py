import bz2
import csv
import gzip
import io
import json
from types import SimpleNamespace

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from rnnlane.config import experiment_from_mapping
from rnnlane.data.tables import TextTable, answered_table, read_table, table_kind
from rnnlane.errors import DataError

ANSWERS = {"predicted_label": ["x", "y", "x"], "probability_x": [0.75, 0.25, 0.5]}


def data(kind="generated", **settings):
    columns = settings.pop("columns", {})
    source = {"kind": kind, **({"path": "p"} if kind != "generated" else {}), **settings}
    experiment = {"name": "x", "data": {"source": source, "columns": columns}}
    return experiment_from_mapping(experiment).data


def read(folder, name, content, **settings):
    (folder / name).write_bytes(content)
    return read_table(folder / name, data(**settings))


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("a.csv", "csv"),
        ("a.TSV", "csv"),
        ("a.csv.gz", "csv"),
        ("a.jsonl", "jsonl"),
        ("a.ndjson.zst", "jsonl"),
        ("a.parquet", "parquet"),
        ("a.txt", None),
        ("csv", None),
    ],
)
def test_the_name_tells_the_kind(name, kind):
    assert table_kind(name) == kind


def test_a_csv_file_has_its_rows_and_columns(tmp_path):
    content = b'id, text ,label\r\n1,"a ""fine"", film\nof two lines",pos\n\n2,,neg\n3\n'
    table = read(tmp_path, "x.csv", content)
    assert table.columns == ("id", "text", "label")
    assert table.texts == ['a "fine", film\nof two lines', "", ""]
    assert [row["id"] for row in table.rows] == ["1", "2", "3"]
    assert table.num_missing == 2


@pytest.mark.parametrize(
    ("name", "settings"),
    [
        ("x.tsv", {}),
        ("x.tsv.gz", {}),
        ("x.tsv", {"kind": "csv", "delimiter": ";"}),
        ("x.csv", {"kind": "csv", "delimiter": "\t"}),
    ],
)
def test_a_tab_delimits_where_the_name_or_the_experiment_says_so(tmp_path, name, settings):
    content = b"review\tstars\na film, fine\t1\n"
    content = gzip.compress(content) if name.endswith(".gz") else content
    table = read(tmp_path, name, content, columns={"text": "review"}, **settings)
    assert table.texts == ["a film, fine"]
    assert table.columns == ("review", "stars")


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
def test_a_byte_order_mark_is_no_part_of_a_name(tmp_path, encoding):
    assert read(tmp_path, "x.csv", "text\nété\n".encode(encoding)).texts == ["été"]


def test_a_column_is_found_as_a_source_finds_it(tmp_path):
    content = "Review\u00a0  te\u0301xt\u200b,n\na film,1\n".encode()
    table = read(tmp_path, "x.csv", content, columns={"text": "Review t\u00e9xt"})
    assert table.texts == ["a film"]
    with pytest.raises(DataError, match="the texts are in the column 'a b'"):
        read(tmp_path, "y.csv", b"a  b,a   b\n1,2\n", columns={"text": "a b"})


def test_json_lines_have_the_columns_of_all_rows(tmp_path):
    content = b'{"text": "a", "n": 1}\n\n{"text": null}\n{"b": [1], "n": "x"}\n'
    table = read(tmp_path, "x.jsonl", content)
    assert (table.texts, table.num_missing) == (["a", "", ""], 2)
    assert table.columns == ("text", "n", "b")
    (done,) = [answered_table(table, ANSWERS, kind="jsonl")]
    assert [json.loads(line) for line in done.splitlines()] == [
        {"text": "a", "n": 1, "predicted_label": "x", "probability_x": 0.75},
        {"text": None, "predicted_label": "y", "probability_x": 0.25},
        {"b": [1], "n": "x", "predicted_label": "x", "probability_x": 0.5},
    ]


@pytest.mark.parametrize(
    "kind",
    [pa.string(), pa.large_string(), pa.dictionary(pa.int32(), pa.string()), pa.binary()],
    ids=str,
)
def test_a_parquet_file_keeps_its_types(tmp_path, kind):
    texts = pa.array(["a", None, "é"]).cast(kind)
    times = pa.array([1, 2, None], pa.timestamp("s"))
    pq.write_table(pa.table({"text": texts, "at": times}), tmp_path / "x.parquet")
    table = read_table(tmp_path / "x.parquet", data())
    assert (table.texts, table.num_missing) == (["a", "", "é"], 1)
    done = pq.read_table(pa.BufferReader(answered_table(table, ANSWERS, kind="parquet")))
    assert done.column_names == ["text", "at", "predicted_label", "probability_x"]
    assert done["at"].equals(pa.chunked_array([times.cast(pa.timestamp("ms"))]))
    assert done["predicted_label"].to_pylist() == ["x", "y", "x"]
    line = answered_table(table, ANSWERS, kind="jsonl").splitlines()[0]
    assert json.loads(line)["at"] == "1970-01-01 00:00:01"


def test_each_kind_of_table_can_become_each_other(tmp_path):
    content = 'text,n\n"a, ""b""\n\u2028c",1\né,2\n'.encode()
    table = read(tmp_path, "x.csv", content)
    answers = {name: values[:2] for name, values in ANSWERS.items()}
    rows = list(csv.reader(io.StringIO(answered_table(table, answers, kind="csv").decode())))
    assert rows[0] == ["text", "n", "predicted_label", "probability_x"]
    assert rows[1] == ['a, "b"\n\u2028c', "1", "x", "0.75"]
    lines = answered_table(table, answers, kind="jsonl").decode().splitlines()
    assert [json.loads(line)["text"] for line in lines] == table.texts
    done = pq.read_table(pa.BufferReader(answered_table(table, answers, kind="parquet")))
    assert done["text"].to_pylist() == table.texts


def test_texts_alone_are_a_table_of_one_column():
    table = TextTable.of_texts(["a", "b\ud83d", ""])
    done = answered_table(table, ANSWERS, kind="csv", delimiter="\t").decode()
    assert done.splitlines()[0].split("\t") == ["text", *ANSWERS]
    done = pq.read_table(pa.BufferReader(answered_table(table, ANSWERS, kind="parquet")))
    assert done["text"].to_pylist() == ["a", "b?", ""]
    lines = answered_table(table, ANSWERS, kind="jsonl").splitlines()
    assert json.loads(lines[1])["text"] == "b\ud83d"


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("x.csv", b"review,label\na,b\n", "column 'text', as in the run's experiment, but the col"),
        ("x.csv", b"text;label\na;b\n", "are 'text;label'"),
        ("x.csv", b"", "the columns of this table are none"),
        ("x.csv", b"text,text\na,b\n", "must differ"),
        ("x.csv", b"text,label\na, b, c\n", "at most 2 fields like the first line, but got 3"),
        ("x.csv", b'text\n"a\n', "not valid csv"),
        ("x.csv", "text\nétait\n".encode("latin-1"), "1 of 2 lines are not"),
        ("x.csv", gzip.compress(b"text\na\n", mtime=0), "zero bytes"),
        ("x.csv.gz", b"text\na\n", "cannot read the table"),
        ("x.csv.bz2", bz2.compress(b"text\na\n" * 999)[:40], "cannot read the table"),
        ("x.jsonl", b'{"text": "a"}\n{"text"\n', "not valid JSON"),
        ("x.json", b'[{"text": "a"}]', "must hold a JSON object, but got list"),
        ("x.jsonl", b'{"text": 3}', "must hold text, but got int in row 1"),
        ("x.jsonl", b'{"review": "a"}', "are 'review'"),
        ("x.parquet", b"PAR1 no", "not a readable Parquet file"),
    ],
)
def test_a_table_that_cannot_be_read_is_refused(tmp_path, name, content, message):
    with pytest.raises(DataError, match=message) as caught:
        read(tmp_path, name, content)
    assert caught.value.where.startswith(str(tmp_path / name))


def test_broken_utf8_in_a_parquet_file_is_refused_above_a_share(tmp_path):
    for num_rows, is_refused in ((50, True), (200, False)):
        texts = pa.array([b"caf\xe9", *[b"a"] * (num_rows - 1)])
        pq.write_table(pa.table({"text": texts}), tmp_path / "x.parquet")
        if is_refused:
            with pytest.raises(DataError, match="1 of 50 are not"):
                read_table(tmp_path / "x.parquet", data())
        else:
            table = read_table(tmp_path / "x.parquet", data())
            assert (table.num_broken, table.texts[0]) == (1, "caf\ufffd")


def test_answers_replace_no_column_and_mixed_types_are_told(tmp_path):
    table = read(tmp_path, "x.csv", b"text,predicted_label\na,b\n")
    with pytest.raises(DataError, match="'predicted_label', but the table has one") as caught:
        answered_table(table, {"predicted_label": ["x"]}, kind="csv")
    assert caught.value.where == str(tmp_path / "x.csv")
    table = read(tmp_path, "y.jsonl", b'{"text": "a", "n": 1}\n{"text": "b", "n": "x"}\n')
    with pytest.raises(DataError, match="'n' has several"):
        answered_table(table, {"predicted_label": ["x", "y"]}, kind="parquet")


def laid_out(text="text", **source):
    """The data section of an experiment whose source has these settings."""
    source = {"kind": "csv", "delimiter": ",", **source}
    return SimpleNamespace(columns=SimpleNamespace(text=text), source=SimpleNamespace(**source))


@pytest.mark.parametrize(
    ("content", "data", "texts"),
    [
        ("text,n\nфильм,1\n".encode("cp1251"), laid_out(encoding="cp1251"), ["фильм"]),
        (b'n|text\n1|"a film\n2|my 15"\n', {"quoting": "none"}, ['"a film', 'my 15"']),
        (b'n|text\n1| "a | b"\n', {}, ["a | b"]),
        (b"pos|a film\nneg|dull\n", {"header": False, "text": "2"}, ["a film", "dull"]),
        (b"text|n||\na film|1||\n", {}, ["a film"]),
        (b"title|body|text\na|film|\nb||\n||\n", {"text": ("title", "body")}, ["a\nfilm", "b", ""]),
    ],
)
def test_a_csv_file_is_laid_out_as_the_experiments(tmp_path, content, data, texts):
    (tmp_path / "x.csv").write_bytes(content)
    data = laid_out(**{"delimiter": "|", **data}) if isinstance(data, dict) else data
    table = read_table(tmp_path / "x.csv", data)
    assert table.texts == texts
    assert len(table.rows) == len(texts)


def test_a_text_may_be_nested_in_json(tmp_path):
    lines = [{"body": {"text": "a"}}, {"body": None}, {"body": {"text": None}}, {"n": 1}]
    (tmp_path / "x.jsonl").write_text("\n".join(map(json.dumps, lines)))
    table = read_table(tmp_path / "x.jsonl", laid_out("body.text"))
    assert table.texts == ["a", "", "", ""]
    with pytest.raises(DataError, match="in the column 'title'"):
        read_table(tmp_path / "x.jsonl", laid_out("body.title"))
