"""The seam by which a kind of rule is added to the API: one module with a `RuleKind`, and one line in `registry`."""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from virtwatch_api.catalogue.entries import TargetKind
from virtwatch_api.policy import RuleBody, Severity
from virtwatch_api.reading import Cursor

Json = dict[str, Any]
MAX_PARTS = 8  # of a condition, a sequence, a list of events or signals


@dataclass(frozen=True, slots=True)
class Scope:
    """Say what rules are read for: the target's kind, and whether they were compiled, so that numbers are plain."""

    target: TargetKind = TargetKind.VIRTUAL_MACHINE
    compiled: bool = False


@dataclass(frozen=True, slots=True)
class Need:
    """Name a signal or an event that a rule needs, and the field (below the rule's kind) that names it."""

    field: str
    signal: str = ""
    event: str = ""


class RuleKind(ABC):
    """Describe one kind of rule; `name` is its field in a rule, `body` what it is read into.

    `implemented` says that this version has an engine for it; a test holds it against the engines that there are.
    """

    name: str
    body: type[RuleBody]
    example: str  # one rule in YAML, for the page of rules
    implemented: bool = True
    has_severity: bool = True  # of the rule; a kind without takes its severity from what it judges

    @abstractmethod
    def read(self, cursor: Cursor, severity: Severity, scope: Scope) -> RuleBody | None:
        """Read what stands in the kind's field; what is wrong goes to the cursor."""

    @abstractmethod
    def write(self, body: Any) -> Json:
        """Write what `read` reads, every default spelled out and every number plain."""

    @abstractmethod
    def needs(self, body: Any) -> Iterable[Need]:
        """Name the signals and events that a rule needs."""

    @abstractmethod
    def schema(self, targets: Sequence[TargetKind]) -> Json:
        """Return the part of the CRDs for the kind's field, where policies may watch `targets`."""

    def validations(self) -> Iterable[Json]:
        """Return the CEL rules that tie the kind's field to spec.target, for CRDs whose target has a kind to choose."""
        return ()

    def mentions(self, signals: str, events: str) -> str:  # noqa: ARG002
        """Return the CEL text that says that `rule` needs one of these signals or events, which are CEL lists."""
        return "false"

    def severity(self, body: Any) -> Severity | None:
        """Return the rule's severity, None where the body's levels say it."""
        return getattr(body, "severity", None)

    def override(self, body: Any, levels: Mapping[str, str]) -> RuleBody | str:  # noqa: ARG002
        """Return the body with other levels, as an annotation sets them, or a sentence that says why not."""
        return 'only "off" works on a rule that is not a threshold'

    def unsupported(self, body: Any) -> Iterable[tuple[str, str]]:  # noqa: ARG002
        """Name the fields of a rule, and what in them has no engine in this version, though the kind has one."""
        return ()
