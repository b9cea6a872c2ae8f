"""Pieces of the CRDs' schemas that all kinds of rule share: CEL rules, words, durations, lists."""

from collections.abc import Iterable

from virtwatch_api import duration
from virtwatch_api.rule_kinds.kind import MAX_PARTS, Json

MAX_ENTRY = 63  # characters of a signal's or an event's name
_PREFIXES = (
    "{'VirtualMachine': 'vm.', 'Node': 'node.', 'Network': 'network.', 'StoragePool': 'pool.'}[self.target.kind]"
)
SIGNALS_BELONG = (
    "must belong to target.kind: vm.* to VirtualMachine, node.* to Node, network.* to Network, pool.* to StoragePool"
)
EVENTS_BELONG = (
    "must belong to target.kind: vm.* to VirtualMachine, network.* to Network, pool.* to StoragePool, "
    "libvirt.* to VirtualMachine and Node"
)


def validation(rule: str, message: str, expression: str = "") -> Json:
    """Return a CEL rule with its sentence, which an expression may make more exact."""
    return {"rule": rule, **({"messageExpression": expression} if expression else {}), "message": message}


def quoted(pattern: str) -> str:
    """Write a pattern as a CEL string."""
    return "'" + pattern.replace("\\", "\\\\") + "'"


def words(values: Iterable[str]) -> str:
    """Write words as a CEL list."""
    return "[" + ", ".join(f"'{value}'" for value in values) + "]"


def list_field(description: str, items: Json, *, at_least: int = 0, at_most: int = MAX_PARTS) -> Json:
    """Describe a list that is replaced as a whole."""
    return {
        "description": description,
        "type": "array",
        **({"minItems": at_least} if at_least else {}),
        "maxItems": at_most,
        "x-kubernetes-list-type": "atomic",
        "items": items,
    }


def duration_field(description: str, *, low: str = "0s", high: str = "24h", default: str = "") -> Json:
    """Describe a duration within bounds."""
    least = f" && duration(self) >= duration('{low}')" if low != "0s" else ""
    return {
        "description": description,
        "type": "string",
        "maxLength": duration.MAX_LENGTH,
        **({"default": default} if default else {}),
        "x-kubernetes-validations": [
            validation(
                f"self.matches({quoted(duration.PATTERN)}){least} && duration(self) <= duration('{high}')",
                f'must be a duration from {low} to {high}, for example "90s", "2m" or "1h"',
            )
        ],
    }


def signal_belongs(name: str) -> str:
    """Return the CEL text that says that a signal belongs to the policy's target."""
    return f"{name}.startsWith({_PREFIXES})"


def event_belongs(name: str) -> str:
    """Return the CEL text that says that the policy's target sees an event."""
    connection = f"{name}.startsWith('libvirt.') && self.target.kind in ['VirtualMachine', 'Node']"
    return f"({name}.startsWith({_PREFIXES}) || {connection})"
