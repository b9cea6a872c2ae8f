"""A NodeMonitor as documents of the API server, both ways; the journal on disk holds transitions in the same shape."""

import json
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any

from virtwatch_api.about import about_alert, about_node
from virtwatch_api.alert import Action, AlertKey, AlertState, Reason
from virtwatch_api.catalogue.entries import TargetKind
from virtwatch_api.duration import format_duration, parse_duration
from virtwatch_api.evidence_codec import MAX_NAME, MAX_TEXT, decode_evidence, encode_evidence, for_people
from virtwatch_api.nodemonitor import (
    MAX_REPLACED,
    MAX_UNAVAILABLE,
    Acknowledged,
    Adopted,
    AgentHealth,
    Applied,
    Condition,
    Counts,
    FiringAlert,
    Handover,
    Move,
    NodeMonitor,
    NodeStatus,
    Pool,
    Replaced,
    Transition,
    Unavailable,
)
from virtwatch_api.policy import PolicyKey, PolicyKind, Severity
from virtwatch_api.policy_codec import timestamp
from virtwatch_api.targets import Subject, TargetRef

Json = dict[str, Any]
MAX_MESSAGE = 32_768  # characters, as in the CRDs
_TIMERS = {
    "warningSince": "warning_since",
    "warningGoodSince": "warning_good_since",
    "criticalSince": "critical_since",
    "criticalGoodSince": "critical_good_since",
}
_STATUS = {True: "True", False: "False", None: "Unknown"}


def format_time(seconds: float) -> str:
    """Write a time in RFC 3339 with microseconds, UTC."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def encode_status(status: NodeStatus, *, newest: bool = True) -> Json:
    """Write a NodeMonitor's status; without `newest`, for a CRD that lacks what was added last and refuses that."""
    document = {
        "about": list(about_node(status)),
        "epoch": status.epoch,
        "sequence": status.sequence,
        # Plain numbers: who tells them on, perhaps an operator of an older version, reads no others.
        "transitions": [encode_transition(item) for item in status.transitions],
        "waiting": status.waiting,
        "firing": [
            {"alert": about_alert(item), **_with_figures(encode_firing(item), people=newest)} for item in status.firing
        ],
        "alerts": _counts(status.counts),
        "applied": [_applied(item) for item in status.applied],
        "virtualMachines": status.virtual_machines,
        "agent": {
            "version": status.agent.version,
            "started": format_time(status.agent.started),
            "cpuMilliseconds": round(status.agent.cpu * 1000),
            "memoryBytes": round(status.agent.memory),
            "samples": status.agent.samples,
            "errors": status.agent.errors,
            "reported": format_time(status.agent.reported),
            **_load(status.agent),
        },
        "conditions": [encode_condition(item) for item in status.conditions],
        # A CRD from before handovers refuses a report that holds this.
        **({"adopted": [_adopted(item) for item in status.adopted]} if status.adopted else {}),
        **({"thresholds": {"resourceVersion": str(status.read_up_to)}} if status.read_up_to else {}),
    }
    return document if newest else _without_newest(document)


def _without_newest(document: Json) -> Json:
    # What is for people, and what an operator of that version would not read.
    alerts = {name: [_of_older(item) for item in document[name]] for name in ("transitions", "firing")}
    applied = [_less(item, "anomalies", "because") for item in document["applied"]]
    return {**_less(document, "about"), **alerts, "applied": applied}


def _of_older(item: Json) -> Json:
    return {**_less(item, "alert", "pool"), "evidence": _less(item["evidence"], "place")}


def _less(document: Json, *names: str) -> Json:
    return {name: value for name, value in document.items() if name not in names}


def _load(agent: AgentHealth) -> Json:
    milliseconds = {
        "scanMilliseconds": agent.scan,
        "cpuBudgetMilliseconds": agent.budget,
        "latenessMilliseconds": agent.lateness,
    }
    counts = {"libvirtCalls": agent.calls, "stuckVirtualMachines": agent.stuck}
    return {
        **{name: round(value * 1000) for name, value in milliseconds.items() if value},
        **{name: count for name, count in counts.items() if count},
        **({"slowdownPercent": round(agent.slowdown * 100)} if agent.slowdown != 1 else {}),
    }


def _adopted(item: Adopted) -> Json:
    return {"handover": item.handover, "sequence": item.sequence}


def encode_transition(item: Transition) -> Json:
    """Write one transition; the journal on disk holds the same shape."""
    return {
        "sequence": item.sequence,
        **_alert(item.alert),
        "action": item.action.value,
        "reason": item.reason.value,
        **({"severity": item.severity.value} if item.severity else {}),
        **({"previous": item.previous.value} if item.previous else {}),
        "at": format_time(item.at),
        "since": format_time(item.since),
        "subject": _subject(item.subject),
        "evidence": encode_evidence(item.evidence),
        **({"traceparent": item.traceparent} if item.traceparent else {}),
        **({"move": _move(item.move)} if item.move else {}),
        **({"pool": item.pool._asdict()} if item.pool else {}),
    }


def encode_firing(item: FiringAlert) -> Json:
    """Write an alert that fires."""
    return {
        **_alert(item.alert),
        "severity": item.severity.value,
        "since": format_time(item.since),
        "subject": _subject(item.subject),
        "evidence": encode_evidence(item.evidence),
        **({"traceparent": item.traceparent} if item.traceparent else {}),
    }


def encode_handover(item: Handover) -> Json:
    """Write one of spec.handovers."""
    return {"epoch": item.epoch, **encode_transition(item.transition)}


def decode_handover(document: Json) -> Handover:
    """Read one of spec.handovers.

    Raises:
        ValueError, KeyError, TypeError: an operator of another version wrote what this one does not know.
    """
    transition = decode_transition(document)
    if transition.move is None:
        raise ValueError(f"handover {document['epoch']}.{transition.sequence} does not say what moves")
    return Handover(document["epoch"], transition, transition.move)


def _with_figures(document: Json, *, people: bool) -> Json:
    return {**document, "evidence": for_people(document["evidence"])} if people else document


def encode_condition(item: Condition) -> Json:
    """Write one condition as metav1.Condition."""
    return {
        "type": item.type,
        "status": _STATUS[item.status],
        "reason": item.reason,
        "message": item.message[:MAX_MESSAGE],
        "lastTransitionTime": datetime.fromtimestamp(item.since, UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "observedGeneration": item.generation,
    }


def decode_condition(document: Json) -> Condition:
    """Read one condition."""
    return Condition(
        type=document["type"],
        status={"True": True, "False": False}.get(document["status"]),
        reason=document["reason"],
        message=document["message"],
        since=timestamp(document["lastTransitionTime"]),
        generation=document.get("observedGeneration", 0),
    )


def encode_acknowledged(item: Acknowledged) -> Json:
    """Write spec.acknowledged."""
    return {"epoch": item.epoch, "sequence": item.sequence}


def decode_nodemonitor(document: Json) -> NodeMonitor:
    """Read a NodeMonitor that the API server has validated.

    Raises:
        ValueError, KeyError: an agent of another version wrote something that this one does not know.
    """
    metadata = document["metadata"]
    acknowledged = (document.get("spec") or {}).get("acknowledged")
    status = document.get("status")
    return NodeMonitor(
        node=metadata["name"],
        uid=metadata.get("uid", ""),
        status=_status(status) if status and status.get("epoch") else None,
        acknowledged=Acknowledged(acknowledged["epoch"], acknowledged["sequence"]) if acknowledged else None,
        labels=dict(metadata.get("labels") or {}),
        handovers=tuple(_readable((document.get("spec") or {}).get("handovers") or ())),
    )


def _readable(documents: Iterable[Json]) -> Iterator[Handover]:
    # One that only a newer version can read must not make all of a node unreadable; its agent says so.
    for document in documents:
        with suppress(KeyError, TypeError, ValueError):
            yield decode_handover(document)


def decode_transition(document: Json) -> Transition:
    """Read one transition.

    Raises:
        ValueError, KeyError: the text is not a transition of this version.
    """
    severity = Severity(document["severity"]) if "severity" in document else None
    since = timestamp(document["since"])
    move, pool = document.get("move"), document.get("pool")
    return Transition(
        sequence=document["sequence"],
        alert=_read_alert(document),
        action=Action(document["action"]),
        reason=Reason(document["reason"]),
        severity=severity,
        previous=Severity(document["previous"]) if "previous" in document else None,
        at=timestamp(document["at"]),
        since=since,
        subject=_read_subject(document["subject"]),
        evidence=decode_evidence(document["evidence"]),
        traceparent=document.get("traceparent", ""),
        move=_read_move(move, severity=severity, since=since) if move else None,
        pool=Pool(pool["id"], pool["name"]) if pool else None,
    )


def _move(item: Move) -> Json:
    # Severity and since stand in the transition itself.
    times = {key: getattr(item.state, name) for key, name in _TIMERS.items()}
    times["lastEvent"] = item.last_event
    return {
        "to": item.to,
        **{key: format_time(value) for key, value in times.items() if value is not None},
        **({"traceparent": item.traceparent} if item.traceparent else {}),
        **({"memory": json.dumps(dict(item.memory), separators=(",", ":"))} if item.memory else {}),
    }


def _read_move(document: Json, *, severity: Severity | None, since: float) -> Move:
    times = {key: timestamp(document[key]) for key in (*_TIMERS, "lastEvent") if key in document}
    timers = {name: times.get(key) for key, name in _TIMERS.items()}
    return Move(
        to=document["to"],
        state=AlertState(severity=severity, since=since if severity else None, **timers),
        traceparent=document.get("traceparent", ""),
        last_event=times.get("lastEvent"),
        memory=_read_memory(document.get("memory", "")),
    )


def _read_memory(text: str) -> Mapping[str, Any]:
    """Read what an engine remembers; what is none is forgotten, and learned again."""
    try:
        memory = json.loads(text) if text else {}
    except ValueError:
        return {}
    return memory if isinstance(memory, dict) else {}


def _status(document: Json) -> NodeStatus:
    agent = document.get("agent") or {}
    return NodeStatus(
        epoch=document["epoch"],
        sequence=document.get("sequence", 0),
        transitions=tuple(decode_transition(item) for item in document.get("transitions", [])),
        waiting=document.get("waiting", 0),
        firing=tuple(_read_firing(item) for item in document.get("firing", [])),
        counts=_read_counts(document.get("alerts", {})),
        applied=tuple(_read_applied(item) for item in document.get("applied", [])),
        virtual_machines=document.get("virtualMachines", 0),
        agent=AgentHealth(
            version=agent.get("version", ""),
            started=timestamp(agent.get("started")),
            cpu=agent.get("cpuMilliseconds", 0) / 1000,
            memory=agent.get("memoryBytes", 0),
            samples=agent.get("samples", 0),
            errors=agent.get("errors", 0),
            reported=timestamp(agent.get("reported")),
            scan=agent.get("scanMilliseconds", 0) / 1000,
            budget=agent.get("cpuBudgetMilliseconds", 0) / 1000,
            slowdown=agent.get("slowdownPercent", 100) / 100,
            lateness=agent.get("latenessMilliseconds", 0) / 1000,
            calls=agent.get("libvirtCalls", 0),
            stuck=agent.get("stuckVirtualMachines", 0),
        ),
        conditions=tuple(decode_condition(item) for item in document.get("conditions", [])),
        adopted=tuple(Adopted(item["handover"], item["sequence"]) for item in document.get("adopted", ())),
        read_up_to=int((document.get("thresholds") or {}).get("resourceVersion", 0)),
    )


def _alert(key: AlertKey) -> Json:
    return {
        "id": key.id,
        "policy": _policy(key.policy),
        "rule": key.rule,
        **({"device": key.device} if key.device else {}),
    }


def _read_alert(document: Json) -> AlertKey:
    return AlertKey(
        policy=_read_policy(document["policy"]),
        rule=document["rule"],
        target=_read_target(document["subject"]),
        device=document.get("device", ""),
    )


def _policy(key: PolicyKey) -> Json:
    return {
        "kind": key.kind.value,
        **({"namespace": key.namespace} if key.namespace else {}),
        "name": key.name,
    }


def _read_policy(document: Json) -> PolicyKey:
    return _policy_key(document["kind"], document["name"], document.get("namespace"))


@lru_cache(maxsize=4096)
def _policy_key(kind: str, name: str, namespace: str | None) -> PolicyKey:
    # Each node names the same ones: a fleet's reports share them.
    return PolicyKey(PolicyKind(kind), name, namespace)


def _subject(item: Subject) -> Json:
    given = {"namespace": item.namespace, "name": item.name, "vmiUID": item.uid}
    optional = {name: value for name, value in given.items() if value}
    if item.target.kind is TargetKind.VIRTUAL_MACHINE:
        return {"domain": item.label, "uuid": item.target.id, "node": item.node, **optional}
    return {"kind": item.target.kind.value, "id": item.target.id, "label": item.label, "node": item.node, **optional}


def _read_subject(document: Json) -> Subject:
    target = _read_target(document)
    return Subject(
        label=document["domain"] if target.kind is TargetKind.VIRTUAL_MACHINE else document["label"],
        target=target,
        node=document["node"],
        namespace=document.get("namespace"),
        name=document.get("name"),
        uid=document.get("vmiUID"),
    )


def _read_target(subject: Json) -> TargetRef:
    kind = TargetKind(subject.get("kind", TargetKind.VIRTUAL_MACHINE))
    return TargetRef(kind, subject["uuid"] if kind is TargetKind.VIRTUAL_MACHINE else subject["id"])


def _read_firing(document: Json) -> FiringAlert:
    return FiringAlert(
        alert=_read_alert(document),
        severity=Severity(document["severity"]),
        since=timestamp(document["since"]),
        subject=_read_subject(document["subject"]),
        evidence=decode_evidence(document["evidence"]),
        traceparent=document.get("traceparent", ""),
    )


def _counts(item: Counts) -> Json:
    return {"pending": item.pending, "warning": item.warning, "critical": item.critical}


def _read_counts(document: Json) -> Counts:
    return Counts(document.get("pending", 0), document.get("warning", 0), document.get("critical", 0))


def _applied(item: Applied) -> Json:
    return {
        "policy": _policy(item.policy),
        "hash": item.hash,
        "virtualMachines": item.virtual_machines,
        **({"targets": item.targets} if item.targets != item.virtual_machines else {}),
        "alerts": _counts(item.counts),
        "wouldHaveFired": item.would_have_fired,
        **({"rejected": item.rejected[:MAX_TEXT]} if item.rejected else {}),
        **(
            {"unavailable": [_unavailable(one) for one in item.unavailable[:MAX_UNAVAILABLE]]}
            if item.unavailable
            else {}
        ),
        **({"mode": item.mode} if item.mode else {}),
        **({"interval": format_duration(item.interval)} if item.interval else {}),
        **({"because": item.because[:MAX_TEXT]} if item.because else {}),
        **({"cut": {"series": item.cut_series, "targets": item.cut_targets}} if item.cut_series else {}),
        **({"warmingUp": item.warming_up} if item.warming_up else {}),
        **({"anomalies": {"found": item.found, "judgedDays": item.judged_days}} if item.judged_days else {}),
        **({"replaced": [_replaced(one) for one in item.replaced[:MAX_REPLACED]]} if item.replaced else {}),
    }


def _replaced(item: Replaced) -> Json:
    return {"rule": item.rule, "policy": _policy(item.by), "targets": item.targets}


def _unavailable(item: Unavailable) -> Json:
    why = {"why": item.why[:MAX_NAME]} if item.why else {}
    example = {"example": item.example[:MAX_NAME]} if item.example else {}
    return {"rule": item.rule, "signal": item.signal, "targets": item.targets, **why, **example}


_ORDINARY = frozenset(("policy", "hash", "virtualMachines", "targets", "alerts", "wouldHaveFired"))


def _read_applied(document: Json) -> Applied:
    if document.keys() <= _ORDINARY:
        alerts = document.get("alerts", {})
        return _ordinary(
            _read_policy(document["policy"]),
            document["hash"],
            document.get("virtualMachines", 0),
            targets=document.get("targets"),
            would_have_fired=document.get("wouldHaveFired", 0),
            pending=alerts.get("pending", 0),
            warning=alerts.get("warning", 0),
            critical=alerts.get("critical", 0),
        )
    return _read_unusual(document)


@lru_cache(maxsize=16_384)
def _ordinary(
    policy: PolicyKey,
    hash_: str,
    virtual_machines: int,
    *,
    targets: int | None,
    would_have_fired: int,
    pending: int,
    warning: int,
    critical: int,
) -> Applied:
    # Many nodes say the same of a policy, and each says it again and again.
    return Applied(
        policy,
        hash_,
        virtual_machines,
        counts=Counts(pending, warning, critical),
        would_have_fired=would_have_fired,
        targets=virtual_machines if targets is None else targets,
    )


def _read_unusual(document: Json) -> Applied:
    return Applied(
        policy=_read_policy(document["policy"]),
        hash=document["hash"],
        virtual_machines=document.get("virtualMachines", 0),
        counts=_read_counts(document.get("alerts", {})),
        would_have_fired=document.get("wouldHaveFired", 0),
        rejected=document.get("rejected", ""),
        unavailable=tuple(
            Unavailable(one["rule"], one["signal"], one["targets"], one.get("why", ""), one.get("example", ""))
            for one in document.get("unavailable", ())
        ),
        mode=document.get("mode", ""),
        interval=parse_duration(document["interval"]) if "interval" in document else 0.0,
        warming_up=document.get("warmingUp", 0),
        found=document.get("anomalies", {}).get("found", 0),
        judged_days=document.get("anomalies", {}).get("judgedDays", 0),
        targets=document["targets"] if "targets" in document else document.get("virtualMachines", 0),
        replaced=tuple(
            Replaced(one["rule"], _read_policy(one["policy"]), one["targets"]) for one in document.get("replaced", ())
        ),
        because=document.get("because", ""),
        cut_series=document.get("cut", {}).get("series", 0),
        cut_targets=document.get("cut", {}).get("targets", 0),
    )
