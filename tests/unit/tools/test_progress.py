import re
import threading

import pytest

from tools import progress
from tools.progress import detail, note, step


def without_seconds(text: str) -> list[str]:
    return re.sub(r"\d+\.\d s", "N s", text).splitlines()


def test_a_step_says_what_it_does_why_and_how_long_it_took(capsys: pytest.CaptureFixture[str]) -> None:
    with step("Building", why="once"):
        note("from the cache")
    assert without_seconds(capsys.readouterr().err) == [
        "==> Building ... (once)",
        "    from the cache",
        "    done in N s",
    ]


def test_a_step_that_fails_says_so_and_lets_the_error_pass(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(ValueError, match="wrong"), step("Building"):
        raise ValueError("wrong")
    assert without_seconds(capsys.readouterr().err)[-1] == "    failed after N s"


def test_steps_that_run_at_the_same_time_say_which_one_ended(capsys: pytest.CaptureFixture[str]) -> None:
    with step("Outer"), step("Inner"):
        pass
    assert without_seconds(capsys.readouterr().err) == [
        "==> Outer ...",
        "==> Inner ...",
        "    Inner: done in N s",
        "    Outer: done in N s",
    ]


def test_a_step_is_done_though_nobody_can_be_told(monkeypatch: pytest.MonkeyPatch) -> None:
    class Gone:
        def isatty(self) -> bool:
            return False

        def write(self, _: str) -> None:
            raise OSError("the terminal was closed")

    monkeypatch.setattr("sys.stderr", Gone())
    done = []
    with step("Cleaning up"):
        done.append(True)
    assert done


def test_a_step_that_takes_long_says_how_far_it_is(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(progress, "PIPE_PERIOD_S", 0.01)
    told = threading.Event()

    def how_far() -> str:
        told.set()
        return "3 of 9 packages"

    with step("Building"):
        detail(how_far)
        assert told.wait(60)

    assert re.search(r"^    \d+ s; 3 of 9 packages$", capsys.readouterr().err, re.MULTILINE)
