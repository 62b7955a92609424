"""rnnlane's own wheel, made of the package as it runs, without a network or a build tool.

It makes no difference whether the package was installed from a wheel, from a checkout as editable,
or came with a job: what is imported is what goes into the wheel.
"""

from __future__ import annotations

import base64
import hashlib
import importlib.metadata
import re
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path

import rnnlane

DISTRIBUTION = "rnnlane"
_TAG = "py3-none-any"
# What an installer writes anew, such as RECORD, is left out.
_METADATA_FILES = ("METADATA", "entry_points.txt", "licenses/LICENSE")
# Where the package was installed from such a wheel.
_OWN_SUFFIX = re.compile(r"[+.]sha[0-9a-f]{12}$")
# The first that a zip archive can hold: the same files make the same bytes.
_TIME = (1980, 1, 1, 0, 0, 0)


def build_wheel(folder: Path) -> Path:
    """Writes the wheel of the running package; returns its path.

    Its version has a digest of its files (``0.6.0+sha1f2e3d4c5b6a``), so that a different code is a
    different version: environments are kept and reused by the versions in them.

    Args:
        folder: for the wheel; created if missing.

    Raises:
        PackageNotFoundError: the package runs without its metadata, which names what it needs.
    """
    metadata = installed_metadata()
    described = {
        name: (metadata / name).read_bytes()
        for name in _METADATA_FILES
        if (metadata / name).is_file()
    }
    files = {f"{DISTRIBUTION}/{name}": path.read_bytes() for name, path in package_files()}
    version = _OWN_SUFFIX.sub("", importlib.metadata.version(DISTRIBUTION))
    described["METADATA"] = _with_version(described["METADATA"], version)
    hasher = hashlib.sha256()
    for name, content in sorted({**files, **described}.items()):
        hasher.update(f"\0{name}\0{len(content)}\0".encode())
        hasher.update(content)
    version += f"{'.' if '+' in version else '+'}sha{hasher.hexdigest()[:12]}"
    target = f"{DISTRIBUTION}-{version}.dist-info"
    described["METADATA"] = _with_version(described["METADATA"], version)
    lines = f"Wheel-Version: 1.0\nGenerator: {DISTRIBUTION}\nRoot-Is-Purelib: true\nTag: {_TAG}\n"
    described["WHEEL"] = lines.encode()
    files |= {f"{target}/{name}": content for name, content in described.items()}
    files[f"{target}/RECORD"] = _record(files, f"{target}/RECORD")
    folder.mkdir(parents=True, exist_ok=True)
    wheel = folder / f"{DISTRIBUTION}-{version}-{_TAG}.whl"
    with zipfile.ZipFile(wheel, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            entry = zipfile.ZipInfo(name, date_time=_TIME)
            entry.external_attr = 0o644 << 16
            archive.writestr(entry, content, zipfile.ZIP_DEFLATED)
    return wheel


def package_files() -> Iterator[tuple[str, Path]]:
    """The files of the running package, without compiled ones: path within it, and where it is."""
    root = Path(rnnlane.__file__).parent
    for path in sorted(root.rglob("*")):
        if path.is_file() and "__pycache__" not in path.parts:
            yield path.relative_to(root).as_posix(), path


def installed_metadata() -> Path:
    """The folder that describes the installed distribution: ``rnnlane-VERSION.dist-info``.

    Raises:
        PackageNotFoundError: the package runs without one.
    """
    distribution = importlib.metadata.distribution(DISTRIBUTION)
    folder = Path(str(distribution.locate_file(f"{DISTRIBUTION}-{distribution.version}.dist-info")))
    if not (folder / "METADATA").is_file():
        raise importlib.metadata.PackageNotFoundError(DISTRIBUTION)
    return folder


def _with_version(metadata: bytes, version: str) -> bytes:
    return re.sub(rb"(?m)^Version: .*$", f"Version: {version}".encode(), metadata, count=1)


def _record(files: Mapping[str, bytes], own_name: str) -> bytes:
    lines = []
    for name, content in files.items():
        digest = base64.urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=").decode()
        lines.append(f"{name},sha256={digest},{len(content)}\n")
    return "".join([*lines, f"{own_name},,\n"]).encode()
