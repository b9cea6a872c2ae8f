"""A leader is killed in a storm: each transition is announced exactly once, and the next one soon leads."""

import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import replace

import pytest

from tests.integration.operator.channels import make_channel, make_secret, status
from tests.integration.operator.place import Place, eventually
from tests.integration.operator.receivers import webhook
from tests.integration.operator.stand_in import StandIn
from tests.soak import times
from virtwatch_api.targets import vm_ref
from virtwatch_kube.election import LEASE_S, RETRY_S
from virtwatch_kube.errors import KubeError
from virtwatch_kube.paths import resource

# More than a report holds, so that the rest follows it: 1,000 in all under `make soak`.
NODES, EACH = times(5, 20), times(40, 50)
# A follower looks every RETRY_S: it sees the last renewal so late at most, and its end so late again.
TAKEOVER_S = LEASE_S + 2 * RETRY_S + 5.0  # that a busy API server takes for its answers


def report(agent: StandIn) -> None:
    """Publish what waits until all of it is acknowledged, as an agent does."""
    while agent.waiting():
        try:
            agent.publish()
            end = time.monotonic() + 1
            while not agent.hear() and time.monotonic() < end:
                time.sleep(0.05)
        except KubeError:
            time.sleep(0.1)


def holder(place: Place) -> str:
    lease = place.client.get(
        resource("coordination.k8s.io/v1", "leases", namespace=place.system, name="virtwatch-operator")
    )
    return str((lease.get("spec") or {}).get("holderIdentity") or "")


def told_so_far(place: Place) -> int:
    time.sleep(NODES * EACH / 1000)  # listing them all is work for the API server, too
    return len(place.events())


@pytest.mark.soak
@pytest.mark.timeout(400)
def test_a_leader_killed_in_a_storm_loses_nothing_and_repeats_nothing(
    place: Place, record_property: Callable[[str, object], None]
):
    with webhook() as hook:
        leader = place.operator(VIRTWATCH_LEASE="on")
        make_secret(place, "hook", namespace=place.system, url=f"json://127.0.0.1:{hook.port}/x")
        path = make_channel(
            place, "hook", namespace=place.system, type="Webhook", urlSecretRef={"name": "hook"}, groupWait="0s"
        )
        policy, notifying = place.policy(), place.cluster_policy(notify=[{"channel": "hook"}])
        agents = [place.agent(f"n{number}") for number in range(NODES)]
        place.operator(VIRTWATCH_LEASE="on")
        for index, agent in enumerate(agents):
            agent.subject = replace(agent.subject, target=vm_ref(f"uuid-{index}"))  # each has a VM of its own
            for number in range(EACH):
                agent.happen(notifying if number == index else policy)
        first = eventually(lambda: holder(place), what="a leader")
        threads = [threading.Thread(target=report, args=(agent,), daemon=True) for agent in agents]
        for thread in threads:
            thread.start()
        eventually(lambda: told_so_far(place) > NODES * EACH // 2, what="a quarter of the Events", deadline=150)
        leader.kill()
        killed = time.monotonic()
        eventually(lambda: holder(place) not in ("", first), what="another leader")
        takeover = time.monotonic() - killed
        for thread in threads:
            thread.join(200)
        done = time.monotonic() - killed
        assert not any(agent.waiting() for agent in agents)
        told = Counter(
            (item["metadata"]["labels"]["virtwatch.io/alert"], item["eventTime"], item["regarding"]["kind"])
            for item in (*place.events(), *place.events("default"))
            if place.name in str(item["regarding"]) + str(item.get("related"))
        )
        eventually(
            lambda: [status(place, path).get(name) for name in ("waiting", "firing")] == [0, NODES],
            what="all to be sent to the channel",
        )
        messages = "".join(message["title"] + message["message"] for message in hook.messages)
        assert all(agent.node in messages for agent in agents)
    record_property("takeover_s", round(takeover, 1))
    record_property("all_told_s", round(done, 1))
    print(f"takeover after {takeover:.1f} s, all told after {done:.1f} s")
    assert len(told) == sum(told.values()) == 2 * NODES * EACH
    assert takeover <= TAKEOVER_S
