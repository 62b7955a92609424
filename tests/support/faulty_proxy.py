"""A TCP proxy in front of an HTTP server, which fails in the ways that networks and servers do."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from typing import Literal

Mode = Literal["pass", "refuse", "hang", "slow", "answer", "lose answers"]


class FaultyProxy:
    """Passes connections on to a port of this machine, until told otherwise.

    Modes: ``refuse`` ends every connection and accepts none; ``hang`` moves no byte while
    connections stay open; ``slow`` waits before each piece; ``answer`` gives an answer of its own
    to every request; ``lose answers`` passes requests on and drops the connection once the server
    has answered.
    """

    def __init__(self, port: int, *, to_port: int):
        self._port, self._to_port = port, to_port
        self._mode: Mode = "pass"
        self._delay_s = 0.0
        self._answer = b""
        self._open: set[socket.socket] = set()
        self._lock = threading.Lock()
        self._listener: socket.socket | None = None
        self._listen()

    def heal(self) -> None:
        """Passes everything on again."""
        self._mode = "pass"
        if self._listener is None:
            self._listen()

    def refuse(self) -> None:
        self._mode = "refuse"
        listener, self._listener = self._listener, None
        if listener is not None:
            with contextlib.suppress(OSError):
                listener.shutdown(socket.SHUT_RDWR)
            listener.close()
        self._drop_all()

    def hang(self) -> None:
        self._mode = "hang"

    def slow(self, delay_s: float) -> None:
        self._delay_s, self._mode = delay_s, "slow"

    def lose_answers(self) -> None:
        self._mode = "lose answers"

    def answer(self, status: int, body: str, *, content_type: str = "text/plain") -> None:
        """Answers every request with this; nothing reaches the server."""
        content = body.encode()
        head = f"HTTP/1.1 {status} Status\r\nContent-Type: {content_type}\r\n"
        head += f"Content-Length: {len(content)}\r\nConnection: close\r\n\r\n"
        self._answer, self._mode = head.encode() + content, "answer"

    def _listen(self) -> None:
        listener = socket.create_server(("127.0.0.1", self._port), backlog=64)
        self._listener = listener
        threading.Thread(target=self._accept, args=(listener,), daemon=True).start()

    def _accept(self, listener: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while True:
                near, _ = listener.accept()
                threading.Thread(target=self._serve, args=(near,), daemon=True).start()

    def _serve(self, near: socket.socket) -> None:
        self._wait_while_hanging()
        try:
            far = socket.create_connection(("127.0.0.1", self._to_port))
        except OSError:
            far = None
        if far is None and self._mode != "answer":
            near.close()
            return
        ends = [end for end in (near, far) if end is not None]
        with self._lock:
            self._open.update(ends)
        if far is not None:
            threading.Thread(target=self._pump, args=(far, near, True), daemon=True).start()
        self._pump(near, far, False)

    def _pump(self, source: socket.socket, target: socket.socket | None, is_answer: bool) -> None:
        """Copies one direction of a connection until either end closes."""
        with contextlib.suppress(OSError):
            while data := source.recv(1 << 16):
                self._wait_while_hanging()
                if self._mode == "slow":
                    time.sleep(self._delay_s)
                elif self._mode == "lose answers" and is_answer:
                    break
                elif self._mode == "answer" and not is_answer:
                    source.sendall(self._answer)
                    # Closing with unread data would reset the connection and lose the answer.
                    source.shutdown(socket.SHUT_WR)
                    source.settimeout(2.0)
                    while source.recv(1 << 16):
                        pass
                    break
                if target is None:
                    break
                target.sendall(data)
        self._drop(source, target)

    def _wait_while_hanging(self) -> None:
        while self._mode == "hang":
            time.sleep(0.05)

    def _drop(self, *ends: socket.socket | None) -> None:
        for end in ends:
            if end is None:
                continue
            with self._lock:
                self._open.discard(end)
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
            end.close()

    def _drop_all(self) -> None:
        with self._lock:
            ends = list(self._open)
        self._drop(*ends)
