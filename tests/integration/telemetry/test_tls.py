"""TLS to a real server: its certificate is checked, ours is shown, and either may be rotated while the agent runs."""

import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import trustme

from virtwatch_telemetry.channel import Channel
from virtwatch_telemetry.outage import Failures
from virtwatch_telemetry.settings import Signal, read_settings


class _Receiver(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"  # connections are kept, as those of a collector are

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["content-length"]))
        self.send_response(200)
        self.send_header("content-length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None: ...


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    allow_reuse_address = True

    def __init__(self, *args: object) -> None:
        super().__init__(*args)  # type: ignore[arg-type]
        self.accepted: list[socket.socket] = []

    def process_request(self, request: socket.socket, client_address: object) -> None:  # type: ignore[override]
        self.accepted.append(request)
        super().process_request(request, client_address)  # type: ignore[arg-type]

    def end(self) -> None:
        """End, and with it the connections that clients keep."""
        self.shutdown()
        self.server_close()
        for connection in self.accepted:
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    def handle_error(self, *_: object) -> None:
        """Say nothing of a client that is refused."""


@contextmanager
def serving(authority: trustme.CA, *, port: int = 0, clients: trustme.CA | None = None) -> Iterator[int]:
    """Serve OTLP on loopback by a certificate of an authority; `clients` must have one of theirs. Yield the port."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    if clients is not None:
        clients.configure_trust(context)
        context.verify_mode = ssl.CERT_REQUIRED
    server = _Server(("127.0.0.1", port), _Receiver)
    server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield server.server_port
    finally:
        server.end()
        thread.join()


def channel(port: int, folder: Path, *, shown: bool = False) -> tuple[Channel, Failures]:
    """Send metrics there, by the files of a folder; `shown` shows our own certificate."""
    env = {
        "OTEL_EXPORTER_OTLP_ENDPOINT": f"https://127.0.0.1:{port}",
        "OTEL_EXPORTER_OTLP_CERTIFICATE": str(folder / "ca.pem"),
        "OTEL_EXPORTER_OTLP_TIMEOUT": "60",
    }
    if shown:
        env["OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE"] = str(folder / "client.pem")
        env["OTEL_EXPORTER_OTLP_CLIENT_KEY"] = str(folder / "client.key")
    outages = Failures(lambda: 0.0)
    return Channel(read_settings(env).destinations[Signal.METRICS], outages), outages


def write_client(authority: trustme.CA, folder: Path) -> None:
    certificate = authority.issue_cert("agent.example.org")
    (folder / "client.pem").write_bytes(b"".join(blob.bytes() for blob in certificate.cert_chain_pems))
    (folder / "client.key").write_bytes(certificate.private_key_pem.bytes())


def write_authority(authority: trustme.CA, folder: Path) -> None:
    authority.cert_pem.write_to_path(str(folder / "ca.pem"))


def test_a_servers_new_authority_is_believed_once_its_file_is_there(tmp_path):
    first, second = trustme.CA(), trustme.CA()
    write_authority(first, tmp_path)
    with serving(first) as port:
        sender, outages = channel(port, tmp_path)
        assert sender.deliver(b"")
    with serving(second, port=port):
        assert not sender.deliver(b"")
        assert "TLS failed" in outages.problem
        assert "OTEL_EXPORTER_OTLP_CERTIFICATE" in outages.problem
        write_authority(second, tmp_path)
        assert sender.deliver(b"")
        assert outages.problem == ""


def test_a_client_without_certificate_is_refused_where_one_is_wanted(tmp_path):
    authority = trustme.CA()
    write_authority(authority, tmp_path)
    with serving(authority, clients=authority) as port:
        sender, outages = channel(port, tmp_path)
        assert not sender.deliver(b"", within=1.0)
        assert outages.problem


def test_our_own_certificate_is_rotated_while_the_agent_runs(tmp_path):
    authority, old, new = trustme.CA(), trustme.CA(), trustme.CA()
    write_authority(authority, tmp_path)
    write_client(old, tmp_path)
    with serving(authority, clients=old) as port:
        sender, outages = channel(port, tmp_path, shown=True)
        assert sender.deliver(b"")
    write_client(new, tmp_path)
    with serving(authority, port=port, clients=new):
        assert sender.deliver(b""), outages.problem
