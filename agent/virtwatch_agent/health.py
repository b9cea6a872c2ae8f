import logging
import threading
from collections.abc import Callable, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

logger = logging.getLogger(__name__)

# Returns a sentence about what is wrong, empty when all is well.
Check = Callable[[], str]
CORE_SILENCE_S = 30.0  # after which the core's loop counts as stuck; it turns each second


class HealthServer:
    """Answer the kubelet's probes with 200 "ok", or 503 and what is wrong; `checks` is keyed by path (/healthz)."""

    def __init__(self, port: int, checks: Mapping[str, Check]) -> None:
        self._port = port
        self._checks = checks
        self._server: ThreadingHTTPServer | None = None

    @property
    def port(self) -> int:
        """Return the TCP port that is listened on, 0 when there is none."""
        return self._server.server_address[1] if self._server is not None else 0

    def start(self) -> None:
        """Listen on all addresses; a port that is taken is said and costs the probes, not the agent."""
        try:
            self._server = _Server(("", self._port), _handler(self._checks))
        except OSError as error:
            logger.warning(
                "Port %d for health checks cannot be had (%s); set VIRTWATCH_HEALTH_PORT to a free one",
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

    def handle_error(self, request: object, client_address: object) -> None:
        """Ignore a client that went away before its answer: nobody is left to tell."""


def _handler(checks: Mapping[str, Check]) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        timeout = 5.0  # seconds for a request to be complete

        def do_GET(self) -> None:
            check = checks.get(self.path)
            problem = check() if check is not None else f"known here: {', '.join(checks)}"
            body = f"{problem or 'ok'}\n".encode()
            self.send_response(404 if check is None else 503 if problem else 200)
            self.send_header("Content-Type", "text/plain; charset=utf-8")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class' name
            """Keep probes out of the log."""

    return Handler
