"""MLflow's pages in a headless Chromium."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Iterator

import pytest

playwright = pytest.importorskip("playwright.sync_api", reason="no Playwright: pip install it")

# Debian's Chromium asks hosts of its maker for lists and updates otherwise.
_ARGUMENTS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
_TIMEOUT_MS = 60_000
CURVE = ".js-plotly-plot .scatterlayer .trace"


def chromium() -> str:
    """Path of the browser; skips the test if there is none."""
    found = shutil.which("chromium") or shutil.which("chromium-browser")
    if found is None:
        pytest.skip("no Chromium (Debian: apt-get install chromium)")
    return found


@contextlib.contextmanager
def opened_page(
    account: tuple[str, str] | None = None, *, width: int = 1280, height: int = 720
) -> Iterator[playwright.Page]:
    """An empty page.

    Args:
        account: name and password, given when a server asks.
        width, height: of the window, in pixels.
    """
    login = None if account is None else {"username": account[0], "password": account[1]}
    with playwright.sync_playwright() as started:
        browser = started.chromium.launch(executable_path=chromium(), args=_ARGUMENTS)
        context = browser.new_context(
            http_credentials=login, viewport={"width": width, "height": height}
        )
        context.set_default_timeout(_TIMEOUT_MS)
        yield context.new_page()
        browser.close()


def visit(page: playwright.Page, address: str | None, *, shows: str) -> None:
    """Opens a page and waits for a text on it; closes MLflow's assistant, which covers a part."""
    assert address is not None
    # Only the part after # differs from the page before: that alone loads nothing.
    page.goto("about:blank")
    page.goto(address)
    page.get_by_text(shows, exact=True).first.wait_for()
    close = page.get_by_role("button", name="Close", exact=True)
    if close.count():
        close.first.click()
