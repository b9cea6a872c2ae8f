"""An Explanation: the question that a user writes, and the answer in its status."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from virtwatch_api.catalogue.entries import TargetKind
from virtwatch_api.nodemonitor_codec import format_time

NODE_LABEL = "virtwatch.io/node"  # whose agent is asked: the operator says so, and agents watch by it
KEPT_S = 600.0  # after which the operator deletes a question
MAX_TEXT_OF_ANSWER, MAX_RULES_OF_ANSWER, _MAX_NOTE = 65_536, 256, 1024

Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Question:
    """Hold who asks about what."""

    namespace: str
    name: str
    uid: str
    kind: TargetKind
    target: str
    node: str = ""  # of a virtual network or a storage pool: the API does not know where these are

    @property
    def key(self) -> tuple[str, str]:
        """Return what names the Explanation."""
        return self.namespace, self.name


def read_question(document: Json) -> Question | None:
    """Read an Explanation; None where this version cannot."""
    metadata, target = document["metadata"], (document.get("spec") or {}).get("target") or {}
    try:
        kind = TargetKind(target.get("kind", TargetKind.VIRTUAL_MACHINE))
    except ValueError:
        return None
    return Question(
        metadata["namespace"],
        metadata["name"],
        metadata["uid"],
        kind,
        str(target.get("name", "")),
        str(target.get("node", "")),
    )


def answer_status(*, by: str, at: float, node: str, note: str, lines: Sequence[str], rules: Sequence[Json]) -> Json:
    """Write an answer; `by` is Agent or Operator, `at` seconds since 1970."""
    return {
        "answeredBy": by,
        "answeredAt": format_time(at),
        "node": node,
        "note": note[:_MAX_NOTE],
        "text": "\n".join(lines)[:MAX_TEXT_OF_ANSWER],
        "rules": list(rules)[:MAX_RULES_OF_ANSWER],
    }
