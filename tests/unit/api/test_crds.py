"""The CRDs say what the typed models mean: same fields, same words, same bounds, same sentences."""

import itertools
import json
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.policy_cases import WRONG_POLICIES, changed, good_policy
from tests.report_cases import TRACEPARENT, full_status
from virtwatch_api import bounds, duration
from virtwatch_api.alert import Action, Reason
from virtwatch_api.catalogue.entries import WATCHED, Instrument
from virtwatch_api.catalogue.events import EVENTS, EventType
from virtwatch_api.catalogue.signals import SIGNALS, Signal, TargetKind
from virtwatch_api.channel import MAX_BODY, MAX_PER_HOUR, MAX_TITLE, ChannelType
from virtwatch_api.compile import compile_policy
from virtwatch_api.evidence_codec import MAX_TEXT
from virtwatch_api.names import ANY_GLOB, GLOB, LABEL_KEY, LABEL_VALUE, NAME, ROUTING_LABEL
from virtwatch_api.nodemonitor import MAX_APPLIED, MAX_FIRING, MAX_TRANSITIONS, AgentState
from virtwatch_api.nodemonitor_codec import MAX_MESSAGE, encode_status
from virtwatch_api.policy import (
    CountBy,
    Enforcement,
    Function,
    MissingData,
    Mode,
    Policy,
    PolicyKey,
    PolicyKind,
    Severity,
)
from virtwatch_api.policy_codec import MAX_NOTIFY, parse_policy
from virtwatch_api.question import MAX_RULES_OF_ANSWER, MAX_TEXT_OF_ANSWER
from virtwatch_api.rule_kinds.anomaly import SENSITIVITIES
from virtwatch_api.rule_kinds.kind import MAX_PARTS
from virtwatch_api.rule_kinds.registry import MAX_NAME, MAX_RULES, URL
from virtwatch_api.summary import TEMPLATE
from virtwatch_api.target_codec import MAX_NAMES, MAX_REQUIREMENTS
from virtwatch_api.thresholdset import MAX_NAMESPACES, ThresholdSet, encode_spec

Json = dict[str, Any]
CRDS = {
    document["spec"]["names"]["kind"]: document
    for path in sorted((Path(__file__).parents[3] / "crds").glob("*.yaml"))
    for document in [yaml.load(path.read_text(), Loader=yaml.CSafeLoader)]
}
KINDS = sorted(CRDS)
PLAIN = ("ThresholdSet", "Explanation")  # kinds without conditions, that hold what the schema does not describe
POLICIES = ("ClusterMonitorPolicy", "MonitorPolicy")
MAX_CRD = 131_072  # bytes of compact JSON
VALIDATIONS = "x-kubernetes-validations"


def version(kind: str) -> Json:
    [only] = CRDS[kind]["spec"]["versions"]
    return dict(only)


def schema(kind: str, path: str = "") -> Json:
    found: Json = version(kind)["schema"]["openAPIV3Schema"]
    for step in filter(None, path.split(".")):
        found = found["items"] if step == "[]" else found["properties"][step]
    return found


def nodes(kind: str) -> Iterator[tuple[str, Json]]:
    """Walk every schema below spec and status, with its path; list items end in `[]`, map values in `{}`."""

    def walk(node: Json, path: str) -> Iterator[tuple[str, Json]]:
        yield path, node
        for name, inner in node.get("properties", {}).items():
            yield from walk(inner, f"{path}.{name}")
        if "items" in node:
            yield from walk(node["items"], f"{path}.[]")
        if "additionalProperties" in node:
            yield from walk(node["additionalProperties"], f"{path}.{{}}")

    for top in ("spec", "status"):
        if top in schema(kind)["properties"]:
            yield from walk(schema(kind)["properties"][top], top)


def signals_of(kind: str) -> list[Signal]:
    return [item for item in SIGNALS if kind != "MonitorPolicy" or item.target is TargetKind.VIRTUAL_MACHINE]


def events_of(kind: str) -> list[EventType]:
    return [item for item in EVENTS if kind != "MonitorPolicy" or TargetKind.VIRTUAL_MACHINE in item.targets]


# The kinds as a whole


def test_there_are_six_kinds_of_one_group():
    names = {kind: document["spec"]["names"] for kind, document in CRDS.items()}

    assert {kind: (name["plural"], name["shortNames"]) for kind, name in names.items()} == {
        "MonitorPolicy": ("monitorpolicies", ["mpol"]),
        "ClusterMonitorPolicy": ("clustermonitorpolicies", ["cmpol"]),
        "NotificationChannel": ("notificationchannels", ["nchan"]),
        "ThresholdSet": ("thresholdsets", ["tset"]),
        "NodeMonitor": ("nodemonitors", ["nmon"]),
        "Explanation": ("explanations", ["expl"]),
    }
    assert all(name["categories"] == ["virtwatch"] for name in names.values())
    assert {document["metadata"]["name"] for document in CRDS.values()} == {
        f"{name['plural']}.virtwatch.io" for name in names.values()
    }
    assert {kind for kind, document in CRDS.items() if document["spec"]["scope"] == "Cluster"} == {
        "ClusterMonitorPolicy",
        "NodeMonitor",
    }
    assert {kind for kind in CRDS if "subresources" not in version(kind)} == {"ThresholdSet"}


@pytest.mark.parametrize("kind", POLICIES)
def test_a_list_of_policies_shows_how_they_stand(kind):
    columns = [item["name"] for item in version(kind)["additionalPrinterColumns"] if not item.get("priority")]

    assert columns == ["Enforcement", "Accepted", "Ready", "Targets", "Warning", "Critical", "Age"]


def test_a_list_of_nodes_shows_how_they_stand():
    columns = [item["name"] for item in version("NodeMonitor")["additionalPrinterColumns"]]

    assert columns == [
        "Ready",
        "Agent",
        "VMs",
        "Warning",
        "Critical",
        "Pending",
        "Version",
        "CPU(m)",
        "Memory(bytes)",
        "Waiting",
        "Age",
    ]


@pytest.mark.parametrize("kind", KINDS)
def test_every_column_shows_a_field_of_the_schema(kind):
    known = {path for path, _ in nodes(kind)}
    for column in version(kind)["additionalPrinterColumns"]:
        path = re.sub(r"\[\?.*?\]", ".[]", column["jsonPath"]).removeprefix(".")

        assert path in known or path == "metadata.creationTimestamp"


@pytest.mark.parametrize("kind", KINDS)
def test_every_field_is_described_and_bounded(kind):
    for path, node in nodes(kind):
        assert node.get("description", "").endswith((".", ").")) or "\n- " in node["description"], path
        if "x-kubernetes-int-or-string" in node or (node["type"] == "string" and node.get("format") != "date-time"):
            assert "maxLength" in node or "enum" in node, path
        elif node["type"] == "array":
            assert "maxItems" in node, path
            assert "x-kubernetes-list-type" in node, path
        elif node["type"] == "object":
            # What a ThresholdSet holds of its policy, both sides parse; what an Explanation answers, machines read.
            opaque = kind in PLAIN and node.get("x-kubernetes-preserve-unknown-fields")
            assert "properties" in node or "maxProperties" in node or opaque, path
        elif node["type"] == "integer":
            assert "minimum" in node, path


@pytest.mark.parametrize("kind", KINDS)
def test_conditions_are_those_of_kubernetes_in_a_map_by_type(kind):
    if kind in PLAIN:
        return
    conditions = schema(kind, "status.conditions")

    assert conditions["x-kubernetes-list-type"] == "map"
    assert conditions["x-kubernetes-list-map-keys"] == ["type"]
    assert set(conditions["items"]["properties"]) == {
        *conditions["items"]["required"],
        "observedGeneration",
    }
    assert set(conditions["items"]["required"]) == {"type", "status", "reason", "message", "lastTransitionTime"}


# Words

SELECTOR_OPERATORS = ["In", "NotIn", "Exists", "DoesNotExist"]
WORDS: dict[str, list[str]] = {
    "enforcement": list(Enforcement),
    "mode": list(Mode),
    "function": list(Function),
    "missingData": list(MissingData),
    "severity": list(Severity),
    "except": list(Severity),
    "severities": list(Severity),
    "previous": list(Severity),
    "operator": SELECTOR_OPERATORS,
    "sensitivity": list(SENSITIVITIES),
    "action": list(Action),
    "reason": list(Reason),
    "agent": list(AgentState),
    "status": ["True", "False", "Unknown"],
    "outcome": ["Delivered", "Failed"],
    "by": list(CountBy),
    "answeredBy": ["Agent", "Operator"],
    "{}": [item.capitalize() for item in Instrument],  # of spec.collection.instruments, by signal
}


@pytest.mark.parametrize("kind", KINDS)
def test_every_enumeration_is_the_models(kind):
    for path, node in nodes(kind):
        if "enum" not in node:
            continue
        *_, parent, name = path.removesuffix(".[]").split(".")
        expected = WORDS.get(name)
        if name in ("signal", "signals"):
            expected = [item.name for item in signals_of(kind)]
        elif name in ("type", "resolveOn", "absent") and kind in POLICIES:
            expected = [item.name for item in events_of(kind)]
        elif (kind, name) == ("NotificationChannel", "type"):
            expected = list(ChannelType)
        elif (kind, name) == ("Explanation", "kind"):
            expected = list(WATCHED)
        elif name == "kind" and parent == "target":
            expected = ["VirtualMachine"] if kind == "MonitorPolicy" else list(WATCHED)
        elif name == "kind" and parent == "subject":
            expected = [item for item in TargetKind if item is not TargetKind.VIRTUAL_MACHINE]
        elif name == "kind" and parent == "policy":
            expected = list(PolicyKind)

        assert node["enum"] == list(map(str, expected or ())), path
        assert all(len(word) <= node.get("maxLength", len(word)) for word in expected), path


@pytest.mark.parametrize("kind", POLICIES)
def test_a_condition_takes_exactly_the_signals_of_its_kind(kind):
    for outer, inner in itertools.product(("allOf", "anyOf"), repeat=2):
        for place in (f"condition.{outer}.[]", f"condition.{outer}.[].{inner}.[]"):
            [rule] = schema(kind, f"spec.rules.[].{place}.signal")[VALIDATIONS]
            pattern = re.compile("|".join(re.findall(r"matches\('(.*?)'\)", rule["rule"])))

            assert {item.name for item in SIGNALS if pattern.search(item.name)} == {
                item.name for item in signals_of(kind)
            }
            assert not any(pattern.search(item.name[:-1]) or pattern.search(item.name + "s") for item in SIGNALS)


@pytest.mark.parametrize("kind", POLICIES)
def test_a_kind_of_policy_stays_small_enough_to_apply(kind):
    """kubectl apply keeps a CRD in an annotation of itself as well, of at most 256 KiB."""
    assert len(json.dumps(CRDS[kind], separators=(",", ":"))) <= MAX_CRD


@pytest.mark.parametrize("kind", POLICIES)
def test_explain_tells_each_signal_with_its_unit(kind):
    text = schema(kind, "spec.rules.[].threshold.signal")["description"]

    assert text.split("\n")[1:] == [
        f"- {item.name} [{item.unit}]{'' if item.formula else ' (planned)'}: {item.description}"
        for item in signals_of(kind)
    ]


@pytest.mark.parametrize("kind", POLICIES)
def test_explain_tells_each_event_with_its_attributes(kind):
    text = schema(kind, "spec.rules.[].event.type")["description"]

    assert text.split("\n")[1:] == [
        f"- {item.name}{' [' + ', '.join(item.attributes) + ']' if item.attributes else ''}"
        f"{'' if item.implemented else ' (planned)'}: {item.description}"
        for item in events_of(kind)
    ]


@pytest.mark.parametrize("kind", POLICIES)
@pytest.mark.parametrize("place", ["event", "pattern.count", "pattern.sequence.[]"])
def test_where_takes_exactly_the_attributes_of_the_catalogue(kind, place):
    [rule] = [
        item["rule"] for item in schema(kind, f"spec.rules.[].{place}")[VALIDATIONS] if "name == " in item["rule"]
    ]
    taken = {
        (event, attribute)
        for attribute, events in re.findall(r"name == '(\w+)' && self\.type in \[(.*?)\]", rule)
        for event in re.findall(r"'(.*?)'", events)
    }

    assert taken == {(item.name, attribute) for item in events_of(kind) for attribute in item.attributes}


def test_a_name_begins_with_what_its_target_is_recognised_by():
    prefixes = {"VirtualMachine": "vm.", "Node": "node.", "Network": "network.", "StoragePool": "pool."}
    belongs = {
        "libvirt.": {TargetKind.VIRTUAL_MACHINE, TargetKind.NODE},
        **{prefix: {TargetKind(kind)} for kind, prefix in prefixes.items()},
    }
    rules = [item["rule"] for item in schema("ClusterMonitorPolicy", "spec")[VALIDATIONS]]

    assert all(item.name.startswith(prefixes[item.target]) for item in SIGNALS)
    assert all(set(item.targets) == belongs[item.name.split(".")[0] + "."] for item in EVENTS)
    assert {text for rule in rules for text in re.findall(r"\{'VirtualMachine'.*?\}", rule)} == {str(prefixes)}


# Fields


@pytest.mark.parametrize("kind", POLICIES)
def test_the_parser_knows_exactly_the_fields_of_the_schema(kind):
    policy = good_policy(kind)
    for path in _mappings(policy["spec"], "spec"):
        problems = parse_policy(changed(policy, {f"{path}.zzz": "zzz"}))
        [known] = [
            item.message.removeprefix("unknown field; known here: ").split(", ")
            for item in problems
            if item.path == f"{path}.zzz"
        ]

        assert set(known) == set(schema(kind, _place(path))["properties"]), path


def test_the_good_policy_holds_every_object_of_the_schema():
    shown = {_place(path) for path in _mappings(good_policy("MonitorPolicy")["spec"], "spec")}
    objects = {path for path, node in nodes("MonitorPolicy") if path.startswith("spec") and "properties" in node}

    assert {_alike(path) for path in shown} == {_alike(path) for path in objects}


def _place(path: str) -> str:
    return re.sub(r"\[\d+\]", ".[]", path)


def _alike(path: str) -> str:
    """Call allOf and anyOf the same: a condition holds one of them."""
    return re.sub(r"\b(anyOf|allOf)\b", "parts", path)


def _mappings(value: Any, path: str) -> Iterator[str]:
    if isinstance(value, dict) and not path.endswith(("matchLabels", "where", "labels")):
        yield path
        for name, inner in value.items():
            yield from _mappings(inner, f"{path}.{name}")
    if isinstance(value, list):
        for index, inner in enumerate(value):
            yield from _mappings(inner, f"{path}[{index}]")


def test_a_report_writes_exactly_the_fields_of_the_schema():
    written = set(_written(encode_status(full_status()), "status"))

    assert written == {path for path, node in nodes("NodeMonitor") if path.startswith("status") and path != "status"}


def test_a_thresholdset_writes_no_field_that_the_schema_lacks():
    policy = parse_policy(good_policy("ClusterMonitorPolicy"))
    assert isinstance(policy, Policy)
    part = replace(policy, uid="1", generation=1, spec=replace(policy.spec, rules=policy.spec.rules[:1]))
    thresholds = compile_policy(part, namespace_labels={"shop": {"team": "shop"}}, traceparent=TRACEPARENT)
    assert isinstance(thresholds, ThresholdSet)
    in_namespace = replace(thresholds, policy=PolicyKey(PolicyKind.MONITOR_POLICY, "web-tier", "shop"))
    written = set(_written(encode_spec(in_namespace, created="2026-01-01T00:00:00Z"), "spec"))
    fields = {path for path, _ in nodes("ThresholdSet")} - {"spec"}
    opaque = ("spec.target.", "spec.collection.", "spec.rules.[].")

    assert {path for path in written if not path.startswith(opaque)} == fields


def _written(value: Any, path: str) -> Iterator[str]:
    inner = value.items() if isinstance(value, dict) else [("[]", item) for item in value]
    for name, part in inner:
        yield f"{path}.{name}"
        if isinstance(part, dict | list):
            yield from _written(part, f"{path}.{name}")


def test_collection_notify_and_status_have_one_shape():
    here, there = schema("MonitorPolicy"), schema("ClusterMonitorPolicy")

    assert here["properties"]["status"] == there["properties"]["status"]
    for kind in POLICIES:
        assert schema(kind, "spec.collection") == here["properties"]["spec"]["properties"]["collection"]
    assert _without_descriptions(schema("MonitorPolicy", "spec.notify")) == _without_descriptions(
        schema("ClusterMonitorPolicy", "spec.notify")
    )


def _without_descriptions(node: Any) -> Any:
    if isinstance(node, dict):
        return {key: _without_descriptions(value) for key, value in node.items() if key != "description"}
    return [_without_descriptions(value) for value in node] if isinstance(node, list) else node


# Bounds


@pytest.mark.parametrize(
    ("kind", "path", "key", "bound"),
    [
        *((kind, "spec.rules", "maxItems", MAX_RULES) for kind in POLICIES),
        *((kind, "spec.rules.[].name", "maxLength", MAX_NAME) for kind in POLICIES),
        *((kind, "spec.rules.[].condition.allOf", "maxItems", MAX_PARTS) for kind in POLICIES),
        *((kind, "spec.rules.[].condition.anyOf.[].allOf", "maxItems", MAX_PARTS) for kind in POLICIES),
        *((kind, "spec.rules.[].event.resolveOn", "maxItems", MAX_PARTS) for kind in POLICIES),
        *((kind, "spec.rules.[].event.where", "maxProperties", MAX_PARTS) for kind in POLICIES),
        *((kind, "spec.rules.[].pattern.sequence", "maxItems", MAX_PARTS) for kind in POLICIES),
        *((kind, "spec.rules.[].anomaly.signals", "maxItems", MAX_PARTS) for kind in POLICIES),
        *((kind, "spec.target.names", "maxItems", MAX_NAMES) for kind in POLICIES),
        *((kind, "spec.target.selector.matchLabels", "maxProperties", MAX_REQUIREMENTS) for kind in POLICIES),
        *((kind, "spec.target.selector.matchExpressions", "maxItems", MAX_REQUIREMENTS) for kind in POLICIES),
        *((kind, "spec.notify", "maxItems", MAX_NOTIFY) for kind in POLICIES),
        *((kind, "status.activeAlerts", "maxItems", 20) for kind in POLICIES),
        ("NotificationChannel", "spec.maxPerHour", "maximum", MAX_PER_HOUR),
        ("NotificationChannel", "spec.message.title", "maxLength", MAX_TITLE),
        ("NotificationChannel", "spec.message.body", "maxLength", MAX_BODY),
        ("ThresholdSet", "spec.namespaces", "maxItems", MAX_NAMESPACES),
        ("NodeMonitor", "status.transitions", "maxItems", MAX_TRANSITIONS),
        ("NodeMonitor", "status.firing", "maxItems", MAX_FIRING),
        ("NodeMonitor", "status.applied", "maxItems", MAX_APPLIED),
        ("NodeMonitor", "status.applied.[].rejected", "maxLength", MAX_TEXT),
        ("NodeMonitor", "status.firing.[].evidence.text", "maxLength", MAX_TEXT),
        ("Explanation", "status.text", "maxLength", MAX_TEXT_OF_ANSWER),
        ("Explanation", "status.rules", "maxItems", MAX_RULES_OF_ANSWER),
        *((kind, "status.conditions.[].message", "maxLength", MAX_MESSAGE) for kind in KINDS if kind not in PLAIN),
    ],
)
def test_bounds_are_the_models(kind, path, key, bound):
    assert schema(kind, path)[key] == bound


@pytest.mark.parametrize("kind", POLICIES)
def test_texts_match_the_same_patterns_as_in_the_models(kind):
    glob = GLOB if kind == "MonitorPolicy" else ANY_GLOB
    numbers = {duration.PATTERN, bounds.PATTERN}
    texts = {NAME.pattern, LABEL_KEY.pattern, LABEL_VALUE.pattern, ROUTING_LABEL.pattern, TEMPLATE, URL.pattern}
    patterns = {*numbers, *texts, glob.pattern}
    used = {
        text.replace("\\\\", "\\")
        for _, node in nodes(kind)
        for item in node.get(VALIDATIONS, [])
        for text in re.findall(r"(?<!self\.signal\.)matches\('(.*?)'\)", item["rule"])
        if not re.match(r"\^?\(?(\[\.\]|\w+\[\.\])", text)  # names of signals, and how they end: tested below
    }

    assert used == patterns


# Sentences


@pytest.mark.parametrize("kind", POLICIES)
def test_a_wrong_policy_shows_each_sentence_of_the_schema(kind):
    shown = [case.server for case in WRONG_POLICIES]
    for path, node in nodes(kind):
        for item in node.get(VALIDATIONS, []):
            sentence = item["message"].removeprefix("the function")

            assert any(sentence in text for text in shown), f"{path}: {sentence}"


@pytest.mark.parametrize("kind", POLICIES)
def test_an_example_of_a_duration_is_within_its_bounds(kind):
    sentences = {item["message"] for _, node in nodes(kind) for item in node.get(VALIDATIONS, [])}
    for sentence in sentences:
        if bounds := re.match(r"must be a duration from (\w+) to (\w+), for example (.*)", sentence):
            low, high = (duration.parse_duration(text) for text in bounds.groups()[:2])
            examples = re.findall(r'"(\w+)"', bounds[3])

            assert examples
            assert all(low <= duration.parse_duration(example) <= high for example in examples), sentence
