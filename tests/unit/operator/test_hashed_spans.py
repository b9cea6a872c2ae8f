"""Of the operator's spans only what is known to hold no name leaves, where names leave hashed."""

import re

from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.trace import Status, StatusCode

from tools.checkout import CHECKOUT
from virtwatch_api.alert import AlertKey
from virtwatch_api.policy import PolicyKey, PolicyKind
from virtwatch_api.targets import vm_ref
from virtwatch_operator import hashed_spans
from virtwatch_operator.hashed_spans import HashedSpans
from virtwatch_telemetry.names import HashedNames

NAMES = HashedNames("0123456789abcdef")
ALERT = AlertKey(PolicyKey(PolicyKind.MONITOR_POLICY, "web", "shop"), "full", vm_ref("uuid-1"), "/home/alice")


def left(**attributes):
    span = TracerProvider().get_tracer("test").start_span("announce", attributes=attributes)
    span.set_status(Status(StatusCode.ERROR, "no VMI web-1 in shop"))
    span.record_exception(KeyError("shop/web-1"))
    span.end()
    return span, HashedSpans(NAMES)(span)


def test_a_span_keeps_its_place_in_the_trace_and_loses_its_sentences():
    span, leaves = left(**{"virtwatch.rule": "cpu", "virtwatch.transition.doubt": "web-1 is not there"})

    assert (leaves.name, leaves.context, leaves.parent) == (span.name, span.context, span.parent)
    assert (leaves.start_time, leaves.end_time) == (span.start_time, span.end_time)
    assert (leaves.status.status_code, leaves.status.description, leaves.events) == (StatusCode.ERROR, None, ())
    assert dict(leaves.attributes) == {"virtwatch.rule": "cpu"}


def test_a_namespace_is_the_word_that_agents_use():
    _, leaves = left(**{"virtwatch.policy": "shop/web", "virtwatch.channel": "shop/oncall"})
    _, of_cluster = left(**{"virtwatch.policy": "defaults"})

    assert dict(leaves.attributes) == {
        "virtwatch.policy": f"{NAMES.of('shop')}/web",
        "virtwatch.channel": f"{NAMES.of('shop')}/oncall",
    }
    assert dict(of_cluster.attributes) == {"virtwatch.policy": "defaults"}


def test_what_is_kept_is_what_the_operator_writes():
    """A new attribute is left behind until somebody says that it holds no name."""
    written = {
        name
        for path in (CHECKOUT / "operator").rglob("*.py")
        if path.name != "hashed_spans.py"
        for name in re.findall(r'"((?:virtwatch|k8s)\.[a-z.]+)"', path.read_text())
    }

    assert hashed_spans._KEPT | {*hashed_spans._HASHED, *hashed_spans._OBJECTS} <= written


def test_what_is_made_of_names_without_the_key_is_hashed_with_it():
    """An alert's id is a SHA-256 of its namespace, VM and device: whoever has it could try words."""
    _, leaves = left(**{"virtwatch.alert.id": ALERT.id, "k8s.event.name": f"virtwatch.{ALERT.id}.7"})

    assert dict(leaves.attributes) == {
        "virtwatch.alert.id": NAMES.of(ALERT.id),
        "k8s.event.name": NAMES.of(f"virtwatch.{ALERT.id}.7"),
    }
