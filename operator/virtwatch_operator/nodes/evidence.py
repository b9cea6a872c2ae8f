# What a node says why, in words that only an agent's sentences have: an Event must never carry a stranger's text.
import re
from collections.abc import Iterable
from dataclasses import replace

from virtwatch_api.catalogue.absence import reasons
from virtwatch_api.catalogue.events import EVENT
from virtwatch_api.catalogue.signals import SIGNAL
from virtwatch_api.culprit import may_say
from virtwatch_api.nodemonitor import Evidence, Replaced, Unavailable
from virtwatch_api.policy import Function, PolicyKey

_NAME_OF_OBJECT = r"[a-z0-9](?:[-a-z0-9.]{0,251}[a-z0-9])?"
_PLACE = re.compile(rf"PVC {_NAME_OF_OBJECT}(?:, StorageClass {_NAME_OF_OBJECT})?")
_CLONE = re.compile(rf"(?<=^vm\.cloned \()clone {_NAME_OF_OBJECT}(?=\))")  # a VM of the same namespace
_TOKEN = re.compile(r"[^\s(),;:\"']+")
RULE = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")
_POLICY = re.compile(r"[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?")
_TARGET = re.compile(r"[A-Za-z0-9][-A-Za-z0-9._/ ]{0,252}")
_MEMBERS = re.compile(r"(, on \d+ VMs): [^;]*")  # whose names are their owners' words: NodeMonitor has them
_NUMBER = re.compile(r"[-+]?\d+(\.\d+)?(e[-+]?\d+)?([a-zA-Zµ%]{1,2})?(/s)?|(\d+[hms]){1,3}|%|[kKMGTPE]?i?/s|µs|B/s")
# Of the sentences in virtwatch_rules and the agent; a test holds those against this list.
_WORDS = """
    a above after ago all an and answer answers any anomaly are as at automatically band been before behind below both
    bound bounds broken but by call calls cannot change changed changes condition connection could count counted crossed
    data deadline delay did different disk does down end ended expected fails failed fewer figure fires first flaps
    follow followed for found from gone guest had has have higher hold holds host idle in inferred into is it its last
    gap latest least libvirt limit longer lost low lower maximum minimum missing monitor more most moved never no nor
    not nothing of off on once one only or other out outside over past pattern per pool possible process qemu quiet
    range ratio read reading reads recovered report reported reports returned running s same sample samples seen seldom
    sequence series several share signal since socket some spread state still stopped stuck telemetry than that the
    their then there they this time timed timeout times to too took under until usual usually value values vm vms was
    went were what when which while whose will with within without yet
    operation operations second seconds minute minutes hour hours day days ms us b kib mib gib tib b/s kib/s mib/s
    gib/s tib/s operation/s fault/s packet/s error/s event/s page/s drop/s request/s
"""


def _names() -> frozenset[str]:
    attributes = {name for event in EVENT.values() for name in event.attributes}
    return frozenset(
        name.lower() for name in (*SIGNAL, *EVENT, *attributes, *(function.value for function in Function))
    )


def _values() -> frozenset[str]:
    """Return what attributes with a closed list of values can say; a device is known beside these."""
    closed = {value for event in EVENT.values() for item in event.where for value in item.values}
    return frozenset(value.lower() for value in (*closed, *_OPEN_VALUES.split()))


# QEMU's and libvirt's words in attributes that have no closed list.
_OPEN_VALUES = """
    unknown enospc eio migration snapshot none report reset poweroff pause stop shutdown inject_nmi debug ignore crashed
    failed destroyed migrated saved daemon user api_error
"""
_KNOWN = _names() | _values() | set(_WORDS.split())


def own_words(evidence: Evidence, *, device: str = "", namespace: str | None = None) -> Evidence:
    """Return evidence whose sentence could be an agent's; where it could not, the figures alone are said.

    `namespace` is that of the alert's policy: a culprit that it may not see is left out.
    """
    subject = evidence.subject if evidence.subject in SIGNAL or evidence.subject in EVENT else ""
    text = _MEMBERS.sub(r"\1", evidence.text)
    tokens = _TOKEN.findall(_CLONE.sub("", text))
    known = all(_is_known(token, device) for token in tokens)
    said = text if known and text.isprintable() else ""
    culprit = evidence.culprit if may_say(evidence.culprit, namespace=namespace) else ""
    place = evidence.place if _PLACE.fullmatch(evidence.place) else ""
    return replace(evidence, subject=subject or "the rule", text=said, culprit=culprit, place=place)


def own_reasons(policy: PolicyKey, items: Iterable[Unavailable]) -> tuple[Unavailable, ...]:
    """Return what a node says of signals that are missing, as far as an agent could say it of this policy's targets."""
    believed = []
    for item in items:
        if item.why in reasons(item.signal) and RULE.fullmatch(item.rule) and item.targets > 0:
            there = f"{policy.namespace}/" if policy.namespace else ""
            named = _TARGET.fullmatch(item.example) and item.example.startswith(there)
            believed.append(replace(item, example=item.example if named else "a target"))
    return tuple(believed)


def own_replaced(policy: PolicyKey, items: Iterable[Replaced]) -> tuple[Replaced, ...]:
    """Return what a node says of rules that give way, as far as that can be: to policies that see the same targets."""
    return tuple(
        item
        for item in items
        if RULE.fullmatch(item.rule)
        and _POLICY.fullmatch(item.by.name)
        and item.by != policy
        and (policy.namespace is None or item.by.namespace in (None, policy.namespace))
        and (item.by.namespace is None or RULE.fullmatch(item.by.namespace))
    )


def _is_known(token: str, device: str) -> bool:
    token = token.rstrip(".")
    return token.lower() in _KNOWN or bool(_NUMBER.fullmatch(token)) or (bool(device) and token == device)
