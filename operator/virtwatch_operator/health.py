# What kubelet asks: alive, ready, and if not, why.
import threading
from collections.abc import Callable, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

Checks = Callable[[], Mapping[str, bool]]


class HealthServer:
    """Answer /healthz and /readyz: 200 when all checks hold, else 503, with one line for each."""

    def __init__(self, port: int, *, alive: Checks, ready: Checks) -> None:
        handler = _handler({"/healthz": alive, "/readyz": ready})
        self._server = ThreadingHTTPServer(("", port), handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, name="health", daemon=True)

    def start(self) -> None:
        """Begin; return at once."""
        self._thread.start()

    def stop(self) -> None:
        """End."""
        self._server.shutdown()
        self._server.server_close()


def _handler(paths: Mapping[str, Checks]) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            checks = paths.get(self.path)
            if checks is None:
                self._answer(404, "ask /healthz or /readyz\n")
                return
            results = checks()
            lines = "".join(f"{'ok' if holds else 'not yet'}: {name}\n" for name, holds in results.items())
            self._answer(200 if all(results.values()) else 503, lines)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the standard library's name
            """Log nothing: kubelet asks every few seconds."""

        def _answer(self, status: int, text: str) -> None:
            body = text.encode()
            self.send_response(status)
            self.send_header("Content-Type", "text/plain; charset=utf-8")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

    return Handler
