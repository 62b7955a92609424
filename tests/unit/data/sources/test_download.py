from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from rnnlane.data.sources.download import download
from rnnlane.errors import DataError

CONTENT = bytes(range(256)) * 20_000
MD5 = hashlib.md5(CONTENT).hexdigest()


class FileServer(ThreadingHTTPServer):
    """Serves CONTENT at any path, and can cut connections, ignore ranges or refuse."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.ranges: list[str | None] = []
        self.cut_after: list[int] = []
        self.knows_ranges = True
        self.statuses: list[int] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/file"


class _Handler(BaseHTTPRequestHandler):
    server: FileServer

    def do_GET(self) -> None:
        server = self.server
        wanted = self.headers.get("Range")
        server.ranges.append(wanted)
        if server.statuses:
            self.send_error(server.statuses.pop(0))
            return
        start = int(wanted.removeprefix("bytes=").rstrip("-")) if wanted else 0
        if not server.knows_ranges:
            wanted, start = None, 0
        if start >= len(CONTENT):
            self.send_error(416)
            return
        body = CONTENT[start:]
        self.send_response(206 if wanted else 200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body[: server.cut_after.pop(0)] if server.cut_after else body)

    def log_message(self, *args: object) -> None:
        pass


@pytest.fixture
def server() -> Iterator[FileServer]:
    with FileServer() as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def fetch(server: FileServer, target: Path, *, md5: str = MD5) -> list[tuple[int, int | None]]:
    seen: list[tuple[int, int | None]] = []
    download(server.url, target, md5=md5, progress=lambda *now: seen.append(now), retry_delay_s=0)
    return seen


def test_a_file_is_fetched_once_and_progress_is_told(server: FileServer, tmp_path: Path) -> None:
    target = tmp_path / "new" / "file"
    seen = fetch(server, target)
    assert target.read_bytes() == CONTENT
    assert seen[-1] == (len(CONTENT), len(CONTENT))
    assert seen == sorted(seen)
    fetch(server, target)
    assert server.ranges == [None]


def test_a_cut_connection_is_resumed_where_it_broke(server: FileServer, tmp_path: Path) -> None:
    server.cut_after = [1_000_000, 2_000_000]
    fetch(server, tmp_path / "file")
    assert (tmp_path / "file").read_bytes() == CONTENT
    assert server.ranges == [None, "bytes=1000000-", "bytes=3000000-"]


def test_a_later_call_goes_on_from_the_part_that_is_there(
    server: FileServer, tmp_path: Path
) -> None:
    (tmp_path / "file.part").write_bytes(CONTENT[:3_000_000])
    fetch(server, tmp_path / "file")
    assert (tmp_path / "file").read_bytes() == CONTENT
    assert server.ranges == ["bytes=3000000-"]
    assert not (tmp_path / "file.part").exists()


def test_a_part_that_is_complete_is_taken(server: FileServer, tmp_path: Path) -> None:
    (tmp_path / "file.part").write_bytes(CONTENT)
    fetch(server, tmp_path / "file")
    assert (tmp_path / "file").read_bytes() == CONTENT


def test_a_server_without_ranges_starts_over(server: FileServer, tmp_path: Path) -> None:
    server.knows_ranges = False
    (tmp_path / "file.part").write_bytes(CONTENT[:1000])
    fetch(server, tmp_path / "file")
    assert (tmp_path / "file").read_bytes() == CONTENT


def test_a_server_that_recovers_is_asked_again(server: FileServer, tmp_path: Path) -> None:
    server.statuses = [503, 500]
    fetch(server, tmp_path / "file")
    assert (tmp_path / "file").read_bytes() == CONTENT


def test_a_wrong_checksum_is_refused_and_nothing_kept(server: FileServer, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="must have md5 0000, but got"):
        fetch(server, tmp_path / "file", md5="0000")
    assert not (tmp_path / "file").exists()
    assert not (tmp_path / "file.part").exists()


def test_a_refusal_is_not_repeated(server: FileServer, tmp_path: Path) -> None:
    server.statuses = [404]
    with pytest.raises(DataError, match="Not Found"):
        fetch(server, tmp_path / "file")
    assert len(server.ranges) == 1


def test_a_server_that_keeps_failing_is_given_up_and_the_part_kept(
    server: FileServer, tmp_path: Path
) -> None:
    server.cut_after = [1000] * 10
    with pytest.raises(DataError, match="the download failed"):
        fetch(server, tmp_path / "file")
    assert (tmp_path / "file.part").stat().st_size == 1000 * len(server.ranges)


def test_no_server_is_told_in_one_line(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="the download failed") as caught:
        download("http://127.0.0.1:1/file", tmp_path / "file", md5=MD5, retry_delay_s=0)
    assert "\n" not in str(caught.value)


def test_two_at_once_share_one_download(server: FileServer, tmp_path: Path) -> None:
    threads = [threading.Thread(target=fetch, args=(server, tmp_path / "file")) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (tmp_path / "file").read_bytes() == CONTENT
    assert server.ranges == [None]
