"""Commands that need not import the command line: forks of a process that has.

The import takes a second, and hundreds of tests run a command that ends before anything starts. A
fork has arguments, environment, folder, stdin, stdout and stderr of its own and ends as any process
does; what it lacks is only the import. That a command works from its first line on is tested where
processes are started, and so is what depends on variables that Python reads at its start.
"""

from __future__ import annotations

import functools
import json
import os
import select
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import IO, Any


def rnnlane_forked(
    *arguments: str,
    env: dict[str, str] | None = None,
    cwd: Path | None = None,
    input: str = "",
    timeout_s: float = 120,
) -> subprocess.CompletedProcess[str]:
    """Runs ``rnnlane`` with these arguments to its end.

    Raises:
        subprocess.TimeoutExpired: it took longer than ``timeout_s``.
    """
    requests, answers, process = _server()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "stdin").write_text(input)
        request = {
            "arguments": arguments,
            "environment": dict(os.environ) if env is None else env,
            "cwd": str(cwd or Path.cwd()),
            "files": [str(folder / stream) for stream in ("stdin", "stdout", "stderr")],
        }
        requests.write(json.dumps(request) + "\n")
        requests.flush()
        if not select.select([answers], [], [], timeout_s)[0]:
            process.kill()
            _server.cache_clear()
            raise subprocess.TimeoutExpired(list(arguments), timeout_s)
        code = int(answers.readline())
        out, err = ((folder / stream).read_text() for stream in ("stdout", "stderr"))
    return subprocess.CompletedProcess(["rnnlane", *arguments], code, out, err)


@functools.cache
def _server() -> tuple[IO[str], IO[str], subprocess.Popen[bytes]]:
    """The process whose forks the commands are; it ends when this process does."""
    to_read, requests = os.pipe()
    answers, to_write = os.pipe()
    process = subprocess.Popen(
        [sys.executable, __file__, str(to_read), str(to_write)], pass_fds=(to_read, to_write)
    )
    os.close(to_read)
    os.close(to_write)
    return os.fdopen(requests, "w"), os.fdopen(answers), process


def _serve(requests: int, answers: int) -> None:
    """Forks for each request; returns in the fork."""
    with os.fdopen(requests) as lines:
        for line in iter(lines.readline, ""):
            # A lock that another thread holds would stay locked in the fork.
            assert len(os.listdir("/proc/self/task")) == 1, "threads cannot be forked"
            pid = os.fork()
            if pid == 0:
                _become(json.loads(line))
                return
            code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
            os.write(answers, f"{code}\n".encode())
    sys.exit()


def _become(request: dict[str, Any]) -> None:
    """Takes on what the process of a command has of its own."""
    os.environ.clear()
    os.environ.update(request["environment"])
    os.chdir(request["cwd"])
    modes = (os.O_RDONLY, *2 * [os.O_WRONLY | os.O_CREAT])
    for stream, (file, mode) in enumerate(zip(request["files"], modes, strict=True)):
        opened = os.open(file, mode, 0o600)
        os.dup2(opened, stream)
        os.close(opened)
    import rnnlane.__main__

    sys.argv = [str(rnnlane.__main__.__file__), *request["arguments"]]


if __name__ == "__main__":
    # This file's folder is no source root.
    del sys.path[0]
    import rnnlane.cli.main  # noqa: F401
    from rnnlane.config import experiment_from_mapping

    experiment_from_mapping({"name": "x", "data": {"source": {"kind": "generated"}}})
    _serve(*map(int, sys.argv[1:]))
    from rnnlane.__main__ import main

    main()
