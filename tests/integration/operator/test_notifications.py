"""Alerts reach people: by webhook and Alertmanager, once, whatever fails or dies in between."""

import time
import urllib.request
from collections.abc import Iterator
from dataclasses import replace

import pytest

from lab.process import free_port
from tests.integration.operator.channels import condition, make_channel, make_secret, status, wait_condition
from tests.integration.operator.place import Place, eventually
from tests.integration.operator.receivers import Webhook, webhook
from tests.otlp_sink import Sink
from virtwatch_api.alert import Action
from virtwatch_api.policy import Severity
from virtwatch_kube.errors import NotFound
from virtwatch_kube.paths import resource, virtwatch
from virtwatch_operator.notify.sender import SEND_S

CANARY = "c4n4ryt0ken"


@pytest.fixture
def hook() -> Iterator[Webhook]:
    with webhook() as started:
        yield started


@pytest.fixture
def sink() -> Iterator[Sink]:
    with Sink() as started:
        yield started


def named(sink: Sink, name: str) -> list:
    return [item for item in sink.spans if item.message.name == name]


def channel(place: Place, hook: Webhook, name: str = "hook", **spec) -> str:
    """Make an administrator's channel: loopback is out of bounds for others."""
    make_secret(place, name, namespace=place.system, url=f"json://127.0.0.1:{hook.port}/{CANARY}")
    return make_channel(
        place, name, namespace=place.system, type="Webhook", urlSecretRef={"name": name}, **{"groupWait": "0s", **spec}
    )


def notifying(place: Place, *channels: str, **more):
    return place.cluster_policy(notify=[{"channel": name, **more} for name in channels or ("hook",)])


def test_firing_and_resolved_are_sent_and_the_channel_says_so(place: Place, hook: Webhook):
    place.operator()
    path = channel(place, hook)
    key = notifying(place)
    agent = place.agent()
    eventually(lambda: place.thresholds(key), what="the policy to be accepted")
    wait_condition(place, path, "Ready", "NothingSentYet")

    def notified() -> str:
        return place.condition(key, "Notifying")["message"]

    eventually(
        lambda: notified() == "Alerts are sent to hook (nothing was sent there yet).", what="the policy to say so"
    )
    agent.happen(key)
    agent.publish()
    eventually(lambda: len(hook.posted) == 1, what="the first message")
    assert hook.messages[0]["title"].startswith("[Critical] cpu-starved: VM ")
    wait_condition(place, path, "Ready", "Delivered")
    eventually(lambda: notified() == "Alerts are sent to hook.", what="the policy to say that somebody was told")
    assert (status(place, path)["firing"], status(place, path)["waiting"]) == (1, 0)
    agent.happen(key, Action.RESOLVED, severity=None)
    agent.publish()
    eventually(lambda: len(hook.posted) == 2, what="the second message")
    assert hook.messages[1]["title"].startswith("[Resolved] cpu-starved: VM ")
    eventually(lambda: status(place, path).get("firing") == 0, what="nothing to fire")
    listed = place.cluster.kubectl("get", "nchan", f"--namespace={place.system}").stdout
    assert listed.split("\n")[1].split()[:4] == ["hook", "Webhook", "True", "Delivered"]


def test_a_channel_whose_secret_comes_later_is_used_soon(place: Place, hook: Webhook):
    place.operator()
    path = make_channel(
        place, "late", namespace=place.system, type="Webhook", urlSecretRef={"name": "late"}, groupWait="0s"
    )
    key = notifying(place, "late")
    agent = place.agent()
    agent.happen(key)
    agent.publish()
    eventually(lambda: status(place, path).get("lastDelivery"), what="an attempt")
    wait_condition(place, path, "Ready", "SecretInvalid")
    make_secret(place, "late", namespace=place.system, url=f"json://127.0.0.1:{hook.port}/{CANARY}")
    wait_condition(place, path, "Ready", "Delivered")
    assert len(hook.posted) == 1


def test_a_policy_says_which_channel_cannot_be_told(place: Place, hook: Webhook):
    place.operator()
    key = notifying(place)
    eventually(
        lambda: place.condition(key, "Notifying")["message"] == "channel hook does not exist.",
        what="the missing channel",
    )
    channel(place, hook)
    eventually(lambda: place.condition(key, "Notifying")["status"] == "True", what="the channel to be ready")
    hook.answers = [404] * 100
    agent = place.agent()
    agent.happen(key)
    agent.publish()
    said = "channel hook fails: the receiver answered 404 Not Found."
    eventually(lambda: place.condition(key, "Notifying")["message"] == said, what="the failure in the policy's status")


def test_what_fails_is_tried_again_and_the_channel_says_why(place: Place, hook: Webhook):
    place.operator()
    path = channel(place, hook)
    hook.answers = [503] * 100
    key = notifying(place)
    agent = place.agent()
    agent.happen(key)
    agent.publish()
    said = wait_condition(place, path, "Ready", "DeliveryFailed")
    assert "the receiver answered 503 Service Unavailable" in said
    hook.answers = []  # only now: what fails for a moment, nobody may see
    eventually(lambda: len(hook.posted) == 1, what="another attempt")
    wait_condition(place, path, "Ready", "Delivered")


def test_a_channel_that_hangs_delays_no_other_event_or_status(place: Place, hook: Webhook):
    place.operator()
    with webhook() as hung:
        hung.hangs.set()
        channel(place, hung, "hung")
        channel(place, hook)
        key = notifying(place, "hung", "hook")
        agent = place.agent()
        agent.happen(key)
        agent.fires(key)
        ends = time.monotonic() + SEND_S - 1  # before the message that hangs is given up
        agent.publish()
        for condition, what in (
            (lambda: len(hook.posted) == 1, "the other channel's message"),
            (agent.hear, "the acknowledgement"),
            (lambda: place.status(key).get("activeAlerts"), "the policy's status"),
        ):
            eventually(condition, what=what, deadline=ends - time.monotonic())


def test_a_new_leader_sends_what_the_last_one_had_not(place: Place, hook: Webhook):
    first = place.operator()
    path = channel(place, hook)
    hook.answers = [503] * 100
    key = notifying(place)
    agent = place.agent()
    agent.happen(key)
    agent.publish()
    wait_condition(place, path, "Ready", "DeliveryFailed")
    eventually(agent.hear, what="the acknowledgement")
    first.kill()
    place.operator()
    hook.answers = []  # else the first one may have sent it by now
    eventually(lambda: len(hook.posted) == 1, what="the message")
    eventually(lambda: status(place, path).get("waiting") == 0, what="nothing to wait")
    assert len(hook.posted) == 1


def test_a_test_is_sent_when_the_annotation_asks_for_it(place: Place, hook: Webhook):
    place.operator()
    path = channel(place, hook)
    place.cluster.kubectl("annotate", "nchan", "hook", f"--namespace={place.system}", "virtwatch.io/test=one")
    eventually(lambda: status(place, path).get("lastTest", {}).get("request") == "one", what="the test's outcome")
    assert status(place, path)["lastTest"]["outcome"] == "Delivered"
    assert hook.messages[0]["title"] == "[Test] virtwatch can reach this channel"


def test_a_tenants_channel_may_not_reach_the_cluster(place: Place, hook: Webhook):
    place.operator()
    make_secret(place, "hook", url=f"json://127.0.0.1:{hook.port}/{CANARY}")
    path = make_channel(
        place, "hook", type="Webhook", urlSecretRef={"name": "hook"}, annotations={"virtwatch.io/test": "one"}
    )
    eventually(lambda: status(place, path).get("lastTest"), what="the test's outcome")
    assert status(place, path)["lastTest"]["outcome"] == "Failed"
    assert "leads to …, which is the operator's own machine" in status(place, path)["lastTest"]["message"]
    assert hook.posted == []


def test_only_wanted_severities_are_sent(place: Place, hook: Webhook):
    place.operator()
    channel(place, hook)
    key = notifying(place, severities=["Critical"])
    agent = place.agent()
    agent.happen(key, severity=Severity.WARNING)
    agent.publish()
    eventually(agent.hear, what="the acknowledgement")
    agent.happen(key, Action.ESCALATED)
    agent.publish()
    eventually(lambda: len(hook.posted) == 1, what="the message")
    assert hook.messages[0]["title"].startswith("[Critical]")


def test_a_secret_shows_up_nowhere(place: Place, hook: Webhook, sink: Sink):
    port = free_port()
    operator = place.operator(
        OTEL_EXPORTER_OTLP_ENDPOINT=sink.otlp_http, OTEL_BSP_SCHEDULE_DELAY="100", VIRTWATCH_METRICS_PORT=str(port)
    )
    path = channel(place, hook)
    wrong = make_channel(place, "wrong", namespace=place.system, type="Webhook", urlSecretRef={"name": "wrong"})
    make_secret(place, "wrong", namespace=place.system, url=f"no{CANARY}://ann:{CANARY}@example.com/{CANARY}")
    hook.answers = [401, 200]
    hook.says = CANARY.encode()
    key = notifying(place)
    agent = place.agent()
    agent.happen(key)
    agent.publish()
    eventually(lambda: len(hook.posted) == 1, what="the message")
    wait_condition(place, path, "Ready", "Delivered")
    sink.wait(lambda sink: len(named(sink, "notification")) == 2, 90)
    failed, sent = named(sink, "notification")
    assert failed.attributes["virtwatch.notification.outcome"] == "failed"
    assert sent.attributes["virtwatch.notification.outcome"] == "delivered"
    assert named(sink, "outbox")
    wait_condition(place, wrong, "Accepted", "SecretInvalid")
    make_channel(
        place,
        "hook",
        namespace=place.system,
        annotations={"virtwatch.io/test": "1"},
        type="Webhook",
        urlSecretRef={"name": "hook"},
        groupWait="0s",
    )
    eventually(lambda: status(place, path).get("lastTest"), what="the test's outcome")
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as answer:
        metrics = answer.read().decode()
    assert 'virtwatch_operator_notifications_total{outcome="failed",type="Webhook"} 1.0' in metrics
    shown = [
        metrics,
        str(place.client.get(wrong)["status"]),
        str(place.status(key)),
        str(place.client.list(virtwatch("nodemonitors"))),
        str(place.client.list(virtwatch("thresholdsets"))),
        "".join(f"{item.message} {item.attributes}" for item in sink.spans),
        operator.log.read_text(),
        str(place.client.get(path)["status"]),
        str(place.events("default")),
        str(place.client.list(resource("v1", "configmaps", namespace=place.system))),
    ]
    assert not any(CANARY in text for text in shown)
    assert condition(place, path, "Accepted")[0] == "True"


def test_an_alert_whose_node_is_gone_ends_unless_another_node_has_it(place: Place, hook: Webhook):
    place.operator()
    path = channel(place, hook)
    key = notifying(place)
    left, right = place.agent("n1"), place.agent("n2")
    left.happen(key)
    left.publish()
    eventually(lambda: status(place, path).get("firing") == 1, what="the alert")
    right.subject = replace(left.subject, node=right.node)
    right.fires(key)
    right.publish()
    remove_node(place, left.node)
    with pytest.raises(AssertionError):
        eventually(lambda: status(place, path)["firing"] == 0, what="the end", deadline=8)
    remove_node(place, right.node)
    eventually(lambda: status(place, path)["firing"] == 0, what="the end")
    eventually(lambda: "[Resolved]" in hook.messages[-1]["title"], what="the message of the end")


def remove_node(place: Place, name: str) -> None:
    place.client.delete(resource("v1", "pods", namespace=place.system, name=f"agent-{name}"))
    place.client.delete(resource("v1", "nodes", name=name))
    path = virtwatch("nodemonitors", name=name)
    try:
        place.client.delete(path)
    except NotFound:
        return
