"""The admission policy that warns, at `kubectl apply`, of what `support` will refuse; made of the same tables."""

from collections.abc import Iterator

from virtwatch_api import support
from virtwatch_api.catalogue.entries import WATCHED, TargetKind
from virtwatch_api.catalogue.events import EVENTS
from virtwatch_api.catalogue.signals import SIGNALS
from virtwatch_api.policy import Mode
from virtwatch_api.rule_kinds.kind import Json
from virtwatch_api.rule_kinds.registry import RULE_KINDS
from virtwatch_api.rule_kinds.schema import words
from virtwatch_api.version import GROUP

NAME = "virtwatch-unsupported"
_PLANNED = "names a signal that is not collected in this version, or an event that is not emitted"
_REFUSED = "; virtwatch will refuse this policy (Accepted=False, reason NotImplemented)"


def warning_policy() -> Json:
    """Return the ValidatingAdmissionPolicy."""
    return {
        "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": "ValidatingAdmissionPolicy",
        "metadata": {"name": NAME},
        "spec": {
            "failurePolicy": "Ignore",
            "matchConstraints": {
                "resourceRules": [
                    {
                        "apiGroups": [GROUP],
                        "apiVersions": ["*"],
                        "resources": ["monitorpolicies", "clustermonitorpolicies"],
                        "operations": ["CREATE", "UPDATE"],
                        "scope": "*",
                    }
                ],
                "matchPolicy": "Equivalent",
                "namespaceSelector": {},
                "objectSelector": {},
            },
            "variables": [
                {"name": "signals", "expression": words(item.name for item in SIGNALS if item.formula is None)},
                {"name": "events", "expression": words(item.name for item in EVENTS if not item.implemented)},
            ],
            "validations": list(_validations()),
        },
    }


def _validations() -> Iterator[Json]:
    kinds = [kind for kind in WATCHED if kind not in support.TARGETS]
    modes = [mode for mode in Mode if mode not in support.MODES]
    if kinds:
        yield _field("target.kind", kinds, f"only {_listed(support.TARGETS)} can be watched in this version")
    if modes:
        yield _field("collection.mode", modes, f"this version has the modes {_listed(support.MODES)}")
    for kind in RULE_KINDS:
        if not kind.implemented:
            yield _rules(f"has(rule.{kind.name})", f"judging {support.some(kind.name)} is not implemented")
    for kind in RULE_KINDS:
        mentioned = kind.mentions("variables.signals", "variables.events")
        if kind.implemented and mentioned != "false":
            yield _rules(f"has(rule.{kind.name}) && ({mentioned})", _PLANNED)


def _field(path: str, values: list[TargetKind] | list[Mode], message: str) -> Json:
    return {"expression": f"!(object.spec.{path} in {words(values)})", "message": f"spec.{path}: {message}{_REFUSED}"}


def _rules(condition: str, message: str) -> Json:
    found = f"object.spec.rules.filter(rule, {condition})"
    return {
        "expression": f"!object.spec.rules.exists(rule, {condition})",
        "messageExpression": f"'rule \"' + {found}[0].name + '\": {message}{_REFUSED}'",
        "message": f"{message}{_REFUSED}",
    }


def _listed(values: frozenset[TargetKind] | frozenset[Mode]) -> str:
    return ", ".join(sorted(values))
