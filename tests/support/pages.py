"""Checks of an HTML page."""

import re
from html.parser import HTMLParser


class _Balance(HTMLParser):
    """Fails on a tag that is closed out of order."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.links: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.links += [value or "" for name, value in attrs if name in {"src", "href"}]
        if tag not in {"meta", "img", "wbr"}:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def checked_page(page: str, *, links: list[str]) -> None:
    """Fails unless a page is well-formed, has no script, and needs nothing but these links."""
    assert "<script" not in page
    parser = _Balance()
    parser.feed(page)
    assert parser.open == []
    assert parser.links == links
    assert not re.search(r"url\(|@import|https?://", page)
