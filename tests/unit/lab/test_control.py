"""How a guest is asked that is slow."""

import socket
import threading
from pathlib import Path

import pytest

from lab.guests import control
from tools.errors import ToolError


def answer_the_first(listener: socket.socket, word: str) -> None:
    """Be a guest that answers its first request when it was sent three, and is gone then."""
    with listener, listener.accept()[0] as line, line.makefile() as requests:
        numbers = [request.split()[0] for _, request in zip(range(3), filter(str.strip, requests), strict=False)]
        line.sendall(f"half a line\n{numbers[0]} {word}\n".encode())


@pytest.fixture
def listener(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> socket.socket:
    monkeypatch.setattr(control, "ANSWER_S", 0.05)
    made = socket.socket(socket.AF_UNIX)
    made.bind(str(tmp_path / "port"))
    made.listen(1)
    return made


@pytest.mark.parametrize("word", ["ok", "failed"])
def test_a_late_answer_counts_though_none_comes_after_it(tmp_path: Path, listener: socket.socket, word: str) -> None:
    """A guest that powers off answers once."""
    guest = threading.Thread(target=answer_the_first, args=(listener, word))
    guest.start()
    if word == "ok":
        control.ask(tmp_path / "port", "poweroff", deadline=60)
    else:
        with pytest.raises(ToolError, match="refused 'poweroff'"):
            control.ask(tmp_path / "port", "poweroff", deadline=60)
    guest.join()


def test_a_guest_that_never_answers_is_named(tmp_path: Path, listener: socket.socket) -> None:
    with listener, pytest.raises(ToolError, match="did not answer 'ping'"):
        control.ask(tmp_path / "port", "ping", deadline=0.3)
