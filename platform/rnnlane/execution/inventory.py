"""What this machine keeps of runs and data, and what of it is no longer needed.

Nothing is removed that a run can be resumed from, unless the limits allow it; nothing that another
process uses; and nothing that rnnlane did not make. Whether something may go is decided twice:
when it is listed and, because a person may think it over for an hour, when it is removed.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Literal

from rnnlane.config.fingerprint import fingerprint
from rnnlane.config.paths import ACCOUNT_FOLDER, home
from rnnlane.data.in_use import alone, last_used
from rnnlane.data.prepare.prepared import MANIFEST_NAME
from rnnlane.data.prepare.writer import abandoned_drafts
from rnnlane.data.storage import open_storage_path
from rnnlane.errors import DataError, JobError, ResourceError
from rnnlane.execution.leftovers import TIDIED_FOLDERS, can_tidy, remove_checkpoints, tidy
from rnnlane.execution.pretrained import FOLDER as PRETRAINED_FOLDER
from rnnlane.execution.run_record import RunRecord, all_records
from rnnlane.tracking.outbox import has_records, is_spent

DAY_S = 86400.0

Kind = Literal[
    "checkpoints", "run", "outbox", "prepared data", "draft", "language model", "Ray session"
]

_STORE_FILE = "mlflow.db"
_FOLDERS = ("checkpoints", "prepared", PRETRAINED_FOLDER, "runs", ACCOUNT_FOLDER)
_STORE = re.compile(rf"mlartifacts|{re.escape(_STORE_FILE)}(-wal|-shm|-journal|\.lock|\.draft)?")
_FINGERPRINT = re.compile(r"[0-9a-f]{16}")
_SESSION = re.compile(r"session_\d{4}-\d\d-\d\d_\d\d-\d\d-\d\d_\d+_\d+")


@dataclass(frozen=True)
class Limits:
    """Which runs may go though they could be resumed, or have finished and are in the store.

    Attributes:
        older_than_s: those without a change for longer than this, in seconds; None: any age.
        keep: never this many of the newest; None: any number. Without either limit, none may go.
    """

    older_than_s: float | None = None
    keep: int | None = None


@dataclass(frozen=True)
class Leftover:
    """Something that is no longer needed.

    Attributes:
        kind: of thing.
        path: of its folder; or its URI.
        num_bytes: how much room it takes.
        why: it is not needed, for a person to read.
        remove: removes it, unless it is needed by now; returns whether it is gone.
    """

    kind: Kind
    path: str
    num_bytes: int
    why: str
    remove: Callable[[], bool] = field(repr=False, compare=False)


@dataclass(frozen=True)
class Kept:
    """Something that stays although it may look unneeded; ``why`` says the reason."""

    path: str
    num_bytes: int
    why: str


@dataclass(frozen=True)
class Inventory:
    """What is no longer needed, in the order in which it is to be removed, and what stays."""

    leftovers: tuple[Leftover, ...]
    kept: tuple[Kept, ...]


def take_inventory(limits: Limits) -> Inventory:
    """Looks through the home, the checkpoints of its runs wherever they are, and Ray's sessions."""
    records = all_records()
    going = {record.key for record in _within(records, limits) if _why_needed(record) is None}
    staying = [record for record in records if record.key not in going]
    found = [
        *_runs(records, limits),
        *_prepared(_named(staying), limits),
        *_language_models(limits),
        *_sessions(),
        *_unknown(records),
    ]
    return Inventory(
        leftovers=tuple(item for item in found if isinstance(item, Leftover)),
        kept=tuple(item for item in found if isinstance(item, Kept)),
    )


def disk_use() -> dict[str, int]:
    """Bytes by purpose: checkpoints, prepared data and runs of the home, and the embedded store."""
    base = home()
    return {
        "checkpoints": folder_bytes(base / "checkpoints"),
        "prepared data": folder_bytes(base / "prepared"),
        "runs": folder_bytes(base / "runs"),
        "MLflow": sum(
            folder_bytes(entry) for entry in _entries(base) if _STORE.fullmatch(entry.name)
        ),
    }


def folder_bytes(path: Path) -> int:
    """Size of a file, or of all files below a folder; what vanishes meanwhile does not count."""
    total = 0
    with contextlib.suppress(OSError):
        if not path.is_dir() or path.is_symlink():
            return path.lstat().st_size
    for folder, _, names in os.walk(path):
        for name in names:
            with contextlib.suppress(OSError):
                total += os.lstat(os.path.join(folder, name)).st_size
    return total


def _runs(records: list[RunRecord], limits: Limits) -> Iterator[Leftover | Kept]:
    """Runs within the limits, and of the others what they no longer need."""
    within = {record.key for record in _within(records, limits)}
    for record in records:
        folder = str(record.folder)
        checkpoint_bytes = _checkpoint_bytes(record)
        num_bytes = folder_bytes(record.folder) + checkpoint_bytes
        reason = _why_needed(record)
        never_started = record.run_id is None and record.tracking_uri is None
        if reason is not None:
            if record.key in within:
                yield Kept(folder, num_bytes, reason)
        elif record.key in within or never_started:
            state = "never started" if never_started else record.state
            why = f"{state}, last changed {_age(_changed_at(record))} ago"
            remove = partial(_remove_run, record)
            yield Leftover("run", folder, num_bytes, why, remove)
        elif can_tidy(record):
            copies = sum(folder_bytes(record.folder / name) for name in TIDIED_FOLDERS)
            why = f"{record.key} has finished"
            remove = partial(_tidy_run, record)
            if num_bytes := checkpoint_bytes + copies:
                yield Leftover("checkpoints", record.checkpoints, num_bytes, why, remove)
        elif is_spent(record.outbox) and folder_bytes(record.outbox) > 0:
            remove = partial(_remove_outbox, record)
            outbox = folder_bytes(record.outbox)
            yield Leftover("outbox", str(record.outbox), outbox, "everything was sent", remove)


def _within(records: list[RunRecord], limits: Limits) -> list[RunRecord]:
    """The runs that the limits allow to remove."""
    if limits.older_than_s is None and limits.keep is None:
        return []
    newest_first = sorted(records, key=_changed_at, reverse=True)
    latest = time.time() - (limits.older_than_s or 0.0)
    return [record for record in newest_first[limits.keep or 0 :] if _changed_at(record) < latest]


def _why_needed(record: RunRecord) -> str | None:
    """Why a run must stay whatever the limits are."""
    if has_records(record.outbox):
        return "the tracking store has not received everything; `rnnlane runs` sends the rest"
    if record.is_closed:
        return None
    try:
        with record.locked(timeout_s=0.0):
            pass
    except (JobError, ResourceError):
        return "in use by another process"
    if record.tracking_uri is not None:
        return "the tracking store does not know its end; `rnnlane runs` tells it"
    return None


def _tidy_run(record: RunRecord) -> bool:
    with contextlib.suppress(JobError), record.locked(timeout_s=0.0) as current:
        return tidy(current).is_tidy
    return False


def _remove_outbox(record: RunRecord) -> bool:
    with contextlib.suppress(JobError, OSError), record.locked(timeout_s=0.0) as current:
        if current.is_closed and is_spent(current.outbox):
            shutil.rmtree(current.outbox)
            return True
    return False


def _remove_run(record: RunRecord) -> bool:
    with contextlib.suppress(JobError, OSError), record.locked(timeout_s=0.0) as current:
        is_unchanged = current == record and not has_records(current.outbox)
        if not is_unchanged or not remove_checkpoints(current):
            return False
        # The record goes last: until then, whatever is left belongs to a run that is known.
        for entry in _entries(record.folder):
            if entry.name not in {"run.json", "lock"}:
                _remove(entry)
        (record.folder / "run.json").unlink()
        shutil.rmtree(record.folder)
        return True
    return False


def _checkpoint_bytes(record: RunRecord) -> int:
    try:
        infos = open_storage_path(record.checkpoints).children(recursive=True)
        return sum(info.size or 0 for info in infos)
    except (OSError, DataError):
        return 0


def _changed_at(record: RunRecord) -> float:
    """When the record last changed, in seconds since 1970."""
    try:
        return (record.folder / "run.json").stat().st_mtime
    except OSError:
        return record.created_at


def _named(records: list[RunRecord]) -> set[str]:
    """The fingerprints of the prepared data that runs read."""
    # An older record has one fingerprint: its data's or, for a search, that of its data's.
    return {name for record in records for name in (*record.prepared, record.data_fingerprint)}


def _is_named(name: str, named: set[str]) -> bool:
    return name in named or fingerprint([name]) in named


def _prepared(named: set[str], limits: Limits) -> Iterator[Leftover | Kept]:
    """Prepared data that no run names, and drafts whose writers died."""
    root = home() / "prepared"
    if root.is_symlink():
        yield Kept(str(root), 0, "a link; clean the home that it leads to")
        return
    for folder in _entries(root):
        if not _FINGERPRINT.fullmatch(folder.name) or folder.is_symlink() or not folder.is_dir():
            continue
        manifest = folder / MANIFEST_NAME
        if not manifest.exists():
            yield from _drafts(folder, used=None)
        elif _is_named(folder.name, named):
            # A manifest that cannot be read does not tell which of the folders is the data.
            if (used := _data_folder(manifest)) is not None:
                yield from _drafts(folder, used=used)
        else:
            size = folder_bytes(folder)
            used_at = last_used(folder) or manifest.stat().st_mtime
            with alone(folder) as is_free:
                pass
            if not is_free:
                yield Kept(str(folder), size, "in use by another process")
            elif time.time() - used_at >= (limits.older_than_s or 0.0):
                why = f"no run names it, last used {_age(used_at)} ago"
                remove = partial(_remove_prepared, folder)
                yield Leftover("prepared data", str(folder), size, why, remove)


def _drafts(folder: Path, *, used: str | None) -> Iterator[Leftover]:
    for draft in abandoned_drafts(str(folder), used=used, now=datetime.now(UTC)):
        path = Path(draft.path)
        remove = partial(_remove_draft, path)
        yield Leftover("draft", str(path), folder_bytes(path), "its writer died", remove)


def _data_folder(manifest: Path) -> str | None:
    try:
        return str(json.loads(manifest.read_bytes())["data_folder"])
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _remove_prepared(folder: Path) -> bool:
    with contextlib.suppress(OSError), alone(folder) as is_free:
        if not is_free or _is_named(folder.name, _named(all_records())):
            return False
        # Without a manifest it counts as unfinished, so an interrupted removal leaves nothing that
        # looks whole.
        (folder / MANIFEST_NAME).unlink()
        shutil.rmtree(folder)
        return True
    return False


def _remove_draft(draft: Path) -> bool:
    with contextlib.suppress(OSError):
        shutil.rmtree(draft)
        with contextlib.suppress(OSError):
            draft.parent.rmdir()  # fails if it holds anything else
        return True
    return False


def _language_models(limits: Limits) -> Iterator[Leftover | Kept]:
    """Copies of language models that classifiers started from; without an age they stay."""
    for folder in _entries(home() / PRETRAINED_FOLDER):
        if folder.is_symlink() or not folder.is_dir():
            continue
        used_at, size = last_used(folder) or folder.stat().st_mtime, folder_bytes(folder)
        with alone(folder) as is_free:
            pass
        if not is_free:
            yield Kept(str(folder), size, "in use by another process")
        elif limits.older_than_s is None:
            why = "a copy of a language model in the store; --older-than removes unused ones"
            yield Kept(str(folder), size, why)
        elif time.time() - used_at >= limits.older_than_s:
            why = f"a copy of what the store has, last used {_age(used_at)} ago"
            remove = partial(_remove_unused, folder)
            yield Leftover("language model", str(folder), size, why, remove)


def _sessions() -> Iterator[Leftover]:
    """Folders of local Rays that rnnlane started for this account and whose drivers have ended."""
    for folder in _entries(ray_folder()):
        if not _SESSION.fullmatch(folder.name) or folder.is_symlink():
            continue
        if last_used(folder) is None:
            continue  # of somebody else's Ray
        with contextlib.suppress(OSError), alone(folder) as is_free:
            if is_free and folder.stat().st_uid == os.getuid():
                remove = partial(_remove_unused, folder)
                why = f"its Ray ended {_age(last_used(folder) or 0.0)} ago or later"
                yield Leftover("Ray session", str(folder), folder_bytes(folder), why, remove)


def ray_folder() -> Path:
    """Where Ray makes the folders of its sessions on this machine."""
    variables = ("RAY_TMPDIR", "TMPDIR")
    named = next((os.environ[name] for name in variables if name in os.environ), "/tmp")  # noqa: S108
    return Path(named) / "ray"


def _remove_unused(folder: Path) -> bool:
    with contextlib.suppress(OSError), alone(folder) as is_free:
        if is_free:
            shutil.rmtree(folder)
        return is_free
    return False


def _unknown(records: list[RunRecord]) -> Iterator[Kept]:
    """What is in the home and not rnnlane's, as far as rnnlane knows."""
    keys = {record.key for record in records}
    known: dict[str, Callable[[Path], bool]] = {
        "": lambda entry: entry.name in _FOLDERS or bool(_STORE.fullmatch(entry.name)),
        "runs": lambda entry: entry.name in keys,
        "checkpoints": lambda entry: entry.name in keys,
        "prepared": lambda entry: bool(_FINGERPRINT.fullmatch(entry.name)) and entry.is_dir(),
    }
    for name, is_known in known.items():
        folder = home() / name
        if name and folder.is_symlink():
            continue
        for entry in _entries(folder):
            if entry.name == "damaged" and not name:
                yield Kept(str(entry), folder_bytes(entry), "damaged records that were set aside")
            elif not is_known(entry):
                why = "of no run that is known here" if name == "checkpoints" else "not rnnlane's"
                yield Kept(str(entry), folder_bytes(entry), why)


def _entries(folder: Path) -> list[Path]:
    """What is in a folder, sorted; nothing where it cannot be listed."""
    try:
        return sorted(folder.iterdir())
    except OSError:
        return []


def _remove(entry: Path) -> None:
    if entry.is_dir() and not entry.is_symlink():
        shutil.rmtree(entry)
    else:
        entry.unlink()


def _age(at: float) -> str:
    """The time since then, in its largest unit."""
    seconds = max(0.0, time.time() - at)
    for unit, length in (("days", DAY_S), ("hours", 3600.0), ("minutes", 60.0)):
        if seconds >= 2 * length:
            return f"{seconds / length:.0f} {unit}"
    return f"{seconds:.0f} seconds"


def in_words(num_bytes: int) -> str:
    """A size in the largest unit in which it is at least one: ``1.7 MB``."""
    size = float(num_bytes)
    for unit in ("B", "kB", "MB", "GB"):
        if size < 1000:
            return f"{size:.0f} {unit}" if unit == "B" else f"{size:.1f} {unit}"
        size /= 1000
    return f"{size:.1f} TB"
