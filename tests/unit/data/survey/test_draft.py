"""Files as people have them: each is understood, or refused in one line."""

import gzip
import json
import random

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from rnnlane.config import experiment_from_mapping
from rnnlane.data.survey.draft import default_name, draft_experiment
from rnnlane.errors import DataError, RnnlaneError
from rnnlane.records.draft import Hints

WORDS = (  # noqa: SIM905
    "the printer does not work again please help my account is locked since monday order "
    "arrived broken and i want a refund now thank you very much for your quick answer"
).split()
CYRILLIC = "отзыв этот фильм очень хороший смотрел его дважды всем друзьям плохой".split()  # noqa: SIM905
CHINESE = "这部电影非常好看我很喜欢演员也不错剧情太慢了不推荐给朋友们去看"


def rows(count=120, classes="billing hardware other", words=WORDS, seed=1):
    """Pairs of text and label; the label's name is in the text."""
    draw = random.Random(seed)
    names = classes.split()
    return [
        (f"{' '.join(draw.choices(words, k=9))} {n}", names[n % len(names)]) for n in range(count)
    ]


def lines(table, delimiter=",", header=None):
    """A csv file; texts are quoted where they must be."""

    def field(value):
        text = str(value)
        return f'"{text}"' if delimiter in text else text

    written = [delimiter.join(map(field, row)) for row in ([header] if header else []) + table]
    return "\n".join(written) + "\n"


def drafted(folder, content, name="tickets.csv", **hints):
    file = folder / name
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(content if isinstance(content, bytes) else content.encode())
    return draft_experiment(str(file), name="x", hints=Hints(**hints))


def data_of(draft):
    data = draft.config.model_dump(mode="json")["data"]
    assert data["columns"].pop("group") is None
    return data


def said(draft):
    return " | ".join(map(str, draft.findings))


def doubts(draft):
    return " | ".join(str(each) for each in draft.findings if each.doubt)


HEADER = ["text", "label"]
PLAIN = lines(rows(), header=HEADER)
LABEL_FIRST = [(label, text) for text, label in rows()]
# For csv, one row of five lines.
QUOTED = {5: '"he said', 9: 'that it works"'}
WITH_COMMAS = [(f"well, {text}, yes", label) for text, label in rows()]


@pytest.mark.parametrize(
    ("content", "source", "columns"),
    [
        pytest.param(PLAIN, {}, {}, id="plain"),
        pytest.param(PLAIN.replace("\n", "\r\n"), {}, {}, id="windows line ends"),
        pytest.param("\ufeff" + PLAIN, {}, {}, id="byte order mark"),
        pytest.param(lines(rows(), "\t", HEADER), {"delimiter": "\t"}, {}, id="tabs"),
        pytest.param(lines(rows(), ";", HEADER), {"delimiter": ";"}, {}, id="semicolons"),
        pytest.param(lines(rows(), "|", HEADER), {"delimiter": "|"}, {}, id="pipes"),
        pytest.param(lines(WITH_COMMAS, header=HEADER), {}, {}, id="texts with commas in quotes"),
        pytest.param(
            lines(WITH_COMMAS, ";", HEADER), {"delimiter": ";"}, {}, id="commas between semicolons"
        ),
        pytest.param(
            lines(WITH_COMMAS, "\t"),
            {"delimiter": "\t", "header": False},
            {"text": "1", "label": "2"},
            id="commas between tabs, no header",
        ),
        pytest.param(
            lines(LABEL_FIRST), {"header": False}, {"text": "2", "label": "1"}, id="no header"
        ),
        pytest.param(lines(LABEL_FIRST, header=["label", "text"]), {}, {}, id="label first"),
        pytest.param(
            "".join(f'{label}\t"{text} said\n' for text, label in rows()),
            {"delimiter": "\t", "quoting": "none", "header": False},
            {"text": "2", "label": "1"},
            id="a quote that is only a character",
        ),
        pytest.param(
            lines([(label, QUOTED.get(n, text)) for n, (text, label) in enumerate(rows())], "\t"),
            {"delimiter": "\t", "quoting": "none", "header": False},
            {"text": "2", "label": "1"},
            id="a quote that swallows rows",
        ),
        pytest.param(
            lines([(n, *row) for n, row in enumerate(rows())], header=["", "review", "sentiment"]),
            {},
            {"text": "review", "label": "sentiment"},
            id="an index without a name",
        ),
        pytest.param(
            lines([(n % 7 / 2, *row) for n, row in enumerate(rows())], header=["p", "a", "b"]),
            {},
            {"text": "a", "label": "b"},
            id="names that say nothing",
        ),
        pytest.param(
            lines(rows(classes="0 1"), header=["sentence", "y"]),
            {},
            {"text": "sentence", "label": "y"},
            id="numeric labels",
        ),
        pytest.param(PLAIN.encode("utf-16"), {}, {}, id="utf-16 with a mark"),
        pytest.param(
            PLAIN.encode("utf-16-le"), {"encoding": "utf-16-le"}, {}, id="utf-16 without a mark"
        ),
        pytest.param(
            lines(rows(words=CYRILLIC), ";", ["текст", "класс"]).encode("cp1251"),
            {"delimiter": ";", "encoding": "cp1251"},
            {"text": "текст", "label": "класс"},
            id="windows-1251",
        ),
        pytest.param(
            lines(rows(words=CYRILLIC), header=HEADER).encode("koi8-r"),
            {"encoding": "koi8-r"},
            {},
            id="koi8-r",
        ),
        pytest.param(
            lines([("déjà vu, très bon café " + t, c) for t, c in rows()], header=HEADER).encode(
                "latin-1"
            ),
            {"encoding": "cp1252"},
            {},
            id="latin-1",
        ),
    ],
)
def test_a_csv_file_is_understood(tmp_path, content, source, columns):
    draft = drafted(tmp_path, content)
    found = data_of(draft)
    expected = {"delimiter": ",", "quoting": "standard", "header": True, "encoding": "utf-8"}
    settings = {key: found["source"][key] for key in expected}
    assert settings == expected | source
    assert found["columns"] == {"text": "text", "label": "label", "id": None} | columns
    assert f"rows: {len(rows())}" in said(draft)


def test_json_lines_and_nested_keys(tmp_path):
    records = [
        {"id": f"t{n}", "body": {"text": t}, "meta": {"topic": c, "on": "2024-01-02"}}
        for n, (t, c) in enumerate(rows())
    ]
    content = "".join(json.dumps(record) + "\n" for record in records)
    found = data_of(drafted(tmp_path, content, "a.jsonl"))
    assert found["source"]["kind"] == "jsonl"
    assert found["columns"] == {"text": "body.text", "label": "meta.topic", "id": "id"}
    assert data_of(drafted(tmp_path, content, "a.txt"))["source"]["kind"] == "jsonl"
    assert data_of(drafted(tmp_path, content, "misnamed.csv"))["source"]["kind"] == "jsonl"


def test_parquet_and_its_types(tmp_path):
    texts, labels = zip(*rows(classes="0 1"), strict=True)
    table = pa.table(
        {
            "text": texts,
            "stars": [float(label) for label in labels],
            "tokens": [[1, 2]] * len(texts),
            "score": [n / 7 for n in range(len(texts))],
        }
    )
    pq.write_table(table, tmp_path / "a.parquet")
    draft = draft_experiment(str(tmp_path / "a.parquet"), name="x", hints=Hints())
    assert data_of(draft)["columns"] == {"text": "text", "label": "stars", "id": None}


def test_a_folder_of_files_and_a_compressed_file(tmp_path):
    half = PLAIN.splitlines(keepends=True)
    for part, chosen in (("a", half[:61]), ("b", [half[0], *half[61:]])):
        drafted(tmp_path, "".join(chosen), f"parts/{part}.csv")
    (tmp_path / "parts" / "readme.md").write_text("x")
    draft = draft_experiment(str(tmp_path / "parts"), name="x", hints=Hints())
    assert "rows: 120" in map(str, draft.findings)
    assert "rows: 120" in map(
        str, drafted(tmp_path, gzip.compress(PLAIN.encode()), "a.csv.gz").findings
    )


def test_a_file_called_test_is_pointed_out(tmp_path):
    for name in ("train", "test"):
        drafted(tmp_path, PLAIN, f"parts/{name}.csv")
    draft = draft_experiment(str(tmp_path / "parts"), name="x", hints=Hints())
    assert "'test.csv' may be an official test" in doubts(draft)


def test_dates_ids_addresses_and_numbers_are_neither_text_nor_label(tmp_path):
    table = [
        (n, f"2024-01-{n % 28 + 1:02d}", f"https://x.org/{n}", f"{n % 9}.5", text, label, "web")
        for n, (text, label) in enumerate(rows())
    ]
    header = ["ticket_id", "created", "url", "amount", "what", "kind", "source"]
    draft = drafted(tmp_path, lines(table, header=header))
    assert data_of(draft)["columns"] == {"text": "what", "label": "kind", "id": "ticket_id"}
    repeated = [(n // 2, *row[1:]) for n, row in enumerate(table)]
    draft = drafted(tmp_path, lines(repeated, header=header))
    assert data_of(draft)["columns"]["id"] is None


def test_a_column_that_tells_which_rows_belong_together_is_pointed_out(tmp_path):
    table = [(n % 30, n, text, label) for n, (text, label) in enumerate(rows())]
    draft = drafted(tmp_path, lines(table, header=["user_id", "ticket_id", "text", "label"]))
    assert "data.columns.group: user_id keeps them in one split" in doubts(draft)
    draft = drafted(tmp_path, lines(table, header=["port", "user_id", "text", "label"]))
    assert "data.columns.group" not in doubts(draft)


def test_an_id_differs_in_every_row_of_the_file(tmp_path):
    table = [(n % 50, n, text, label) for n, (text, label) in enumerate(rows(20_000))]
    header = ["user_id", "ticket_id", "text", "label"]
    assert data_of(drafted(tmp_path, lines(table, header=header)))["columns"]["id"] == "ticket_id"
    table[-1] = (1, 17, "one more text", "other")
    assert data_of(drafted(tmp_path, lines(table, header=header)))["columns"]["id"] is None


def test_a_first_line_whose_label_comes_again_is_a_row(tmp_path):
    table = [(f"so {WORDS[n % 29]}", "xyz"[n % 3]) for n in range(60)]
    assert data_of(drafted(tmp_path, lines(table)))["source"]["header"] is False


def test_two_columns_that_may_be_the_label_are_said_with_the_flag_that_decides(tmp_path):
    table = [(text, label, "hl"[n % 2]) for n, (text, label) in enumerate(rows())]
    header = ["text", "category", "target"]
    draft = drafted(tmp_path, lines(table, header=header))
    assert data_of(draft)["columns"]["label"] == "target"
    assert "'category' may be it too; --label decides" in doubts(draft)
    draft = drafted(tmp_path, lines(table, header=header), label="category")
    assert data_of(draft)["columns"]["label"] == "category"
    assert "--label" not in doubts(draft)


def test_the_queue_of_a_ticket_comes_before_its_priority(tmp_path):
    table = [(text, label, "hl"[n % 2]) for n, (text, label) in enumerate(rows())]
    draft = drafted(tmp_path, lines(table, header=["message", "queue", "priority"]))
    assert data_of(draft)["columns"]["label"] == "queue"
    assert "'priority' may be it too; --label decides" in doubts(draft)


def test_of_columns_whose_names_say_nothing_the_label_has_few_values(tmp_path):
    table = [(n % 2, n, f"user{n % 30}", text) for n, (text, _) in enumerate(rows(300))]
    draft = drafted(tmp_path, lines(table))
    assert data_of(draft)["columns"] == {"text": "4", "label": "1", "id": None}
    table = [(text, label, ord(label[0])) for text, label in rows()]
    draft = drafted(tmp_path, lines(table, header=["text", "label", "label_id"]))
    assert data_of(draft)["columns"]["label"] == "label"


def test_several_text_columns(tmp_path):
    table = [
        (f"about {label}, no {n}", text, f"a longer note {n} " * 9, label)
        for n, (text, label) in enumerate(rows())
    ]
    draft = drafted(tmp_path, lines(table, header=["subject", "body", "remark", "label"]))
    assert data_of(draft)["columns"]["text"] == ["subject", "body"]
    assert "--text decides" in doubts(draft)
    draft = drafted(
        tmp_path,
        lines(table, header=["subject", "body", "remark", "label"]),
        texts=("remark", "subject"),
    )
    assert data_of(draft)["columns"]["text"] == ["remark", "subject"]


def test_a_first_line_that_may_be_a_header_is_said(tmp_path):
    table = [(f"very {WORDS[n % 29]}", "xyz"[n % 3]) for n in range(60)]
    draft = drafted(tmp_path, lines(table, header=["aa", "bb"]))
    assert data_of(draft)["source"]["header"] is True
    assert "--header or --no-header decides" in doubts(draft)
    draft = drafted(tmp_path, lines(table, header=["aa", "bb"]), header=False)
    assert data_of(draft)["source"]["header"] is False


def test_a_guessed_encoding_is_said(tmp_path):
    draft = drafted(tmp_path, lines(rows(words=CYRILLIC), header=HEADER).encode("cp1251"))
    assert "encoding: windows-1251" in doubts(draft)
    assert "--encoding decides" in doubts(draft)


def test_a_script_without_spaces_is_read_by_characters(tmp_path):
    draw = random.Random(0)
    table = [("".join(draw.choices(CHINESE, k=20)), "ab"[n % 2]) for n in range(200)]
    draft = drafted(tmp_path, lines(table, header=HEADER))
    assert draft.config.text.tokenizer == "characters"
    assert draft.config.text.max_length == 20
    assert "the script is written without spaces" in said(draft)


def test_a_file_sorted_by_class_is_judged_by_all_of_its_words(tmp_path):
    table = [(f"{word} {word}s {word}ed so {n}", word) for word in WORDS[:8] for n in range(20)]
    assert drafted(tmp_path, lines(table, header=HEADER)).config.text.tokenizer == "wordpunct"


def test_names_are_read_by_characters(tmp_path):
    draw = random.Random(0)
    table = [("".join(draw.choices("abcdefghij", k=8)), "xy"[n % 2]) for n in range(200)]
    draft = drafted(tmp_path, lines(table, header=["name", "language"]))
    assert draft.config.text.tokenizer == "characters"
    assert "would be unknown" in said(draft)


def test_long_texts_are_cut_where_few_are_longer(tmp_path):
    table = [(f"{text} " * (60 if n == 7 else 2), label) for n, (text, label) in enumerate(rows())]
    assert drafted(tmp_path, lines(table, header=HEADER)).config.text.max_length == 20


def test_long_texts_of_which_many_are_cut_are_said(tmp_path):
    table = [(f"{text} " * 60, label) for text, label in rows()]
    assert "text.max_length decides" in doubts(drafted(tmp_path, lines(table, header=HEADER)))


def test_classes_that_may_be_one_are_said(tmp_path):
    draft = drafted(tmp_path, lines(rows(classes="spam Spam ham"), header=HEADER))
    assert "the classes 'Spam', 'spam' may be one" in doubts(draft)


def test_unbalanced_classes_get_weights(tmp_path):
    draft = drafted(tmp_path, lines(rows(classes="a a a a b"), header=HEADER))
    assert draft.config.training.class_weights == "balanced"
    assert draft.config.training.metric == "val/macro_f1"
    assert drafted(tmp_path, PLAIN).config.training.class_weights == "none"


def test_rare_classes_are_left_out_and_said(tmp_path):
    table = [*rows(), ("the only one", "odd"), ("twice", "rare"), ("twice", "rare")]
    draft = drafted(tmp_path, lines(table, header=HEADER))
    assert draft.config.data.rare_classes == "drop"
    assert "2 left out, by different texts 'odd': 1, 'rare': 1" in doubts(draft)


def test_rows_without_a_label_are_counted(tmp_path):
    table = [(text, "" if n % 10 == 0 else label) for n, (text, label) in enumerate(rows())]
    draft = drafted(tmp_path, lines(table, header=HEADER))
    assert draft.config.data.max_dropped == pytest.approx(0.15)
    assert "rows: 120, 12 without a label (many are unusable" in doubts(draft)


def test_a_thousand_classes(tmp_path):
    classes = " ".join(f"c{n}" for n in range(1000))
    draft = drafted(tmp_path, lines(rows(5000, classes), header=HEADER))
    assert "classes: 1,000" in said(draft)


@pytest.mark.parametrize(
    ("content", "message", "remedy"),
    [
        ("", "must hold at least one line, but is empty", None),
        ("text,label\n", "must hold", None),
        (bytes(range(256)) * 40, "must", None),
        (b"\x89PNG" + bytes(600), "must be text, but has many zero bytes", "--encoding"),
        (b"PK\x03\x04" + bytes(26), "is a zip archive", None),
        (
            "".join(f"__label__{label} {text}, yes\n" for text, label in rows()),
            "it is fastText's",
            "put a tab behind each label",
        ),
        ("sep=;\n" + PLAIN.replace(",", ";"), "is a note for Excel", "remove the line"),
        ("<!DOCTYPE html><html></html>", "is a web page", None),
        ("\n".join(text for text, _ in rows()), "no comma, tab, semicolon or pipe", "--delimiter"),
        (
            "\n".join(f"so, {text}" * (n % 3 + 1) for n, (text, _) in enumerate(rows())),
            "a row must have at most",
            "--delimiter",
        ),
        (lines(rows(classes="pos"), header=HEADER), "'label' is 'pos' in each", "--label"),
        (
            lines([(text, n) for n, (text, _) in enumerate(rows())], header=["text", "n"]),
            "must hold the classes",
            "--label COLUMN",
        ),
        (lines(rows(3), header=HEADER), "at least 3 rows with different texts", None),
        (lines([("same text", "a"), ("same text", "b")] * 20, header=HEADER), "hold texts", None),
        (
            lines([(t, "" if n % 4 else c) for n, (t, c) in enumerate(rows())], header=HEADER),
            "most rows must have a text and a label",
            "--label",
        ),
        (lines(rows(classes="a b a|b"), header=HEADER), "'a|b', which is several", None),
    ],
)
def test_what_holds_no_labeled_texts_is_refused(tmp_path, content, message, remedy):
    with pytest.raises(DataError) as refused:
        drafted(tmp_path, content)
    assert message in refused.value.message
    assert (remedy or "") in (refused.value.remedy or "")
    assert "data.source" not in f"{refused.value.where} {refused.value.remedy}"


@pytest.mark.parametrize(
    ("hints", "message"),
    [
        ({"texts": ("txt",)}, "there is no column 'txt'; the columns are 'text', 'label'"),
        ({"label": "lbl"}, "there is no column 'lbl'"),
        ({"label": "text"}, "a class must have several rows"),
        ({"encoding": "utf-9"}, "must be an encoding"),
        ({"delimiter": "||"}, "must be one character"),
        ({"delimiter": "||", "encoding": "utf-9"}, "must be an encoding"),
        ({"delimiter": "tab"}, "no "),
    ],
)
def test_a_hint_that_is_wrong_is_refused(tmp_path, hints, message):
    with pytest.raises(RnnlaneError) as refused:
        drafted(tmp_path, PLAIN, **hints)
    assert message in refused.value.message


def test_a_missing_file_a_folder_without_tables_and_one_of_several_kinds(tmp_path):
    with pytest.raises(DataError, match="no such file or folder"):
        draft_experiment(str(tmp_path / "no.csv"), name="x", hints=Hints())
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "x.md").write_text("x")
    with pytest.raises(DataError, match="this one holds none"):
        draft_experiment(str(tmp_path / "a"), name="x", hints=Hints())
    for name in ("x.csv", "x.jsonl"):
        (tmp_path / "a" / name).write_text("x")
    with pytest.raises(DataError, match="holds csv and jsonl"):
        draft_experiment(str(tmp_path / "a"), name="x", hints=Hints())


def test_the_text_of_the_draft_is_the_experiment(tmp_path):
    table = [(t, c, n) for n, (t, c) in enumerate(rows())]
    draft = drafted(tmp_path, lines(table, header=["a: b # c", "{d}\u2028", "- e_id"]), "a #1.csv")
    assert draft.config.data.columns.text == "a: b # c"
    assert "# yaml-language-server" in draft.yaml
    assert experiment_from_mapping({**draft.config.model_dump()}) == draft.config


@pytest.mark.parametrize(
    ("location", "name"),
    [
        ("a/tickets.csv.gz", "tickets"),
        ("s3://b/my reviews/", "my-reviews"),
        ("отзывы.csv", "experiment"),
    ],
)
def test_an_experiment_is_named_after_its_file(location, name):
    assert default_name(location) == name
