"""What fails below the operator while transitions flow: each is announced exactly once, and status is right again."""

import json
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress

import pytest

from tests.integration.operator.place import DEADLINE_S, Place, eventually, progress
from tests.integration.operator.stand_in import StandIn
from tests.soak import times
from tools.checkout import CHECKOUT
from virtwatch_kube.errors import Expired, KubeError, NotFound
from virtwatch_kube.paths import virtwatch

ABSENT_S = times(10, 60)
MEDDLES = times(20, 500)


def settle(place: Place, agent: StandIn) -> None:
    """Let the flow end, and assert that each transition was told once."""
    progress(agent)
    agent.rest()
    eventually(agent.done, what="everything to be acknowledged", deadline=120)
    place.told(agent)


@pytest.mark.soak
@pytest.mark.timeout(300)
def test_an_etcd_that_hangs_or_is_absent_loses_nothing_and_repeats_nothing(flowing):
    place, agent, _ = flowing
    operator = place.operator()
    progress(agent)
    place.cluster.etcd.signal(signal.SIGSTOP)
    time.sleep(ABSENT_S)
    place.cluster.etcd.signal(signal.SIGCONT)
    place.cluster.wait_ready()
    progress(agent)
    place.cluster.etcd.kill()
    time.sleep(ABSENT_S)
    place.cluster.etcd.restart()
    place.cluster.wait_ready()
    settle(place, agent)
    assert operator.alive


def test_watches_that_expired_meanwhile_begin_anew_and_repeat_nothing(flowing):
    """An API server that was started again has forgotten what the operator saw last: it answers 410."""
    place, agent, _ = flowing
    operator = place.operator()
    progress(agent)
    operator.signal(signal.SIGSTOP)
    seen = place.client.snapshot(virtwatch("nodemonitors")).version
    eventually(
        lambda: place.client.snapshot(virtwatch("nodemonitors")).version != seen, what="a report that is not seen"
    )
    other = place.policy(name="meanwhile")
    place.cluster.apiserver.kill()
    place.api_server_returns()
    (expired,) = eventually(lambda: [is_expired(place, seen)], what="an answer: while it starts, it asks to come later")
    assert expired
    operator.signal(signal.SIGCONT)
    eventually(lambda: place.thresholds(other), what="what came meanwhile to be in force")
    settle(place, agent)


def is_expired(place: Place, version: str) -> bool:
    """Tell whether a watch of NodeMonitors cannot go on from there."""
    query = [("watch", "true"), ("resourceVersion", version), ("timeoutSeconds", "5")]
    with suppress(Expired):
        answer = place.client.stream(virtwatch("nodemonitors"), query=query, read_timeout=10.0)
        with closing(answer):
            first = b"".join(answer.stream()).partition(b"\n")[0]  # the API server ends the stream behind it
        return bool(json.loads(first)["object"].get("code") == 410)
    return True


def test_other_writers_are_put_right_and_repeat_nothing(flowing):
    """Somebody writes over acknowledgement, ThresholdSet and status, again and again."""
    place, agent, key = flowing
    place.operator()
    progress(agent)
    monitor = virtwatch("nodemonitors", name=agent.node)

    def meddle() -> None:
        document = place.client.get(monitor)
        document.get("spec", {})["acknowledged"] = {"epoch": agent.epoch, "sequence": 0}
        place.client.replace(monitor, document, manager="meddler")
        thresholds = place.thresholds(key)
        if thresholds is not None:
            place.client.delete(virtwatch("thresholdsets", namespace=place.name, name=key.name))
        policy = place.client.get(place.path(key))
        policy["status"] = {"alerts": {"critical": 99}, "conditions": []}
        place.client.replace(f"{place.path(key)}/status", policy, manager="meddler")

    with repeating(meddle, MEDDLES):
        progress(agent)
    settle(place, agent)
    eventually(lambda: place.thresholds(key), what="the ThresholdSet to be back")
    eventually(lambda: place.status(key).get("alerts", {}).get("critical") == 0, what="the status to be right")
    eventually(lambda: acknowledged(place, agent) == len(agent.journal), what="the acknowledgement to be right")


def acknowledged(place: Place, agent: StandIn) -> int:
    document = place.client.get(virtwatch("nodemonitors", name=agent.node))
    return int(document["spec"].get("acknowledged", {}).get("sequence", 0))


@contextmanager
def repeating(deed: Callable[[], None], count: int) -> Iterator[None]:
    """Do something again and again beside the test; what meets another's write is tried again."""

    def run() -> None:
        done = 0
        while done < count:
            try:
                deed()
                done += 1
            except KubeError:
                time.sleep(0.05)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    yield
    thread.join(DEADLINE_S)  # many of its writes meet another's
    assert not thread.is_alive()


def test_reports_whose_kind_is_taken_away_and_given_back_are_told_once(flowing):
    place, agent, _ = flowing
    operator = place.operator()
    progress(agent)
    place.cluster.kubectl("delete", "--wait", "crd", "nodemonitors.virtwatch.io")
    place.cluster.apply_crds(CHECKOUT / "crds")
    eventually(lambda: monitored(place, agent), what="the NodeMonitor to be made anew")
    settle(place, agent)
    assert operator.alive


def monitored(place: Place, agent: StandIn) -> bool:
    try:
        return bool(place.client.get(virtwatch("nodemonitors", name=agent.node)))
    except NotFound:
        return False
