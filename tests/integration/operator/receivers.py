"""Real receivers of notifications: an HTTP server that plays a webhook or a provider's API."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


class Webhook:
    """Take what is posted; `answers` holds the status codes of the next requests (200 when none is left).

    While `hangs` is set, requests get no answer.
    """

    def __init__(self, address: str = "127.0.0.1", *, port: int = 0, context: Any = None) -> None:
        self.posted: list[tuple[str, dict[str, str], bytes]] = []
        self.answers: list[int] = []
        self.location = ""
        self.says = b""
        self.hangs = threading.Event()
        self._free = threading.Event()
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                outer._take(self)

            do_PUT = do_GET = do_POST  # noqa: N815 - the standard library's name

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer((address, port), Handler)
        self._server.daemon_threads = True
        if context is not None:
            self._server.socket = context.wrap_socket(self._server.socket, server_side=True)
        self.port = self._server.server_address[1]
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)

    @property
    def messages(self) -> list[dict[str, Any]]:
        """Return what was posted with success, as JSON."""
        return [json.loads(body) for _, _, body in self.posted]

    def __enter__(self) -> "Webhook":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._free.set()
        self._server.shutdown()
        self._server.server_close()

    def _take(self, request: BaseHTTPRequestHandler) -> None:
        body = request.rfile.read(int(request.headers.get("Content-Length", 0)))
        if self.hangs.is_set():
            self._free.wait(60)
            return
        status = self.answers.pop(0) if self.answers else 200
        if status == 200:
            self.posted.append((request.path, dict(request.headers), body))
        request.send_response(status)
        if 300 <= status < 400:
            request.send_header("Location", self.location)
        request.send_header("Content-Length", str(len(self.says)))
        request.end_headers()
        request.wfile.write(self.says)


@contextmanager
def webhook() -> Iterator[Webhook]:
    with Webhook() as started:
        yield started
