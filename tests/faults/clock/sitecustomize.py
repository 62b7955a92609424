"""Python starts with this where its folder is on PYTHONPATH: a clock that can be set.

The offset, a float64 in seconds, is the content of the file that RNNLANE_FAULTS_CLOCK names. Only
Python's time.time() and time.time_ns() follow it, which is what rnnlane and MLflow read. The
machine's own clock is left alone, as others use it.
"""

import mmap
import os
import struct
import time


def _shift_clock(path: str) -> None:
    with open(path, "rb") as file:
        offset = mmap.mmap(file.fileno(), 8, access=mmap.ACCESS_READ)
    unpack = struct.Struct("<d").unpack_from
    real_time, real_time_ns = time.time, time.time_ns
    time.time = lambda: real_time() + unpack(offset)[0]
    time.time_ns = lambda: real_time_ns() + int(unpack(offset)[0] * 1e9)


if "RNNLANE_FAULTS_CLOCK" in os.environ:
    _shift_clock(os.environ["RNNLANE_FAULTS_CLOCK"])
