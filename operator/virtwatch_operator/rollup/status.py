# A rollup as a policy's status document.
from virtwatch_api.about import about_alert
from virtwatch_api.nodemonitor import FiringAlert
from virtwatch_api.nodemonitor_codec import Json, encode_condition
from virtwatch_operator.conditions import read_conditions, settle
from virtwatch_operator.figures import bound_text, value_text
from virtwatch_operator.policies import PolicyFacts
from virtwatch_operator.rollup.about import about
from virtwatch_operator.rollup.aggregate import Rollup
from virtwatch_operator.rollup.wording import since
from virtwatch_operator.tracing import trace_id

_VALUE_CHARACTERS = 253  # the CRD's bound
_SILENT = " (its node is silent: nobody can tell whether it still does)"


def policy_status(facts: PolicyFacts, rollup: Rollup, *, generation: int, previous: Json, now: float) -> Json:
    """Write a policy's status; `previous` is the one before it, whose conditions say when they flipped last."""
    conditions = settle(rollup.findings, read_conditions(previous), generation=generation, now=now)
    effective = rollup.effective_generation
    return {
        "about": list(about(facts, rollup)),
        "observedGeneration": generation,
        **({"effectiveGeneration": effective} if effective is not None else {}),
        "conditions": [encode_condition(item) for item in conditions],
        "targets": {
            "selected": rollup.selected,
            "virtualMachines": rollup.virtual_machines,
            "nodes": rollup.nodes,
            "nodesApplied": rollup.nodes_applied,
            **({"seriesCut": rollup.cut_series} if rollup.cut_series else {}),
        },
        "alerts": {
            "pending": rollup.counts.pending,
            "warning": rollup.counts.warning,
            "critical": rollup.counts.critical,
            "wouldHaveFired24h": rollup.would_have_fired,
        },
        "activeAlerts": [_active(item, unknown=item.subject.node in rollup.silent) for item in rollup.active],
    }


def _active(item: FiringAlert, *, unknown: bool) -> Json:
    evidence = item.evidence
    # An event has no value: what happened stands for it.
    value = value_text(evidence) or evidence.text or evidence.subject
    trace = trace_id(item.traceparent)
    return {
        "alert": about_alert(item) + _SILENT * unknown,
        "rule": item.alert.rule,
        "severity": item.severity.value,
        "target": f"{item.subject} {item.alert.device}".rstrip(),
        "node": item.subject.node,
        "value": value[:_VALUE_CHARACTERS],
        **({"threshold": bound_text(evidence)} if evidence.bound is not None else {}),
        **({"culprit": evidence.culprit} if evidence.culprit else {}),
        "since": since(item.since),
        **({"unknown": True} if unknown else {}),
        **({"traceID": trace} if trace else {}),
    }
