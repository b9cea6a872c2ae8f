"""A port that somebody of the lab chose, and has not bound yet, is chosen by nobody else."""

import socket
import subprocess
import sys

import pytest

from lab import process
from lab.process import free_port
from tools.checkout import CHECKOUT
from tools.errors import ToolError


@pytest.fixture
def port(monkeypatch: pytest.MonkeyPatch) -> int:
    """Leave one port to choose."""
    only = free_port()
    process.os.close(process._CHOSEN.pop())
    monkeypatch.setattr(process, "PORTS", range(only, only + 1))
    monkeypatch.setattr(process.random, "sample", lambda ports, _: list(ports))
    return only


def test_a_port_is_chosen_once(port: int) -> None:
    assert free_port() == port
    with pytest.raises(ToolError, match="No free TCP port"):
        free_port()


def test_another_process_chooses_another_port(port: int) -> None:
    assert free_port() == port
    code = f"from lab import process; process._hold({port})"
    other = subprocess.run([sys.executable, "-c", code], cwd=CHECKOUT, capture_output=True, text=True, check=False)
    assert "Address already in use" in other.stderr


def test_a_port_that_is_bound_is_not_chosen(port: int) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", port))
        with pytest.raises(ToolError, match="No free TCP port"):
            free_port()


def test_few_ports_are_held(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process, "_MOST_CHOSEN", 3)
    chosen = [free_port() for _ in range(8)]
    assert len(set(chosen)) == 8
    assert len(process._CHOSEN) == 3
