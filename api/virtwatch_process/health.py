"""What a kubelet asks: alive, ready, and if not, why."""

import logging
import socket
import threading
from collections.abc import Callable, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

logger = logging.getLogger(__name__)

# Returns, for each part that is checked, what is wrong with it, empty when all is well.
Check = Callable[[], Mapping[str, str]]
_REQUEST_TIMEOUT_S = 5.0


class HealthServer:
    """Answer the kubelet's probes: 200 when all parts are well, else 503; a line for each part says what is wrong.

    `checks` is keyed by path (/healthz).
    """

    def __init__(self, port: int, checks: Mapping[str, Check]) -> None:
        self._port = port
        self._checks = checks
        self._server: _Server | None = None

    @property
    def port(self) -> int:
        """Return the TCP port that is listened on, 0 when there is none."""
        return self._server.server_address[1] if self._server is not None else 0

    def start(self) -> None:
        """Listen on all IPv4 and IPv6 addresses; a port that is taken is logged and costs the probes alone."""
        try:
            self._server = _Server(self._port, _handler(self._checks))
        except OSError as error:
            logger.warning(
                "cannot listen on port %d for health checks: %s; set VIRTWATCH_HEALTH_PORT to a free one",
                self._port,
                error.strerror,
            )
            return
        threading.Thread(target=self._server.serve_forever, name="health", daemon=True).start()

    def stop(self) -> None:
        """End; probes fail from now on."""
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()
            self._server = None


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, port: int, handler: type[BaseHTTPRequestHandler]) -> None:
        super().__init__(("", port), handler, bind_and_activate=False)
        self.socket.close()
        self.socket = _listen(port)
        self.server_address = self.socket.getsockname()

    def handle_error(self, request: object, client_address: object) -> None:
        """Ignore a client that went away before its answer: nobody is left to answer."""


def _listen(port: int) -> socket.socket:
    """Listen on IPv6 and IPv4, on a kernel without IPv6 on IPv4 alone."""
    if socket.has_dualstack_ipv6():
        try:
            return socket.create_server(("", port), family=socket.AF_INET6, dualstack_ipv6=True)
        except OSError:
            logger.debug("IPv6 is not available for health checks; IPv4 is tried")
    return socket.create_server(("", port))


def _handler(checks: Mapping[str, Check]) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        timeout = _REQUEST_TIMEOUT_S

        def do_GET(self) -> None:
            check = checks.get(self.path)
            if check is None:
                self._answer(404, f"known here: {', '.join(checks)}\n")
                return
            found = check()
            lines = (f"{part}: {problem}" if problem else f"ok: {part}" for part, problem in found.items())
            self._answer(503 if any(found.values()) else 200, "".join(f"{line}\n" for line in lines))

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class' name
            """Keep probes out of the log."""

        def _answer(self, status: int, text: str) -> None:
            body = text.encode()
            self.send_response(status)
            self.send_header("Content-Type", "text/plain; charset=utf-8")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

    return Handler
