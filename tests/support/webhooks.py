"""A receiver of MLflow's webhooks on loopback."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

SECRET = "between-us"


class Receiver(ThreadingHTTPServer):
    """Keeps what arrives with a valid signature."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.received: list[dict[str, Any]] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/"


class _Handler(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        assert isinstance(self.server, Receiver)
        body = self.rfile.read(int(self.headers["Content-Length"])).decode()
        parts = (self.headers["X-MLflow-Delivery-Id"], self.headers["X-MLflow-Timestamp"], body)
        digest = hmac.digest(SECRET.encode(), ".".join(parts).encode(), hashlib.sha256)
        is_ours = self.headers["X-MLflow-Signature"] == f"v1,{base64.b64encode(digest).decode()}"
        if is_ours:
            self.server.received.append(json.loads(body))
        self.send_response(200 if is_ours else 403)
        self.end_headers()

    def log_message(self, *_: Any) -> None:
        pass


@contextmanager
def receiver() -> Iterator[Receiver]:
    with Receiver() as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.shutdown()
