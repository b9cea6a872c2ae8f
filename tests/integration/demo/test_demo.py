"""The light demo as a person runs it: interrupted, killed, failing, beside another one."""

import re
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.demo_runs import LIGHT_DEADLINE_S, Lab, assert_nothing_is_left, lab_of_its_own, wait_for_line

# Two demos at a time, beside all other tests: by themselves they take half a minute.
pytestmark = pytest.mark.timeout(2 * LIGHT_DEADLINE_S)


@pytest.fixture
def lab() -> Iterator[Lab]:
    with lab_of_its_own() as made:
        yield made


def test_an_interrupted_demo_leaves_nothing_and_a_killed_one_is_named_by_the_next(lab: Lab) -> None:
    with lab.begin("demo") as killed:
        wait_for_line(killed, "Waiting for Linux to boot")
        killed.kill()
    (left,) = lab.runs.iterdir()
    with lab.begin("demo") as interrupted:
        assert f"a killed run left {left} behind" in wait_for_line(interrupted, "Starting web-1")
        interrupted.send_signal(signal.SIGINT)
        printed, _ = interrupted.communicate(timeout=LIGHT_DEADLINE_S)
    assert interrupted.returncode == 130, printed
    assert list(lab.runs.iterdir()) == [left]
    lab.run("down")
    assert_nothing_is_left(lab)


def test_a_kept_demo_stays_to_be_played_with_though_another_fails_beside_it(lab: Lab) -> None:
    """One that cannot come true says why and leaves nothing, and nothing of it reaches the other."""
    with lab.begin("demo", "--keep") as kept, lab.begin("demo") as failing:
        wait_for_line(failing, "A policy says what is too much")
        lab.kill("virtwatch_agent", run_of=failing)
        printed, _ = failing.communicate(timeout=LIGHT_DEADLINE_S)
        told, _ = kept.communicate(timeout=LIGHT_DEADLINE_S)

    assert failing.returncode == 1, printed
    assert "error: " in printed
    assert "virtwatch-agent-node-1 ended" in printed
    named = re.findall(r"^See (.*)\.$", printed, re.MULTILINE)[-1]  # it is named at once, and where it is kept
    assert Path(named).read_text()
    assert kept.returncode == 0, told
    assert len(list(lab.runs.iterdir())) == 1
    assert lab.run("guest", "web-1", "pause") == "web-1: paused (user)\n"
    lab.run("down")
    assert_nothing_is_left(lab)
