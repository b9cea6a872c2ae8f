"""Schema and parser judge alike, whatever is put wherever into a good policy."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.policy_cases import changed, good_policy
from virtwatch_api.policy_codec import parse_policy

KINDS = ("MonitorPolicy", "ClusterMonitorPolicy")
MISSING = None
STRANGE = ("", "zzz", "1s", "5", "Warning", "vm.memory.rss", "x" * 300, -1, 1, 5000, 1.5, True, [], {}, ["zzz"])
COMPARISON = {"signal": "vm.memory.rss", "above": 1}
KNOWN_ELSEWHERE = {
    "above": "5",
    "below": "5",
    "recover": "5",
    "signal": "vm.memory.rss",
    "aggregate": {"function": "Max", "window": "1m"},
    "function": "Rate",
    "window": "5m",
    "for": "1m",
    "keepFiringFor": "1m",
    "allOf": [COMPARISON],
    "anyOf": [COMPARISON],
    "type": "vm.paused",
    "where": {"reason": "user"},
    "absent": ["vm.paused"],
    "resolveOn": ["vm.started"],
    "atLeast": 4,
    "count": {"type": "vm.paused"},
    "sequence": [{"type": "vm.paused"}, {"type": "vm.resumed"}],
    "severity": "Warning",
    "threshold": {"signal": "vm.memory.rss", "warning": {"above": 1}},
    "event": {"type": "vm.paused"},
    "pattern": {"count": {"type": "vm.paused"}, "within": "1h"},
    "kind": "Node",
    "share": "0.5",
    "names": ["b"],
    "matchLabels": {"a": "b"},
    "values": ["a"],
}


def places(value: Any, path: str) -> Iterator[tuple[str, Any]]:
    yield path, value
    parts = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, part in parts:
        yield from places(part, f"{path}[{key}]" if isinstance(value, list) else f"{path}.{key}")


def places_in_policies(kind: str) -> Iterator[tuple[dict[str, Any], str, Any]]:
    """Yield each place of the good policy and the policy that it is in: of a rule's places, one of that rule alone.

    The API server judges rules one by one, and each that stands beside the changed one costs as much as that one.
    """
    good = good_policy(kind)
    for path, here in places(good["spec"], "spec"):
        if not path.startswith("spec.rules["):
            yield good, path, here
    for rule in good["spec"]["rules"]:
        policy = changed(good, {"spec.rules": [rule]})
        for path, here in places(rule, "spec.rules[0]"):
            yield policy, path, here


def disagreement(policy: dict[str, Any], refusal: Callable[[dict[str, Any]], str]) -> str:
    server, parser = refusal(policy), parse_policy(policy)
    if bool(server) == isinstance(parser, tuple):
        return ""
    return f"only the API server refuses it: {server}" if server else f"only the parser refuses it: {parser}"


@pytest.mark.parametrize("kind", KINDS)
def test_both_accept_a_strange_or_missing_value_or_none_does(kind, refusal):
    disagreements = {
        f"{policy['spec']['rules'][0]['name']}: {path} = {value!r}": found
        for policy, path, _ in places_in_policies(kind)
        for value in (MISSING, *STRANGE)
        if (found := disagreement(changed(policy, {path: value}), refusal))
    }

    assert disagreements == {}


@pytest.mark.parametrize("kind", KINDS)
def test_both_accept_a_field_in_another_place_or_none_does(kind, refusal):
    disagreements = {
        f"{policy['spec']['rules'][0]['name']}: {path}.{name}": found
        for policy, path, here in places_in_policies(kind)
        if isinstance(here, dict)
        for name, value in KNOWN_ELSEWHERE.items()
        if (found := disagreement(changed(policy, {f"{path}.{name}": value}), refusal))
    }

    assert disagreements == {}


BOUNDS = (
    *(
        "5",
        "+5",
        "-5",
        "--5",
        ".5",
        "5.",
        " 5",
        "5 ",
        "5\n",
        "0",
        "-0",
        "0.0",
        "1",
        "1.0",
        "0.5",
        "0x10",
        "½",
        "\u0665",
    ),
    *("5%", "90%", "100%", "101%", "-5%", "0%", "%", "5 %", "5%%", "1e1%", "0.5%"),
    *("20m", "20ms", "20us", "20ns", "1.5s", "0s", "-1s", "2m30s", "1h", "s", "ms", "5Mis"),
    *("1e3", "1E3", "1e-3", "1e", "1E", "1n", "1u", "1k", "1K", "1P", "1Pi", "1.5Gi", "16393244Ki", "129e6", "129e600"),
    *("128974848000m", "999999999999999999", "9999999999999999999", "0.000000000000001", "0.0000000000000001"),
)
SIGNALS = ("vm.cpu.utilization", "vm.memory.rss", "vm.disk.read.latency", "vm.disk.read.operations.rate")
AGGREGATES = (
    {"function": "Last"},
    {"function": "Avg", "window": "1m"},
    *({"function": name, "window": "1m"} for name in ("Sum", "Count", "Rate")),
)
DURATIONS = (
    *("0s", "0h0m0s", "24h", "24h1ms", "86400s", "86401s", "99999s", "100000ms", "00005s", "5s1h", "1h1m1s1ms"),
    *("1h1m1s1ms1ms", "1.5h", "1h 30m", "1m\n", "-1s", "1d", "1us", "\u0665s"),
)


@pytest.mark.parametrize("signal", SIGNALS)
@pytest.mark.parametrize("aggregate", AGGREGATES, ids=lambda aggregate: aggregate["function"])
def test_both_know_the_same_bounds_of_a_signal(signal, aggregate, refusal):
    disagreements = {}
    for text in BOUNDS:
        threshold = {"signal": signal, "aggregate": aggregate, "warning": {"above": text}}
        comparison = {"allOf": [{"anyOf": [{"signal": signal, "aggregate": aggregate, "below": text}]}]}
        rules = ({"name": "r", "threshold": threshold}, {"name": "r", "severity": "Warning", "condition": comparison})
        for rule in rules:
            if found := disagreement(changed(good_policy("MonitorPolicy"), {"spec": {"rules": [rule]}}), refusal):
                disagreements[str(rule)] = found

    assert disagreements == {}


EQUAL = (("57%", "0.57"), ("30%", "0.3"), ("0.6", "60%"), ("0.007", "0.7%"), ("250m", "25%"))


@pytest.mark.parametrize(("written", "otherwise"), EQUAL)
def test_both_take_a_bound_as_equal_however_written(written, otherwise, refusal):
    found = {}
    for side in ("above", "below"):
        for threshold in (
            {"warning": {side: written, "recover": otherwise}},
            {"warning": {side: written}, "critical": {side: otherwise}},
        ):
            rule = {"name": "r", "threshold": {"signal": "vm.cpu.utilization", **threshold}}
            policy = changed(good_policy("MonitorPolicy"), {"spec": {"rules": [rule]}})
            if said := disagreement(policy, refusal) or refusal(policy):
                found[str(threshold)] = said

    assert found == {}


LABELS = (
    "a",
    "a b",
    "",
    "A_b.c-d",
    "a/b",
    "a/b/c",
    "/a",
    "a/",
    "-a",
    "é",
    "x" * 63,
    "x" * 64,
    "x" * 253 + "/a",
    "on-call",
)


@pytest.mark.parametrize("text", LABELS)
def test_both_know_the_same_labels(text, refusal):
    changes = (
        {"spec.target.selector.matchLabels": {text: "web"}},
        {"spec.target.selector.matchLabels": {"tier": text}},
        {"spec.target.selector.matchExpressions[0].key": text},
        {"spec.target.selector.matchExpressions[0].values": [text]},
        {"spec.rules[0].labels": {text: "web"}},
        {"spec.rules[0].labels": {"team": text}},
    )
    good = good_policy("MonitorPolicy")

    found = {str(change): said for change in changes if (said := disagreement(changed(good, change), refusal))}
    assert found == {}


SUMMARIES = ("{target}", "{target} {value}", "{", "}", "{}", "{vm}", "{{target}}", "a\nb {rule}", "x" * 512, "x" * 513)
URLS = ("https://a", "http://a/b?c#d", "https://", "ftp://a", "https://a b", "HTTPS://a", "https://é", "x")


@pytest.mark.parametrize(("field", "text"), [*(("summary", s) for s in SUMMARIES), *(("runbookURL", u) for u in URLS)])
def test_both_know_the_same_words_for_notifications(field, text, refusal):
    assert disagreement(changed(good_policy("MonitorPolicy"), {f"spec.rules[0].{field}": text}), refusal) == ""


@pytest.mark.parametrize("text", DURATIONS)
def test_both_know_the_same_durations(text, refusal):
    assert disagreement(changed(good_policy("MonitorPolicy"), {"spec.rules[0].threshold.for": text}), refusal) == ""
