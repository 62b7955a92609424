"""Python starts with this where its folder is on PYTHONPATH: a clock that can be set.

The offset, a float64 in seconds, is the content of the file that RNNLANE_FAULTS_CLOCK names. Only
Python's time.time() and time.time_ns() follow it, which is what rnnlane and MLflow read. The
machine's own clock is left alone, as others use it.
"""

import mmap
import os
import struct
import time

_unpack = struct.Struct("<d").unpack_from
_real_time, _real_time_ns = time.time, time.time_ns
_offset = bytes(8)


# Functions of a module, not lambdas: Ray sends some of its own that have time.time as a default,
# and what has a name is sent by its name.
def shifted_time() -> float:
    """The real time and the offset, in seconds."""
    return float(_real_time() + _unpack(_offset)[0])


def shifted_time_ns() -> int:
    """The same in nanoseconds."""
    return _real_time_ns() + int(_unpack(_offset)[0] * 1e9)


if "RNNLANE_FAULTS_CLOCK" in os.environ:
    with open(os.environ["RNNLANE_FAULTS_CLOCK"], "rb") as _file:
        _offset = mmap.mmap(_file.fileno(), 8, access=mmap.ACCESS_READ)
    time.time, time.time_ns = shifted_time, shifted_time_ns
