"""Disks that are full, read-only, or out of inodes."""

from __future__ import annotations

import contextlib
import fcntl
import os
import struct
from collections.abc import Iterator
from pathlib import Path

from faults.catalog import ON_RAY, Ends, fault
from faults.machine import (
    HOME,
    HOME_DISK,
    SHARED_MEMORY,
    SIZES,
    TEMPORARY,
    Machine,
    remount,
    used_bytes,
)

_A_WHILE_S = (0.5, 4.0)
# ioctl(2) of file attributes, and the attribute that even root heeds.
_GET_FLAGS, _SET_FLAGS, _IMMUTABLE = 0x80086601, 0x40086602, 0x10


def _full(disk: Path, *, left_bytes: int = 0) -> Iterator[None]:
    """No block of the disk is free any more, or only a few."""
    remount(disk, f"size={max(used_bytes(disk) + left_bytes, 4096)}")
    try:
        yield
    finally:
        remount(disk, f"size={SIZES[disk]}")


@fault("home-full", "the home's disk is full", ends=Ends.FAILS, lasts_s=None)
def _home_full(_: Machine) -> Iterator[None]:
    yield from _full(HOME_DISK)


@fault("home-full-briefly", "the home's disk is full briefly", ends=Ends.FAILS, lasts_s=_A_WHILE_S)
def _home_full_briefly(_: Machine) -> Iterator[None]:
    yield from _full(HOME_DISK)


@fault("home-fills", "the home's disk runs full a little later", ends=Ends.FAILS, lasts_s=None)
def _home_fills(machine: Machine) -> Iterator[None]:
    yield from _full(HOME_DISK, left_bytes=machine.random.randrange(4096, 400_000))


@fault("scratch-full", "the disk of temporary files is full", ends=Ends.FAILS, lasts_s=None)
def _scratch_full(_: Machine) -> Iterator[None]:
    yield from _full(TEMPORARY)


# Whoever touches a new page of a full /dev/shm dies of SIGBUS.
@fault("shared-memory-full", "/dev/shm is full", on=ON_RAY, ends=Ends.DIES, lasts_s=None)
def _shared_memory_full(_: Machine) -> Iterator[None]:
    yield from _full(SHARED_MEMORY)


@fault(
    "home-read-only", "no file of the home can be made or removed", ends=Ends.FAILS, lasts_s=None
)
def _home_read_only(_: Machine) -> Iterator[None]:
    yield from _read_only()


@fault(
    "home-read-only-briefly",
    "no file of the home can be made or removed for a while",
    ends=Ends.FAILS,
    lasts_s=_A_WHILE_S,
)
def _home_read_only_briefly(_: Machine) -> Iterator[None]:
    yield from _read_only()


def _read_only() -> Iterator[None]:
    # A remount would be refused while a file is open for writing.
    HOME.mkdir(exist_ok=True)
    folders = [HOME, *(path for path in HOME.rglob("*") if path.is_dir())]
    try:
        for folder in folders:
            _set_immutable(folder, True)
        yield
    finally:
        for folder in folders:
            _set_immutable(folder, False)


def _set_immutable(folder: Path, is_wanted: bool) -> None:
    with contextlib.suppress(FileNotFoundError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            (flags,) = struct.unpack("i", fcntl.ioctl(descriptor, _GET_FLAGS, struct.pack("i", 0)))
            flags = flags | _IMMUTABLE if is_wanted else flags & ~_IMMUTABLE
            fcntl.ioctl(descriptor, _SET_FLAGS, struct.pack("i", flags))
        finally:
            os.close(descriptor)


@fault("inodes-exhausted", "no new file can be made in the home", ends=Ends.FAILS, lasts_s=None)
def _inodes_exhausted(_: Machine) -> Iterator[None]:
    stats = os.statvfs(HOME_DISK)
    remount(HOME_DISK, f"nr_inodes={stats.f_files - stats.f_ffree}")
    try:
        yield
    finally:
        remount(HOME_DISK, "nr_inodes=100000")
