"""One file from the web: resumed after an interruption, verified, and moved into place."""

from __future__ import annotations

import fcntl
import hashlib
import http.client
import os
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from rnnlane.data.sources.base import DownloadProgress
from rnnlane.data.storage import readable_errors
from rnnlane.errors import DataError

_CHUNK_BYTES = 1 << 20
_ATTEMPTS = 4
_TIMEOUT_S = 30


def download(
    url: str,
    target: Path,
    *,
    md5: str,
    progress: DownloadProgress | None = None,
    retry_delay_s: float = 1.0,
) -> None:
    """Downloads a file unless it is there; two processes at once share one download.

    What was received is kept in ``<target>.part``, and a later call continues from its end.

    Args:
        url: what to fetch.
        target: the file to write; it appears only when complete and verified.
        md5: its checksum in hex.
        progress: called with the bytes so far and in all (None if unknown).
        retry_delay_s: pause before the second attempt; doubled before each further one.

    Raises:
        DataError: the server cannot be reached or refuses, the disk is full, or the checksum is
            wrong (then nothing is kept).
    """
    part = target.with_name(target.name + ".part")
    with readable_errors(str(target)):
        target.parent.mkdir(parents=True, exist_ok=True)
        with _locked(target.with_name(target.name + ".lock")):
            if target.exists():
                return
            _fetch(url, part, progress=progress, retry_delay_s=retry_delay_s)
            _verify(part, md5=md5, url=url)
            os.replace(part, target)


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    with path.open("w") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield


def _fetch(
    url: str, part: Path, *, progress: DownloadProgress | None, retry_delay_s: float
) -> None:
    for attempt in range(_ATTEMPTS):
        try:
            return _append(url, part, progress=progress)
        except (http.client.HTTPException, urllib.error.URLError, OSError) as error:
            if not _is_transient(error) or attempt == _ATTEMPTS - 1:
                raise _unreachable(error, url=url) from None
        time.sleep(retry_delay_s * 2**attempt)


def _append(url: str, part: Path, *, progress: DownloadProgress | None) -> None:
    """Requests the bytes that ``part`` still lacks, and appends them."""
    start = part.stat().st_size if part.exists() else 0
    with _opened(url, start) as response:
        if response is None:
            return
        if response.status != http.HTTPStatus.PARTIAL_CONTENT:
            start = 0
        length = response.headers.get("Content-Length")
        total = start + int(length) if length else None
        with part.open("ab" if start else "wb") as handle:
            while chunk := response.read(_CHUNK_BYTES):
                handle.write(chunk)
                start += len(chunk)
                if progress:
                    progress(start, total)
    # read() returns nothing, and raises nothing, when the connection is cut.
    if total is not None and start < total:
        raise http.client.IncompleteRead(b"", total - start)


@contextmanager
def _opened(url: str, start: int) -> Iterator[http.client.HTTPResponse | None]:
    """The response from byte ``start`` on; None where the file has no more than that."""
    headers = {"Range": f"bytes={start}-"} if start else {}
    request = urllib.request.Request(url, headers=headers)  # noqa: S310 - a fixed address
    try:
        with urllib.request.urlopen(request, timeout=_TIMEOUT_S) as response:  # noqa: S310
            yield response
    except urllib.error.HTTPError as error:
        if error.code != http.HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE:
            raise
        yield None


def _is_transient(error: Exception) -> bool:
    """Whether the network, and not the request or the disk, is at fault."""
    if isinstance(error, urllib.error.HTTPError):
        return error.code >= http.HTTPStatus.INTERNAL_SERVER_ERROR
    network = (http.client.HTTPException, urllib.error.URLError, ConnectionError, TimeoutError)
    return isinstance(error, network)


def _unreachable(error: Exception, *, url: str) -> Exception:
    if isinstance(error, OSError) and not isinstance(
        error, urllib.error.URLError | ConnectionError | TimeoutError
    ):
        return error
    reason = getattr(error, "reason", None) or error
    return DataError(
        f"the download failed: {reason}",
        where=url,
        remedy="run again to go on from where it stopped, or name a local copy in data.source.path",
    )


def _verify(part: Path, *, md5: str, url: str) -> None:
    with part.open("rb") as handle:
        digest = hashlib.file_digest(handle, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()
    if digest != md5:
        part.unlink()
        raise DataError(
            f"the downloaded file must have md5 {md5}, but got {digest}; it was removed",
            where=url,
            remedy="run again; if it fails again, the file at this address has changed",
        )
