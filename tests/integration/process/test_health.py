import socket
import struct
import urllib.error
import urllib.request

import pytest

from lab.process import free_port
from virtwatch_process.health import HealthServer


@pytest.fixture
def problems():
    return {"/healthz": "", "/readyz": "not known yet"}


@pytest.fixture
def server(problems):
    made = HealthServer(free_port(), {path: lambda path=path: {"part": problems[path]} for path in problems})
    made.start()
    yield made
    made.stop()


def ask(server, path):
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(f"http://127.0.0.1:{server.port}{path}", timeout=30) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as refusal:
        with refusal:
            return refusal.code, refusal.read().decode()


def test_a_check_that_finds_nothing_is_ok(server):
    assert ask(server, "/healthz") == (200, "ok: part\n")


def test_a_problem_is_told_until_it_is_gone(server, problems):
    assert ask(server, "/readyz") == (503, "part: not known yet\n")
    problems["/readyz"] = ""
    assert ask(server, "/readyz") == (200, "ok: part\n")


def test_another_path_says_which_there_are(server):
    assert ask(server, "/") == (404, "known here: /healthz, /readyz\n")


def test_a_taken_port_is_one_line_in_the_log_and_no_crash(server, caplog):
    second = HealthServer(server.port, {})
    second.start()
    assert second.port == 0
    (line,) = caplog.messages
    assert f"cannot listen on port {server.port}" in line
    assert "VIRTWATCH_HEALTH_PORT" in line
    second.stop()


def test_probes_are_answered_over_ipv4_and_over_ipv6(server):
    for host in ("127.0.0.1", "::1"):
        with socket.create_connection((host, server.port), timeout=30) as connection:
            connection.sendall(b"GET /healthz HTTP/1.0\r\n\r\n")
            assert b"200 OK" in connection.makefile("rb").readline()


def test_a_probe_that_hangs_up_leaves_no_traceback(server, capfd):
    with socket.create_connection(("127.0.0.1", server.port), timeout=30) as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        connection.sendall(b"GET /healthz HTTP/1.0\r\n\r\n")
    assert ask(server, "/healthz")[0] == 200
    assert "Traceback" not in capfd.readouterr().err
