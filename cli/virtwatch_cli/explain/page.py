"""An explanation for people and for machines."""

import json
from collections.abc import Iterator
from typing import Any

from virtwatch_api.names import printable
from virtwatch_cli.explain.look import Answer
from virtwatch_rules.answer import lines, rule_documents


def as_text(answer: Answer) -> str:
    """Write an explanation for people."""
    return "\n".join(map(printable, _lines(answer)))


def as_json(answer: Answer) -> str:
    """Write an explanation for machines."""
    document: dict[str, Any] = {"target": answer.target, "state": answer.state, "note": answer.note}
    document["rules"] = rule_documents(answer.explanation, missing=answer.missing)
    document["contention"] = answer.contention
    return json.dumps({**document, "problems": list(answer.explanation.problems)}, indent=2)


def _lines(answer: Answer) -> Iterator[str]:
    yield f"{answer.target} ({answer.state}), {answer.note}"
    for problem in answer.explanation.problems:
        yield f"  problem: {problem}"
    if answer.contention:
        yield f"  contention: {answer.contention}"
    yield from lines(answer.explanation, missing=answer.missing)
