import http.client
import http.server
import threading
import urllib.error
import urllib.request
from contextlib import closing
from typing import ClassVar

import pytest

from support.faulty_proxy import FaultyProxy
from support.ports import free_ports


class Server(http.server.BaseHTTPRequestHandler):
    requests: ClassVar[list[str]] = []

    def do_GET(self):
        self.requests.append(self.path)
        self.send_response(200)
        self.send_header("Content-Length", "4")
        self.end_headers()
        self.wfile.write(b"real")

    def log_message(self, *_):
        pass


@pytest.fixture
def proxy():
    Server.requests = []
    near, far = free_ports(2)
    server = http.server.ThreadingHTTPServer(("127.0.0.1", far), Server)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    proxy = FaultyProxy(near, to_port=far)
    proxy.port = near
    yield proxy
    proxy.refuse()
    server.shutdown()
    server.server_close()


def ask(proxy, *, timeout_s=5):
    address = f"http://127.0.0.1:{proxy.port}/x"
    with closing(urllib.request.urlopen(address, timeout=timeout_s)) as answer:
        return answer.read().decode()


def test_passes_on_until_told_otherwise_and_again_after_healing(proxy):
    assert ask(proxy) == "real"
    proxy.refuse()
    with pytest.raises(OSError, match="refused"):
        ask(proxy)
    proxy.heal()
    assert ask(proxy) == "real"


def test_answers_in_the_servers_place(proxy):
    proxy.answer(503, "no healthy upstream")
    with pytest.raises(urllib.error.HTTPError) as refused:
        ask(proxy)
    assert refused.value.code == 503
    proxy.answer(200, "log in", content_type="text/html")
    assert ask(proxy) == "log in"
    assert Server.requests == []


def test_a_lost_answer_is_one_whose_request_has_arrived(proxy):
    proxy.lose_answers()
    with pytest.raises((OSError, http.client.HTTPException)):
        ask(proxy)
    assert Server.requests == ["/x"]


def test_hanging_moves_no_byte_until_healed(proxy):
    proxy.hang()
    with pytest.raises((TimeoutError, urllib.error.URLError)):
        ask(proxy, timeout_s=0.3)
    assert Server.requests == []
    proxy.heal()
    assert ask(proxy) == "real"


def test_slow_only_delays(proxy):
    proxy.slow(0.05)
    assert ask(proxy) == "real"
