"""What is done to many VMs on purpose is told once, or not at all: an upgrade of KubeVirt, a shutdown."""

from dataclasses import replace

from tests.integration.operator.channels import make_channel, make_secret, status
from tests.integration.operator.place import Place, eventually
from tests.integration.operator.receivers import webhook
from tests.integration.operator.stand_in import StandIn
from virtwatch_api.alert import Action, AlertState, Reason
from virtwatch_api.nodemonitor import Adopted, Move
from virtwatch_api.policy import PolicyKey, Severity
from virtwatch_api.targets import Subject
from virtwatch_kube.paths import virtwatch

VMS = 12
AT_ONCE = 4  # KubeVirt moves five in the cluster, two from a node, at a time


def all_fire(agent: StandIn, key: PolicyKey, vms: list[Subject]) -> None:
    for agent.subject in vms:
        agent.happen(key)
        agent.fires(key)
    agent.publish()
    eventually(agent.settled, what="the acknowledgement of the alerts")


def leave(agent: StandIn, key: PolicyKey, vms: list[Subject], *, to: str) -> None:
    """Hand over the alerts of VMs that have moved, all at once."""
    for agent.subject in vms:
        moved = agent.happen(key, Action.HANDED_OVER)
        state = AlertState(Severity.CRITICAL, moved.since, critical_since=moved.since)
        agent.journal[-1] = replace(
            moved, reason=Reason.MIGRATED, previous=Severity.CRITICAL, move=Move(to, state, moved.traceparent)
        )
    gone = {subject.target for subject in vms}
    agent.firing = tuple(item for item in agent.firing if item.alert.target not in gone)
    agent.publish()


def take(place: Place, agent: StandIn, key: PolicyKey, vms: list[Subject]) -> None:
    """Go on with the alerts that came, and say so."""
    path = virtwatch("nodemonitors", name=agent.node)
    held = eventually(
        lambda: len(found := place.client.get(path)["spec"].get("handovers") or []) >= len(vms) and found,
        what="the alerts to come",
    )
    for subject in vms:
        agent.subject = replace(subject, node=agent.node)
        agent.fires(key)
    agent.adopted = tuple(Adopted(f"{item['epoch']}.{item['sequence']}", len(agent.journal)) for item in held)
    agent.publish()


def test_an_upgrade_of_kubevirt_that_moves_every_vm_tells_nobody(place: Place):
    """KubeVirt's workload updater moves each VM to a launcher of the new version; alerts that fire go along."""
    with webhook() as hook:
        place.operator()
        make_secret(place, "hook", namespace=place.system, url=f"json://127.0.0.1:{hook.port}/x")
        path = make_channel(
            place, "hook", namespace=place.system, type="Webhook", urlSecretRef={"name": "hook"}, groupWait="4s"
        )
        key = place.cluster_policy(notify=[{"channel": "hook"}])
        source, target = place.agent("n1"), place.agent("n2")
        target.publish()
        vms = [place.vmi(f"web-{number}", source.node) for number in range(VMS)]
        all_fire(source, key, vms)
        eventually(lambda: status(place, path).get("waiting") == 0 and hook.posted, what="the one message")
        eventually(lambda: len(place.status(key)["activeAlerts"]) == VMS, what="the alerts in the status")
        before = place.condition(key, "Quiet")["lastTransitionTime"]
        told = {item["metadata"]["name"] for item in (*place.events(), *place.events("default"))}

        for first in range(0, VMS, AT_ONCE):
            moving = vms[first : first + AT_ONCE]
            for subject in moving:
                place.move(str(subject.name), source.node, to=target.node)
            leave(source, key, moving, to=target.node)
            eventually(source.settled, what="the acknowledgement of what left")
            take(place, target, key, moving)
            for subject in moving:
                place.move(str(subject.name), target.node, to="")

        eventually(
            lambda: [item["node"] for item in place.status(key)["activeAlerts"]] == [target.node] * VMS,
            what="all alerts to be on the other node",
        )
        assert place.condition(key, "Quiet")["lastTransitionTime"] == before
        assert {item["metadata"]["name"] for item in (*place.events(), *place.events("default"))} == told
        assert (len(hook.posted), status(place, path)["firing"]) == (1, VMS)


def test_vms_that_are_shut_down_together_end_their_alerts_in_one_message(place: Place):
    with webhook() as hook:
        place.operator()
        make_secret(place, "hook", namespace=place.system, url=f"json://127.0.0.1:{hook.port}/x")
        path = make_channel(
            place, "hook", namespace=place.system, type="Webhook", urlSecretRef={"name": "hook"}, groupWait="4s"
        )
        key = place.cluster_policy(notify=[{"channel": "hook"}])
        agent = place.agent()
        vms = [place.vmi(f"web-{number}", agent.node) for number in range(VMS)]
        all_fire(agent, key, vms)
        eventually(lambda: hook.posted, what="the message of the begin")
        for agent.subject in vms:
            item = agent.happen(key, Action.RESOLVED, severity=None)
            agent.journal[-1] = replace(item, reason=Reason.DOMAIN_STOPPED)
        agent.firing = ()
        agent.publish()
        eventually(agent.settled, what="the acknowledgement of the ends")
        eventually(lambda: status(place, path).get("firing") == 0, what="the channel to know")
        eventually(lambda: len(hook.posted) == 2, what="the message of the end")
        # Other tests' Nodes and policies without a namespace have their Events there, too.
        ours = [item for item in place.events("default") if item["regarding"]["name"] in (key.name, agent.node)]
        ends = [item for item in ours if item["reason"] == "AlertsResolved"]
        assert sorted(item["regarding"]["kind"] for item in ends) == ["ClusterMonitorPolicy", "Node"]
        assert [item["series"]["count"] for item in ends] == [VMS, VMS]
        assert place.events() == []
        assert f"{VMS} resolved" in hook.messages[1]["title"]
