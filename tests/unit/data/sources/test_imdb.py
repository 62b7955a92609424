from __future__ import annotations

import io
import tarfile
from collections.abc import Mapping
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rnnlane.config.data import Columns, DataConfig
from rnnlane.data.sources import download, imdb
from rnnlane.data.sources.base import source_of
from rnnlane.data.sources.rows import RawRow
from rnnlane.data.sources.stream import SourceRows
from rnnlane.errors import DataError

REVIEWS = {
    "aclImdb/README": b"about",
    "aclImdb/test/neg/0_2.txt": b"bad test",
    "aclImdb/test/pos/0_9.txt": b"good test",
    "aclImdb/train/neg/0_1.txt": b"bad<br />film",
    "aclImdb/train/neg/urls_neg.dat": b"no review",
    "aclImdb/train/pos/0_10.txt": b"caf\xe9",
    "aclImdb/train/unsup/0_0.txt": b"no label",
}
ROWS = {
    RawRow(b"bad test", "neg", None, True, "test/neg/0"),
    RawRow(b"good test", "pos", None, True, "test/pos/0"),
    RawRow(b"bad<br />film", "neg", None, False, "train/neg/0"),
    RawRow(b"caf\xe9", "pos", None, False, "train/pos/0"),
}


def archive_of(members: Mapping[str, bytes], *, mode: str = "w:gz") -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode=mode) as archive:  # type: ignore[call-overload]
        for name, content in members.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return buffer.getvalue()


def write_archive(path: Path, content: bytes) -> Path:
    (path / "imdb.tar.gz").write_bytes(content)
    return path / "imdb.tar.gz"


def write_folder(
    path: Path, *, level: str = "aclImdb", extra: Mapping[str, bytes] | None = None
) -> Path:
    for name, content in {**REVIEWS, **(extra or {})}.items():
        target = path / name.replace("aclImdb", level)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(content)
    return path


def rows_of(path: Path) -> set[RawRow]:
    return set(rows_as_list(path))


def rows_as_list(path: Path) -> list[RawRow]:
    config = DataConfig.model_validate({"source": {"kind": "imdb", "path": str(path)}})
    tasks = SourceRows(config).get_read_tasks(1)
    table = pa.concat_tables(table for task in tasks for table in task())
    return [RawRow(**row) for row in table.to_pylist()]


def error_of(path: Path) -> DataError:
    with pytest.raises(DataError) as caught:
        rows_of(path)
    assert "\n" not in str(caught.value)
    return caught.value


@pytest.mark.parametrize("mode", ["w:gz", "w"])
def test_an_archive_gives_its_labeled_reviews(tmp_path: Path, mode: str) -> None:
    assert rows_of(write_archive(tmp_path, archive_of(REVIEWS, mode=mode))) == ROWS


@pytest.mark.parametrize("level", ["aclImdb", "."])
def test_an_extracted_folder_gives_the_same_with_or_without_its_level(
    tmp_path: Path, level: str
) -> None:
    assert rows_of(write_folder(tmp_path, level=level)) == ROWS


def test_a_review_whose_link_has_no_target_is_named(tmp_path: Path) -> None:
    folder = write_folder(tmp_path)
    lost = next(folder.rglob("neg")) / "99_1.txt"
    lost.symlink_to("gone")
    error = error_of(folder)
    assert error.where == str(lost)


def test_a_folder_that_lacks_reviews_says_which(tmp_path: Path) -> None:
    (tmp_path / "train" / "neg").mkdir(parents=True)
    error = error_of(tmp_path)
    assert error.message.endswith("these are missing: test/neg, test/pos, train/pos")


@pytest.mark.parametrize(
    "name", ["../train/neg/1_1.txt", "/etc/passwd", "aclImdb/train/../../../x.txt"]
)
def test_a_path_that_leaves_the_archive_is_refused(tmp_path: Path, name: str) -> None:
    error = error_of(write_archive(tmp_path, archive_of({**REVIEWS, name: b"x"})))
    assert "must stay inside" in error.message
    assert name in error.message


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE])
def test_a_review_that_is_no_plain_file_is_refused(tmp_path: Path, kind: bytes) -> None:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        member = tarfile.TarInfo("aclImdb/train/neg/1_1.txt")
        member.type, member.linkname = kind, "/etc/passwd"
        archive.addfile(member)
    error = error_of(write_archive(tmp_path, buffer.getvalue()))
    assert "plain file" in error.message


FILMS = {
    **{f"aclImdb/train/pos/{n}_9.txt": b"fine" for n in range(1, 4)},
    "aclImdb/train/pos/new.txt": b"fine",
    "aclImdb/train/urls_pos.txt": b"http://imdb.com/title/tt0453418/usercomments\n" * 2
    + b"http://imdb.com/title/tt0064354/usercomments\n\n",
}


def groups_of(path: Path, label: str) -> list[str | None]:
    rows = [row for row in rows_as_list(path) if row.label == label and not row.official_test]
    return sorted((row.group for row in rows), key=str)


@pytest.mark.parametrize("first", [True, False])
def test_the_film_of_a_review_is_its_group_wherever_films_are_listed(
    tmp_path: Path, first: bool
) -> None:
    members = {**FILMS, **REVIEWS} if first else {**REVIEWS, **FILMS}
    archive = write_archive(tmp_path, archive_of(members))
    films = [None, None, "tt0064354", "tt0453418", "tt0453418"]
    assert groups_of(archive, "pos") == films
    assert groups_of(archive, "neg") == ["train/neg/0"]
    assert groups_of(write_folder(tmp_path / "folder", extra=FILMS), "pos") == films


def test_without_a_list_blocks_of_consecutive_reviews_are_the_groups(tmp_path: Path) -> None:
    numbers = [0, 29, 30, 59, 99]
    extra = {f"aclImdb/train/neg/{n}_1.txt": b"bad" for n in numbers}
    blocks = [f"train/neg/{block}" for block in (0, 0, 1, 1, 3)]
    assert groups_of(write_archive(tmp_path, archive_of({**REVIEWS, **extra})), "neg") == blocks
    assert groups_of(write_folder(tmp_path / "folder", extra=extra), "neg") == blocks
    complete = imdb.Films.blocks("train/neg", num_reviews=12_500)
    assert [complete.group_of(n) for n in (249, 250, 12_499)] == [
        "train/neg/0",
        "train/neg/1",
        "train/neg/49",
    ]


def test_a_list_that_is_too_short_is_refused(tmp_path: Path) -> None:
    extra = {"aclImdb/train/pos/7_9.txt": b"x", "aclImdb/train/urls_pos.txt": b"tt1\ntt2\n"}
    for path in (
        write_archive(tmp_path, archive_of({**REVIEWS, **extra})),
        write_folder(tmp_path / "folder", extra=extra),
    ):
        error = error_of(path)
        assert "there is review 7 and 2 lines" in error.message
        assert str(error.where).endswith("train/urls_pos.txt")


def test_another_list_of_films_is_another_source(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "folder", extra=FILMS)
    source = imdb.ImdbSource(kind="imdb", path=str(folder))
    before = source.fingerprint()
    source.check_first_rows(Columns())
    (folder / "aclImdb/train/urls_pos.txt").write_bytes(b"other\n" * 4)
    assert source.fingerprint() != before


def test_a_link_beside_the_reviews_is_not_followed(tmp_path: Path) -> None:
    buffer = io.BytesIO(archive_of(REVIEWS, mode="w"))
    with tarfile.open(fileobj=buffer, mode="a") as archive:
        member = tarfile.TarInfo("aclImdb/link")
        member.type, member.linkname = tarfile.SYMTYPE, "/etc/passwd"
        archive.addfile(member)
    assert rows_of(write_archive(tmp_path, buffer.getvalue())) == ROWS


WHOLE = archive_of({f"aclImdb/train/neg/{n}_1.txt": bytes(range(256)) * n for n in range(20)})


@given(st.integers(1, len(WHOLE) - 9))
def test_a_truncated_archive_is_refused_wherever_it_ends(
    tmp_path_factory: pytest.TempPathFactory, end: int
) -> None:
    path = write_archive(tmp_path_factory.mktemp("cut"), WHOLE[:end])
    error = error_of(path)
    assert "truncated" in error.message or "not a readable tar" in error.message
    assert error.where == str(path)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "empty file"),
        (b"no archive at all" * 100, "not a readable tar archive"),
        (b"text,label\na,1\n", "not a readable tar archive"),
        (archive_of({"aclImdb/README": b"x"}), "holds no aclImdb"),
    ],
)
def test_a_file_that_is_no_imdb_archive_is_refused(
    tmp_path: Path, content: bytes, message: str
) -> None:
    assert message in error_of(write_archive(tmp_path, content)).message


def test_the_path_comes_from_the_config_then_the_variable_then_the_cache(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(imdb, "user_cache", lambda: tmp_path)
    monkeypatch.setenv(imdb.PATH_VARIABLE, "/from/variable")
    source = imdb.ImdbSource(kind="imdb")
    named = imdb.ImdbSource(kind="imdb", path="/from/config")
    assert named.archive_or_folder() == "/from/config"
    assert source.archive_or_folder() == "/from/variable"
    assert not source.needs_fetch()
    monkeypatch.delenv(imdb.PATH_VARIABLE)
    assert source.archive_or_folder() == str(tmp_path / "aclImdb_v1.tar.gz")
    assert source.needs_fetch()
    (tmp_path / "aclImdb_v1.tar.gz").touch()
    assert not source.needs_fetch()


def test_only_what_is_missing_is_downloaded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fetched: list[tuple[object, ...]] = []
    monkeypatch.setattr(imdb, "user_cache", lambda: tmp_path)
    monkeypatch.setattr(download, "download", lambda *args, **options: fetched.append(args))
    monkeypatch.delenv(imdb.PATH_VARIABLE, raising=False)
    imdb.ImdbSource(kind="imdb", path="/a/local/copy").fetch()
    assert not fetched
    imdb.ImdbSource(kind="imdb").fetch()
    assert fetched == [(imdb.URL, imdb.cached_archive())]


def test_a_missing_archive_is_named(tmp_path: Path) -> None:
    config = DataConfig.model_validate({"source": {"kind": "imdb", "path": str(tmp_path / "no")}})
    with pytest.raises(DataError, match="no such file or folder"):
        source_of(config).list_files()


def test_its_unlabeled_reviews_are_those_of_unsup(tmp_path: Path) -> None:
    archive = write_archive(tmp_path, archive_of(REVIEWS))
    for path in (archive, write_folder(tmp_path / "extracted")):
        source = source_of(
            DataConfig.model_validate({"source": {"kind": "imdb", "path": str(path)}})
        )
        tasks = source.without_labels().read_tasks(Columns())
        assert [row for task in tasks for row in task()] == [RawRow(b"no label", None)]
        assert len([row for task in source.read_tasks(Columns()) for row in task()]) == len(ROWS)
