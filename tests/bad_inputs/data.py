"""Data that cannot be what the experiment says it is."""

import gzip
import json
from typing import Any

from bad_inputs.row import Bad

PREPARE = ("prepare", "x.yaml")
INIT = ("init", "a.csv")


def source(kind: str = "csv", path: str = "", *, data: dict[str, Any] | None = None, **keys: Any):
    """An experiment of one source; its file is a.csv, a.jsonl or a.parquet."""
    settings = {"kind": kind, "path": path or f"a.{kind}", **keys}
    return f"name: x\ndata: {json.dumps({'source': settings, **(data or {})})}\n"


def rows(count: int, text: str = "review number {} is good", classes: str = "neg pos") -> str:
    """Lines of csv below a header; the classes take turns."""
    names = classes.split()
    lines = (f"{text.format(n)},{names[n % len(names)]}\n" for n in range(count))
    return "text,label\n" + "".join(lines)


def json_lines(*records: Any) -> str:
    return "".join(json.dumps(record) + "\n" for record in records)


CSV = source()
JSONL = source("jsonl")
PARQUET = source("parquet")
GOOD = rows(40)
RUSSIAN = rows(40, "отзыв номер {} хороший фильм")
CONFLICTS = GOOD + rows(40, classes="pos neg").split("\n", 1)[1]


DATA = (
    Bad(
        "a file that is not there",
        "data.source.path a.csv: no such file or folder -- looked for {dir}/a.csv; the working directory is {dir}; if only the cluster reaches the files, add --config-only",
        yaml=CSV,
    ),
    Bad(
        "a file with brackets that is not there",
        "data.source.path reviews [2024-2].csv: no such file or folder, and none that matches it as a pattern -- looked for {dir}/reviews [2024-2].csv; the working directory is {dir}; if only the cluster reaches the files, add --config-only",
        yaml=source(path="reviews [2024-2].csv"),
    ),
    Bad(
        "a glob that matches nothing",
        "data.source.path part-[!0].csv: no such file or folder, and none that matches it as a pattern -- looked for {dir}/part-[!0].csv; the working directory is {dir}; if only the cluster reaches the files, add --config-only",
        yaml=source(path="part-[!0].csv"),
        files={"part-0.csv": GOOD},
    ),
    Bad(
        "a folder without a file of the kind",
        "data.source.path reviews: there is no csv file -- a folder must hold at least one file; looked in {dir}/reviews; if only the cluster reaches the files, add --config-only",
        yaml=source(path="reviews"),
        files={"reviews/readme.md": "x"},
    ),
    Bad(
        "a path without a name",
        "x.yaml:2 data.source.path: must name a file or a folder, but got ' '",
        yaml=source(path=" "),
    ),
    Bad(
        "a path with a zero byte",
        "x.yaml:2 data.source.path: must be UTF-8 without control characters, but got 'a\\x00b.csv'",
        yaml=source(path="a\0b.csv"),
    ),
    Bad(
        "a file system that nobody knows",
        "ftp://host/a.csv: not a location that pyarrow can open: Unrecognized filesystem type in URI: ftp://host/a.csv -- give a local path or a URI such as s3://bucket/folder or file:///folder; if only the cluster reaches the files, add --config-only",
        yaml=source(path="ftp://host/a.csv"),
    ),
    Bad(
        "a Windows path",
        "data.source.path C:\\data\\a.csv: no such file or folder -- looked for {dir}/C:\\data\\a.csv; the working directory is {dir}; if only the cluster reaches the files, add --config-only",
        yaml=source(path="C:\\data\\a.csv"),
    ),
    Bad(
        "Cyrillic letters in another encoding",
        "{dir}/a.csv: texts must be utf-8, but 40 of the first 40 are not -- set data.source.encoding, for example to windows-1251, latin-1 or gbk; or raise data.max_repaired",
        yaml=CSV,
        files={"a.csv": RUSSIAN.encode("cp1251")},
    ),
    Bad(
        "French letters in another encoding",
        "{dir}/a.jsonl: texts must be utf-8, but 1 of the first 1 are not -- set data.source.encoding, for example to windows-1251, latin-1 or gbk; or raise data.max_repaired",
        yaml=JSONL,
        files={"a.jsonl": '{"text": "café", "label": "a"}\n'.encode("latin-1")},
    ),
    Bad(
        "Cyrillic letters read as Chinese",
        "{dir}/a.csv: texts must be gbk, but 40 of the first 40 are not -- set data.source.encoding, for example to utf-8, windows-1251, latin-1 or gbk; or raise data.max_repaired",
        yaml=source("csv", "a.csv", encoding="gbk"),
        files={"a.csv": RUSSIAN.encode("cp1251")},
    ),
    Bad(
        "UTF-16 without a mark",
        "{dir}/a.csv: the file must be utf-8, but looks like UTF-16 without a byte order mark -- set data.source.encoding: utf-16-le",
        yaml=CSV,
        files={"a.csv": RUSSIAN.encode("utf-16-le")},
    ),
    Bad(
        "UTF-16 whose byte order nobody knows",
        "{dir}/a.csv: a utf-16 file must begin with a byte order mark, but this one does not -- set data.source.encoding: utf-16-le, utf-16-be or another one",
        yaml=source(encoding="utf-16"),
        files={"a.csv": RUSSIAN.encode("utf-16-le")},
    ),
    Bad(
        "UTF-8 read as UTF-16",
        "{dir}/a.csv: there is no column 'text'; the columns are '整瑸氬扡汥爊癥敩⁷畮扭牥〠椠\\u2073潧摯測来爊癥敩⁷畮扭牥ㄠ椠\\u2073潧摯瀬獯爊癥敩⁷畮扭牥...' -- the first line is not in the encoding of data.source.encoding: set it",
        yaml=source(encoding="utf-16-le"),
        files={"a.csv": GOOD},
    ),
    Bad(
        "an encoding that Python does not know",
        "x.yaml:2 data.source.encoding: must be an encoding of text that Python knows, but got 'utf-9'; did you mean 'utf-8'?",
        yaml=source(encoding="utf-9"),
        files={"a.csv": GOOD},
    ),
    Bad(
        "an encoding that is none of texts",
        "x.yaml:2 data.source.encoding: must be an encoding of text that Python knows, but got 'base64'; examples are utf-16, windows-1251, gbk",
        yaml=source(encoding="base64"),
        files={"a.csv": GOOD},
    ),
    Bad(
        "UTF-8 read as ASCII",
        "{dir}/a.csv: texts must be ascii, but 40 of the first 40 are not -- set data.source.encoding, for example to utf-8, windows-1251, latin-1 or gbk; or raise data.max_repaired",
        yaml=source(encoding="ascii"),
        files={"a.csv": RUSSIAN},
    ),
    Bad(
        "JSON in UTF-8 read as ASCII",
        "{dir}/a.jsonl: texts must be ascii, but 1 of the first 1 are not -- set data.source.encoding, for example to utf-8, windows-1251, latin-1 or gbk; or raise data.max_repaired",
        yaml=source("jsonl", encoding="ascii"),
        files={"a.jsonl": '{"text": "фильм", "label": "a"}\n'},
    ),
    Bad(
        "a label that is not in the encoding",
        "{dir}/a.csv:2: a label must be valid text, but got '\\udcf5\\udcee\\udcf0\\udcee\\udcf8\\udcee', which holds the byte 0xF5 -- correct the row; if many are like it, set data.source.encoding",
        yaml=CSV,
        files={"a.csv": "text,label\na,хорошо\n".encode("cp1251")},
    ),
    Bad(
        "a column that is not there",
        "{dir}/a.csv: there is no column 'txt'; the columns are 'text', 'label' -- did you mean 'text'? set data.columns.text",
        yaml=source(data={"columns": {"text": "txt"}}),
        files={"a.csv": GOOD},
    ),
    Bad(
        "a column without a name",
        "x.yaml:2 data.columns.text: must be the name of a column, but got ''",
        yaml=source(data={"columns": {"text": ""}}),
        files={"a.csv": GOOD},
    ),
    Bad(
        "no column of texts",
        "x.yaml:2 data.columns.text: must be the name of a column, but got []",
        yaml=source(data={"columns": {"text": []}}),
        files={"a.csv": GOOD},
    ),
    Bad(
        "one column for text and label",
        "x.yaml:2 data.columns: text, label, id and group must be different columns, but got 'a'",
        yaml=source(data={"columns": {"text": "a", "label": "a"}}),
        files={"a.csv": GOOD},
    ),
    Bad(
        "one column for label and group",
        "x.yaml:2 data.columns: text, label, id and group must be different columns, but got 'label'",
        yaml=source(data={"columns": {"group": "label"}}),
        files={"a.csv": GOOD},
    ),
    Bad(
        "a column of groups that is not there",
        "{dir}/a.csv: there is no column 'labels'; the columns are 'text', 'label' -- did you mean 'label'? set data.columns.group",
        yaml=source(data={"columns": {"group": "labels"}}),
        files={"a.csv": GOOD},
    ),
    Bad(
        "an unknown column role",
        "x.yaml:2 data.columns.txt: unknown key `txt` -- did you mean `text`?",
        yaml=source(data={"columns": {"txt": "a"}}),
        files={"a.csv": GOOD},
    ),
    Bad(
        "a tab file read with commas",
        "{dir}/a.csv: the delimiter is ',', but the first line looks separated by '\\t': 'text\\tlabel' -- set data.source.delimiter: tab",
        yaml=CSV,
        files={"a.csv": GOOD.replace(",", "\t")},
    ),
    Bad(
        "a semicolon file read with commas",
        "{dir}/a.csv: the delimiter is ',', but the first line looks separated by ';': 'text;label' -- set data.source.delimiter: semicolon",
        yaml=CSV,
        files={"a.csv": GOOD.replace(",", ";")},
    ),
    Bad(
        "a delimiter of two characters",
        "x.yaml:2 data.source.delimiter: must be one character that is neither a quote nor a line end, or tab, semicolon, pipe or comma, but got '||'",
        yaml=source(delimiter="||"),
        files={"a.csv": GOOD},
    ),
    Bad(
        "an empty delimiter",
        "x.yaml:2 data.source.delimiter: must be one character, but got ''; YAML reads a bare | as the start of a block: write pipe, or '|' in quotes",
        yaml=source(delimiter=""),
        files={"a.csv": GOOD},
    ),
    Bad(
        "an unknown quoting",
        "x.yaml:2 data.source.quoting: must be 'standard' or 'none', but got 'never'",
        yaml=source(quoting="never"),
        files={"a.csv": GOOD},
    ),
    Bad(
        "a zip archive called csv",
        "{dir}/a.csv: the file must be text, but is a zip archive, such as an Excel file -- unpack it and name the files in it, or export the sheet",
        yaml=CSV,
        files={"a.csv": b"PK\x03\x04" + bytes(26)},
    ),
    Bad(
        "a gzip file called csv",
        "{dir}/a.csv: the file must be text, but is compressed by gzip -- give its name the suffix .gz, or decompress it",
        yaml=CSV,
        files={"a.csv": gzip.compress(GOOD.encode(), mtime=0)},
    ),
    Bad(
        "a plain file called gzip",
        "{dir}/a.csv.gz: the name says that the file is compressed, but decompressing it failed: zlib inflate failed: incorrect header check -- copy it again if it is not complete; rename it if it is not compressed",
        yaml=source(path="a.csv.gz"),
        files={"a.csv.gz": GOOD},
    ),
    Bad(
        "a Parquet file called csv",
        "{dir}/a.csv: the file must be text, but is a Parquet file -- set data.source.kind: parquet",
        yaml=CSV,
        files={"a.csv": b"PAR1" + bytes(200) + b"PAR1"},
    ),
    Bad(
        "a web page called csv",
        "{dir}/a.csv: the file must be text, but is a web page -- download the file itself",
        yaml=CSV,
        files={"a.csv": "<!DOCTYPE html><html></html>"},
    ),
    Bad(
        "a pointer of Git LFS",
        "{dir}/a.parquet: not a readable parquet file: Parquet magic bytes not found in footer. Either the file is corrupted or this is not a parquet file -- check data.source.kind, or make the file again",
        yaml=PARQUET,
        files={"a.parquet": "version https://git-lfs.github.com/spec/v1\n"},
    ),
    Bad(
        "a csv file called Parquet",
        "{dir}/a.parquet: not a readable parquet file: Parquet magic bytes not found in footer. Either the file is corrupted or this is not a parquet file -- check data.source.kind, or make the file again",
        yaml=PARQUET,
        files={"a.parquet": GOOD},
    ),
    Bad(
        "a csv file called jsonl",
        "{dir}/a.jsonl:1: not valid JSON: Expecting value -- put one JSON object on each line",
        yaml=JSONL,
        files={"a.jsonl": GOOD},
    ),
    Bad(
        "JSON lines called csv",
        '{dir}/a.csv: the first line must be csv, but is JSON: \'{"text": "a", "label": "b"}\' -- set data.source.kind: jsonl',
        yaml=CSV,
        files={"a.csv": json_lines({"text": "a", "label": "b"})},
    ),
    Bad(
        "an empty csv file",
        "{dir}/a.csv: a csv file must hold at least one line, but is empty",
        yaml=CSV,
        files={"a.csv": ""},
    ),
    Bad(
        "an empty file of JSON lines",
        "{dir}/a.jsonl: a jsonl file must hold at least one line, but is empty",
        yaml=JSONL,
        files={"a.jsonl": ""},
    ),
    Bad(
        "an empty Parquet file",
        "{dir}/a.parquet: not a readable parquet file: Parquet file size is 0 bytes -- check data.source.kind, or make the file again",
        yaml=PARQUET,
        files={"a.parquet": ""},
    ),
    Bad(
        "a header without rows",
        "{dir}/a.csv: there must be rows, but the file holds none -- write them again, or name other files",
        yaml=CSV,
        files={"a.csv": "text,label\n"},
    ),
    Bad(
        "blank lines alone",
        "{dir}/a.jsonl: there must be rows, but the file holds none -- write them again, or name other files",
        yaml=JSONL,
        files={"a.jsonl": "\n\n"},
    ),
    Bad(
        "files without rows alone",
        "{dir}/reviews/a.csv: there must be rows, but none of the 2 files holds one -- write them again, or name other files",
        yaml=source(path="reviews"),
        files={"reviews/a.csv": "text,label\n", "reviews/b.csv": "text,label\n"},
    ),
    Bad(
        "an official test without rows",
        "{dir}/b.csv: there must be rows, but the file holds none -- write them again, or name other files",
        yaml=source(test_path="b.csv", data={"test": "official"}),
        files={"a.csv": GOOD, "b.csv": "text,label\n"},
    ),
    Bad(
        "test rows that are not asked for",
        "x.yaml:2 data: test_path is only read with test: official, but got test: 0.2",
        yaml=source(test_path="b.csv"),
        files={"a.csv": GOOD, "b.csv": GOOD},
    ),
    Bad(
        "a quote that never closes",
        "{dir}/a.csv:42: a quoted field must end, but the quote of the row that begins here is not closed -- close each quote, and double one in a text; if quotes mean nothing in this file, set data.source.quoting: none",
        yaml=CSV,
        files={"a.csv": GOOD + '"an unclosed quote,pos\n' + GOOD},
    ),
    Bad(
        "a row with too many fields",
        "{dir}/a.csv:42: a row must have at most 2 fields like the first line, but got 4 -- put a text that holds the delimiter in double quotes, or set data.source.delimiter",
        yaml=CSV,
        files={"a.csv": GOOD + "a,b,c,d\n"},
    ),
    Bad(
        "a header of 3,500 letters",
        "{dir}/a.csv: there is no column 'text'; the columns are 'column_0000', 'column_0001', 'column_0002', 'column_0003', 'column_0004', 'column_0005', 'column_0006', 'column_0007', 'column_0008', 'column_0009', 'column_0010', 'column_0011' and 288 more -- set data.columns.text, or data.source.header: false if the first line is a row",
        yaml=CSV,
        files={"a.csv": ",".join(f"column_{n:04d}" for n in range(300)) + "\nx\n"},
    ),
    Bad(
        "a file without a header",
        "{dir}/a.csv: there is no column 'text'; the columns are 'review number 0 is good', 'neg' -- set data.columns.text, or data.source.header: false if the first line is a row",
        yaml=CSV,
        files={"a.csv": GOOD.split("\n", 1)[1]},
    ),
    Bad(
        "names for columns without a header",
        "{dir}/a.csv: there is no column 'text'; the columns are '1', '2' -- columns of a file without a header line are numbered: set data.columns.text: 1",
        yaml=source(header=False),
        files={"a.csv": GOOD},
    ),
    Bad(
        "the same column twice",
        "{dir}/a.csv: a column to read must be there once, but 'text' is there 2 times -- rename or remove the others, or set data.columns.text",
        yaml=CSV,
        files={"a.csv": "text,text,label\na,b,c\n"},
    ),
    Bad(
        "a key of JSON that is not there",
        "{dir}/a.jsonl: no line has the key 'text'; the keys are 'review', 'label' -- set data.columns.text",
        yaml=JSONL,
        files={"a.jsonl": json_lines({"review": "good", "label": 1})},
    ),
    Bad(
        "a number for a text",
        "{dir}/a.jsonl:1: column 'text' must hold text, but got int -- name the right column in data.columns.text",
        yaml=JSONL,
        files={"a.jsonl": json_lines({"text": 5, "label": "a"})},
    ),
    Bad(
        "a list for a label",
        "{dir}/a.jsonl:1 label: a label must be text, a number, true or false, but got ['a', 'b']; a row has one class, several are not supported -- name the right column in data.columns.label",
        yaml=JSONL,
        files={"a.jsonl": json_lines({"text": "x", "label": ["a", "b"]})},
    ),
    Bad(
        "a list for a row",
        "{dir}/a.jsonl:1: a line must hold a JSON object, but got list -- put one JSON object on each line",
        yaml=JSONL,
        files={"a.jsonl": json_lines(["x", "a"])},
    ),
    Bad(
        "half an emoji for a label",
        "{dir}/a.jsonl:1 label: a label must be valid text, but got '\\ud83d', which holds half of a character -- correct the row; if many are like it, set data.source.encoding",
        yaml=JSONL,
        files={"a.jsonl": '{"text": "x", "label": "\\ud83d"}\n'},
    ),
    Bad(
        "classes that are the same",
        "x.yaml:2 data: classes must differ, but got ['1', '1']",
        yaml=source(data={"classes": [1, "1.0"]}),
        files={"a.csv": GOOD},
    ),
    Bad(
        "a class without a name",
        "x.yaml:2 data.classes.2: a class name must not be empty, but got ' '",
        yaml=source(data={"classes": ["a", "b", " "]}),
        files={"a.csv": GOOD},
    ),
    Bad(
        "a missing file of stop words",
        "text.stop_words: cannot read the stop words 'no.txt': No such file or directory -- give off, english, english_keep_negations or a UTF-8 file",
        yaml=CSV,
        files={"a.csv": GOOD},
        sets=("text.stop_words=no.txt",),
        args=PREPARE,
    ),
    Bad(
        "one class only",
        "data.source: the rows must hold at least two classes, but all 40 are 'pos' -- check the label column, data.classes and data.rare_classes",
        yaml=CSV,
        files={"a.csv": rows(40, classes="pos")},
        args=PREPARE,
        needs_ray=True,
    ),
    Bad(
        "two classes with one row",
        "data.source: a class must have a row for each of train, val and test, so at least 3 rows with different texts, but 2 of 4 classes have fewer: 'odd': 1, 'rare': 1 -- give more rows, or set data.rare_classes: drop or merge:other",
        yaml=CSV,
        files={"a.csv": GOOD + "the only one,rare\nanother one,odd\n"},
        args=PREPARE,
        needs_ray=True,
    ),
    Bad(
        "a label that is not among the classes",
        "data.classes: labels must be among 'pos', 'neg', but got 'rare' (2 rows) -- add them to data.classes, or set data.unknown_label: drop",
        yaml=source(data={"classes": ["pos", "neg"]}),
        files={"a.csv": GOOD + "the first,rare\nthe second,rare\n"},
        args=PREPARE,
        needs_ray=True,
    ),
    Bad(
        "a class without a row",
        "data.source: a class must have a row for each of train, val and test, so at least 3 rows with different texts, but 1 of 3 classes has fewer: 'other': 0 -- give more rows, or set data.rare_classes: drop or merge:other",
        yaml=source(data={"classes": ["pos", "neg", "other"]}),
        files={"a.csv": GOOD},
        args=PREPARE,
        needs_ray=True,
    ),
    Bad(
        "ratings for labels",
        "data.columns.label: a label must be a class, and numbers with decimals are not classes here, but got 399 different values in 399 rows, such as '0.01', '0.02', '0.03' -- this is a measurement or not the label column; name the label column in data.columns.label, or turn the numbers into a few classes",
        yaml=CSV,
        files={"a.csv": rows(399, classes=" ".join(f"{n / 100:.2f}" for n in range(1, 400)))},
        args=PREPARE,
        needs_ray=True,
    ),
    Bad(
        "as many labels as rows",
        "data.columns.label: a class must have several rows, but got 400 different values in 400 rows, such as 'user0', 'user1', 'user10' -- this is probably not the label column; name the right one in data.columns.label, or list the classes in data.classes",
        yaml=CSV,
        files={"a.csv": rows(400, classes=" ".join(f"user{n}" for n in range(400)))},
        args=PREPARE,
        needs_ray=True,
    ),
    Bad(
        "several labels in one",
        "data.columns.label: a row must have one label, but got 'a|b', which is several: multi-label data is not supported -- give each row one label; if this is one class, list all classes in data.classes",
        yaml=CSV,
        files={"a.csv": rows(60, classes="a b a|b")},
        args=PREPARE,
        needs_ray=True,
    ),
    Bad(
        "a third of the rows without text",
        "data.source: at most 5.0% of the rows may be unusable, but 100 of 300 (33.3%) are (100 null_text) -- name the column that holds the text in data.columns.text; or raise data.max_dropped",
        yaml=JSONL,
        files={
            "a.jsonl": json_lines(
                *(
                    {"label": n % 2, **({"text": f"review {n}"} if n % 3 else {})}
                    for n in range(300)
                )
            )
        },
        args=PREPARE,
        needs_ray=True,
    ),
    Bad(
        "texts with two labels that may have one",
        "data.conflicts: a text must have one label, but 40 texts have several (rows by class: 'neg': 40, 'pos': 40) -- correct the labels, or set data.conflicts: keep (all of these rows, on one side of the split) or drop (none of them)",
        yaml=source(data={"conflicts": "error"}),
        files={"a.csv": CONFLICTS},
        args=PREPARE,
        needs_ray=True,
    ),
    Bad(
        "an id that repeats",
        "data.source: at most 5.0% of the rows may be unusable, but 30 of 60 (50.0%) are (30 duplicate_id) -- name a column whose values differ in data.columns.id, or leave it out; or raise data.max_dropped",
        yaml=source(data={"columns": {"id": "n"}}),
        files={
            "a.csv": "n,text,label\n"
            + "".join(f"{n % 30},review number {n},{'ab'[n % 2]}\n" for n in range(60))
        },
        args=PREPARE,
        needs_ray=True,
    ),
    Bad(
        "a group of nearly all rows",
        "data.columns.group: a group must fit into train, but '0' has 49 of 60 rows, and data.test and data.val leave 43 to train -- name a column with smaller groups, leave the value empty where it stands for no group, or lower data.test and data.val",
        yaml=source(data={"columns": {"group": "by"}}),
        files={
            "a.csv": "by,text,label\n"
            + "".join(f"{0 if n % 5 else n},review number {n},{'ab'[n % 2]}\n" for n in range(60))
        },
        args=PREPARE,
        needs_ray=True,
    ),
    Bad(
        "texts cut to what they all begin with",
        "text: train must hold every class, but no row of class 'neg', 'pos' is left: 48 rows look to the model like rows of a later split, 0 are empty -- keep more of each text: raise text.max_length, or use another text.tokenizer or fewer text.stop_words",
        yaml=CSV,
        files={"a.csv": rows(60)},
        sets=("text.max_length=2",),
        args=PREPARE,
        needs_ray=True,
    ),
    Bad(
        "an experiment for a file that is not there",
        "PATH a.csv: no such file or folder -- looked for {dir}/a.csv; the working directory is {dir}",
        args=INIT,
    ),
    Bad(
        "an experiment for an empty file",
        "{dir}/a.csv: a csv file must hold at least one line, but is empty",
        args=INIT,
        files={"a.csv": ""},
    ),
    Bad(
        "an experiment for a picture",
        "{dir}/a.csv: the file must be text, but has many zero bytes -- set --encoding if it is text, such as utf-16-le or utf-32-le",
        args=INIT,
        files={"a.csv": b"\x89PNG\r\n" + bytes(900)},
    ),
    Bad(
        "an experiment for texts without labels",
        "{dir}/a.csv: a file must have a column of texts and one of labels, but no comma, tab, semicolon or pipe divides its lines into columns -- add the labels; or name another delimiter by --delimiter",
        args=INIT,
        files={"a.csv": "".join(f"review number {n}\n" for n in range(40))},
    ),
    Bad(
        "an experiment for one class",
        "a.csv: the rows must hold at least two classes, but column 'label' is 'pos' in each -- give rows of all classes, or name another column by --label COLUMN",
        args=INIT,
        files={"a.csv": rows(40, classes="pos")},
    ),
    Bad(
        "an experiment for texts and ids",
        "a.csv: a column must hold the classes, a few values that repeat, but none of 'text', 'label' does -- name it by --label COLUMN, or add one to the rows",
        args=INIT,
        files={"a.csv": rows(400, classes=" ".join(f"user{n}" for n in range(400)))},
    ),
    Bad(
        "an experiment for three rows",
        "a.csv: a class must have a row for each of train, val and test, so at least 3 rows with different texts, but 2 of 2 classes have fewer: 'neg': 2, 'pos': 1 -- give more rows",
        args=INIT,
        files={"a.csv": rows(3)},
    ),
    Bad(
        "an experiment for a label that is none of the columns",
        "a.csv: there is no column 'class'; the columns are 'text', 'label' -- give --label one of them",
        args=(*INIT, "--label", "class"),
        files={"a.csv": GOOD},
    ),
    Bad(
        "an experiment that is there already",
        "x.yaml: the file to write must not exist, but it does -- give another one by --output, or --force to replace it",
        args=(*INIT, "--output", "x.yaml"),
        files={"a.csv": GOOD},
    ),
    Bad(
        "an experiment for files of two kinds",
        "data: a source has files of one kind, but this folder holds csv and jsonl -- name those to read by a pattern in quotes, such as 'data/*.csv'",
        args=("init", "data"),
        files={"data/a.csv": GOOD, "data/b.jsonl": "{}"},
    ),
)
