import json
import random
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from lab.process import Process
from tests.integration.system.conftest import RULE
from tests.integration.system.watched import Watched
from tests.soak import times

# Each within a transition: under `make soak` a thousand in all.
KILLS = times(3, 125)
# As long as a transition takes at most when all is well.
WITHIN_S = 1.2


@pytest.mark.soak
def test_an_agent_killed_at_random_moments_loses_no_transition_and_repeats_no_event(watched: Watched) -> None:
    assert_nothing_is_lost_or_repeated(watched, watched.system.agent)


@pytest.mark.soak
def test_an_operator_killed_at_random_moments_loses_no_transition_and_repeats_no_event(watched: Watched) -> None:
    assert_nothing_is_lost_or_repeated(watched, watched.system.operator)


def test_an_agent_killed_as_soon_as_a_policy_is_in_force_goes_on_with_it(watched: Watched) -> None:
    system, agent = watched.system, watched.system.agent
    on_disk = system.state_dir / "thresholds.json"
    system.control_plane.kubectl("delete", "monitorpolicy", "paused", f"--namespace={system.namespace}")
    system.wait(lambda: json.loads(on_disk.read_bytes())["items"] == [], what="the agent to remember no policy")
    system.put_in_force("paused", RULE, target={"names": [watched.machine.name]})
    watched.pause()
    watched.wait_told("AlertCritical")
    agent.kill()
    watched.resume()
    agent.restart()
    watched.wait_told("AlertCritical", "AlertResolved")
    assert "an event cleared it, vm.resumed" in watched.notes[-1]
    agent.kill()
    watched.pause()
    agent.restart()
    watched.wait_told("AlertCritical", "AlertResolved", "AlertCritical")


def assert_nothing_is_lost_or_repeated(watched: Watched, victim: Process) -> None:
    """Kill the process within each transition, at a random moment, and start it again at another."""
    expected: list[str] = []
    for _ in range(KILLS):
        for deed, reason in ((watched.pause, "AlertCritical"), (watched.resume, "AlertResolved")):
            deed()
            time.sleep(random.uniform(0, WITHIN_S))
            victim.kill()
            time.sleep(random.uniform(0, WITHIN_S))
            victim.restart()
            expected.append(reason)
            watched.wait_told(*expected)
    assert len(set(watched.names)) == len(watched.names)


@pytest.mark.soak
def test_of_transitions_that_flow_while_the_agent_is_killed_all_that_it_journaled_are_told_once_in_order(
    watched: Watched,
) -> None:
    system = watched.system
    begun = system.status()["sequence"]
    with flowing(watched):
        for _ in range(2 * KILLS):
            time.sleep(random.uniform(0, 2 * WITHIN_S))
            system.agent.kill()
            time.sleep(random.uniform(0, WITHIN_S))
            system.agent.restart()
    # Once more, so that what the status says is said by the agent that was started last.
    watched.pause()
    watched.wait_firing("paused")
    watched.resume()
    watched.wait_firing()
    journaled = list(range(begun + 1, system.status()["sequence"] + 1))
    system.wait(lambda: len(watched.names) >= len(journaled), what="all transitions to be told")
    told = sorted((int(name.split(".")[-2]), reason) for name, reason in zip(watched.names, watched.told, strict=True))
    assert [number for number, _ in told] == journaled
    assert [reason for _, reason in told] == ["AlertCritical", "AlertResolved"] * (len(journaled) // 2)


@contextmanager
def flowing(watched: Watched) -> Iterator[None]:
    """Pause and resume the VM all the time, from another thread; it runs in the end."""
    ended = threading.Event()

    def flow() -> None:
        while not ended.is_set():
            watched.pause()
            time.sleep(random.uniform(0, WITHIN_S))
            watched.resume()
            time.sleep(random.uniform(0, WITHIN_S))

    thread = threading.Thread(target=flow)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()
