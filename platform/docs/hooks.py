"""Adds the pages that are made from other files: the README and its kind, and the references."""

from __future__ import annotations

import posixpath
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from mkdocs.structure.files import File

if TYPE_CHECKING:
    from mkdocs.config.defaults import MkDocsConfig
    from mkdocs.structure.files import Files

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(Path(__file__).parent))
import reference  # noqa: E402

# Files of the repository that are pages here, by their place in it.
PAGES = {
    "README.md": "index.md",
    "ARCHITECTURE.md": "architecture.md",
    "CONTRIBUTING.md": "contributing.md",
    "CHANGELOG.md": "changelog.md",
    "experiments/LOG.md": "experiments/log.md",
    "cluster/README.md": "cluster/index.md",
    "cluster/local/README.md": "cluster/local.md",
}
_OWN_PAGES = "platform/docs/pages/"
_LINK = re.compile(r"(!?)\[([^\]]*)\]\(([^)\s]+)\)")
_FENCE = re.compile(r"^```.*?^```", re.MULTILINE | re.DOTALL)


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Adds the generated pages and the pictures that they show."""
    for source, page in PAGES.items():
        text = (ROOT / source).read_text(encoding="utf-8")
        files.append(File.generated(config, page, content=moved(text, source, page)))
    for picture in sorted((ROOT / "experiments/pictures").glob("*.png")):
        name = f"experiments/pictures/{picture.name}"
        files.append(File.generated(config, name, content=picture.read_bytes()))
    for page, content in reference.pages().items():
        files.append(File.generated(config, page, content=content))
    return files


def moved(text: str, source: str, page: str) -> str:
    """The text of a file of the repository, with links that hold where the site shows it.

    A link to a file that is no page, such as one of the sources, becomes the file's name.

    Raises:
        FileNotFoundError: a link leads to nothing.
    """

    def link(match: re.Match[str]) -> str:
        mark, label, target = match.groups()
        path, _, anchor = target.partition("#")
        if not path or "://" in path or path.startswith("mailto:"):
            return match.group()
        place = posixpath.normpath(posixpath.join(posixpath.dirname(source), path))
        if not (ROOT / place).exists():
            raise FileNotFoundError(f"{source}: the link to {target} leads to nothing")
        shown = place if mark else PAGES.get(place)
        if place.startswith(_OWN_PAGES):
            shown = place.removeprefix(_OWN_PAGES)
        if shown is None:
            return label if "`" in label else f"{label} (`{place}`)"
        there = posixpath.relpath(shown, posixpath.dirname(page) or ".")
        return f"{mark}[{label}]({there}{'#' + anchor if anchor else ''})"

    # What stands in a fenced block is code.
    pieces, end = [], 0
    for fence in _FENCE.finditer(text):
        pieces += [_LINK.sub(link, text[end : fence.start()]), fence.group()]
        end = fence.end()
    return "".join([*pieces, _LINK.sub(link, text[end:])])
