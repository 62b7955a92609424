"""Digests that tell which texts are the same: to a person, byte for byte, and to the model."""

from __future__ import annotations

import hashlib
import re
import unicodedata
from collections.abc import Iterable, Sequence

import numpy as np
import numpy.typing as npt
import pyarrow as pa

KEY_BYTES = 16

# Control characters that are not white space, soft hyphen, byte order mark, zero-width space and
# joiner, marks of direction, halves of a surrogate pair.
_INVISIBLE = re.compile(
    "[\x00-\x08\x0e-\x1b\x7f-\x84\x86-\x9f\u00ad\ufeff\u200b\u2060\u200e\u200f\ud800-\udfff]+"
)

# The normal form of a run of combining marks takes quadratic time: 0.3 s for this many.
_FOLDED_CHARS = 20_000

Keys = npt.NDArray[np.uint64]
Hashes = npt.NDArray[np.uint64]
Ints = npt.NDArray[np.int64]
WordKeys = npt.NDArray[np.uint32]


def content_key(content: bytes) -> bytes:
    """16 bytes that identify some content; in practice, only equal contents share them."""
    return hashlib.blake2b(content, digest_size=KEY_BYTES).digest()


def split_key(text: str) -> bytes | None:
    """What decides the split of a text: equal for texts that a person reads as the same.

    Those that differ only in case, white space, invisible characters or Unicode's compatible forms
    share it. No text setting reaches it, so that all variants of a search hold out the same rows.
    Markup counts: it may be what tells two texts apart.

    Returns:
        None if nothing is left to read. Beyond the first 20,000 characters the text is taken as it
        is.
    """
    head, tail = text[:_FOLDED_CHARS], text[_FOLDED_CHARS:]
    folded = _folded(head)
    if not folded and not tail:
        return None
    return content_key("\0".join((folded, tail)).encode(errors="surrogatepass"))


def _folded(text: str) -> str:
    if text.isascii():
        text = text.lower()
    else:
        # Folding case may leave the normal form.
        text = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", text).casefold())
    if not text.isprintable():
        return " ".join(_INVISIBLE.sub("", text).split())
    # The only white space here is blanks; splitting would take five times as long.
    while "  " in text:
        text = text.replace("  ", " ")
    return text.strip()


def exact_key(text: str) -> bytes:
    """Differs for texts of one :func:`split_key` that are not the same, letter for letter."""
    return content_key(text.encode(errors="surrogatepass"))


def token_key(tokens: Iterable[str]) -> bytes:
    """Equal for texts whose tokens are the same to the model."""
    return content_key("\0".join(tokens).encode(errors="surrogatepass"))


def word_keys(words: Iterable[str]) -> WordKeys:
    """A number for each word, the same on every machine and in every release: uint32 [N].

    Of 100,000 words, one or two pairs share one. Takes some 1 us a word: give each once.
    """
    digests = (
        hashlib.blake2b(word.encode(errors="surrogatepass"), digest_size=4).digest()
        for word in words
    )
    return np.frombuffer(b"".join(digests), dtype="<u4").astype(np.uint32)


def key_array(column: pa.ChunkedArray) -> Keys:
    """A column of keys as numbers that sort alike on every machine: uint64 [N, 2].

    Args:
        column: fixed-size binary [N]; the numbers of a null mean nothing.
    """
    chunks = [
        np.frombuffer(chunk.buffers()[1], dtype="<u8").reshape(-1, 2)[chunk.offset :][: len(chunk)]
        for chunk in column.chunks
        if len(chunk)
    ]
    return np.concatenate([np.zeros((0, 2), dtype=np.uint64), *chunks])


def text_hashes(keys: Keys, *, seed: int) -> Hashes:
    """What orders the texts: uint64 [N]; another seed gives another order.

    Args:
        keys: uint64 [N, 2]; see :func:`split_key`.
        seed: an integer of at most 128 bits.
    """
    mask = (1 << 64) - 1
    seeds = _mix(np.array([seed & mask, (seed >> 64) & mask], dtype=np.uint64))
    return _mix(_mix(keys[:, 0] ^ seeds[0]) ^ keys[:, 1] ^ seeds[1])


def _mix(values: Keys) -> Keys:
    """splitmix64 (Steele, Lea, Flood, OOPSLA 2014): a bijection that changes half of the bits."""
    mixed = values + np.uint64(0x9E3779B97F4A7C15)
    mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    result: Keys = mixed ^ (mixed >> np.uint64(31))
    return result


def row_keys(exact: Keys, labels: Ints, class_names: Sequence[str]) -> npt.NDArray[np.uint64]:
    """A key for each row that names it in every run, whatever its text settings: uint64 [N].

    A function of the text, the name of its class, and which of the rows with these two it is. Two
    of a million rows share a key with a probability of one in 37 million.

    Args:
        exact: uint64 [N, 2]; see :func:`exact_key`.
        labels: int64 [N], in [0, len(class_names)).
        class_names: by label.
    """
    digests = [content_key(name.encode(errors="surrogatepass")) for name in class_names]
    of_class = np.frombuffer(b"".join(digests), dtype="<u8").reshape(-1, 2).astype(np.uint64)
    keys: Keys = exact ^ of_class[labels]
    number = numbered(keys)
    order = np.argsort(number, kind="stable")
    copies = np.zeros(len(keys), dtype=np.uint64)
    copies[order] = np.arange(len(keys)) - np.searchsorted(number[order], number[order])
    # An odd factor: no two copies get the same key.
    result: npt.NDArray[np.uint64] = keys[:, 0] + copies * np.uint64(0x9E3779B97F4A7C15)
    return result


def numbered(keys: Keys) -> Ints:
    """A number for each key, from 0, equal for equal keys: int64 [N]."""
    order = np.lexsort((keys[:, 1], keys[:, 0]))
    ordered = keys[order]
    numbers = np.zeros(len(keys), dtype=np.int64)
    numbers[order[1:]] = np.cumsum((ordered[1:] != ordered[:-1]).any(axis=1))
    return numbers
