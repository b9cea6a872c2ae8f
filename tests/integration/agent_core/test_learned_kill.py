"""What rules have learned outlasts an agent that is killed, and an edit of its policy that changes no meaning."""

import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from tests.integration.agent_core.scripted import BUSY, Agent, SetClock, learned, policy
from tests.integration.agent_core.test_handover import LOOP, ODD

# Learns, and says so once it is on disk; then waits to be killed.
LEARNER = textwrap.dedent("""
    import sys, time
    from pathlib import Path
    from tests.integration.agent_core.scripted import Agent, learned, policy
    from tests.integration.agent_core.test_handover import LOOP, ODD

    folder = Path(sys.argv[1])
    agent = Agent(folder)
    agent.judge_by(policy(LOOP, ODD)).appear().see(100.0)
    agent.hear("vm.crashed", reason="panicked").hear("vm.crashed", reason="panicked")
    agent.until_judged()
    agent.clock.ahead = 301.0  # baselines are written each five minutes
    while not (learned(folder, "odd").get("series") and len(learned(folder, "loop").get("events", ())) == 2):
        time.sleep(0.1)
    print("learned", flush=True)
    time.sleep(600)
""")


@pytest.fixture(autouse=True)
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let agents wait for a disk that a busy machine delays: what they read too late they do not know."""
    monkeypatch.setattr("virtwatch_agent.journal.learned._OPEN_S", 30.0)
    monkeypatch.setattr("virtwatch_agent.journal.learned._CLOSE_S", 30.0)


def test_baselines_and_events_outlast_a_kill_and_an_edit(tmp_path: Path) -> None:
    writer = subprocess.Popen([sys.executable, "-c", LEARNER, tmp_path], stdout=subprocess.PIPE, text=True)
    assert writer.stdout is not None
    with writer:
        assert writer.stdout.readline() == "learned\n"
        writer.send_signal(signal.SIGKILL)
    before = learned(tmp_path, "odd")

    clock = SetClock()
    clock.ahead = 301.0  # from the start, as the one that was killed left it
    agent = Agent(tmp_path, clock=clock)
    try:
        runbook = {"runbookURL": "https://wiki.example.com/odd"}
        agent.judge_by(policy({**LOOP, **runbook}, {**ODD, **runbook})).appear()
        agent.until(lambda status: status.virtual_machines == 1)
        agent.until_ticked()
        agent.hear("vm.crashed", reason="panicked")
        firing = agent.until(lambda status: bool(status.firing)).firing
        assert [(item.alert.rule, item.evidence.count) for item in firing] == [("loop", 3)]
    finally:
        agent.core.stop()
    after = learned(tmp_path, "odd")
    assert after["begun"] == before["begun"]
    assert after["series"] == before["series"]


def test_what_would_have_fired_is_counted_across_restarts(tmp_path: Path) -> None:
    observing = policy(BUSY, enforcement="Observe")
    agent = Agent(tmp_path)
    try:
        agent.judge_by(observing).appear().see(50, 150, 50, 150)
        agent.until(lambda status: [item.would_have_fired for item in status.applied] == [2])

        agent.restart()
        agent.judge_by(observing).appear()
        agent.until(lambda status: [item.would_have_fired for item in status.applied] == [2])
        agent.see(50, 150)
        status = agent.until(lambda status: [item.would_have_fired for item in status.applied] == [3])
        assert status.firing == status.transitions == ()
    finally:
        agent.core.stop()
