"""What a NodeMonitor's status says first, in lines for whoever reads `kubectl describe` from the top. Pure."""

from collections.abc import Iterator

from virtwatch_api.figures import format_value
from virtwatch_api.nodemonitor import ConditionType, FiringAlert, NodeStatus

_MOST_CHARACTERS = 1024  # of a line: the CRD's bound
_MOST_SAID = 900  # of an alert's, so that its reader may add to it


def about_node(status: NodeStatus) -> tuple[str, ...]:
    """Say what the agent judges, what is wrong, what fires, and what it costs."""
    return tuple(line[:_MOST_CHARACTERS] for line in _lines(status))


def about_alert(item: FiringAlert) -> str:
    """Say all of an alert in a sentence."""
    why = f": {item.evidence.sentence}" if item.evidence.sentence else ""
    said = f"{item.severity}: rule {item.alert.rule} fires for {item.subject.described}{why}"
    return said[:_MOST_SAID]


def _lines(status: NodeStatus) -> Iterator[str]:
    ready = next((item for item in status.conditions if item.type == ConditionType.READY), None)
    if ready is not None:
        yield _sentence(ready.message)
    for item in status.conditions:
        if item.status is False and item is not ready:
            yield f"Not {item.type}: {_sentence(item.message)}"
    counts = status.counts
    firing = max(counts.warning + counts.critical, len(status.firing))
    pending = f" {counts.pending} more wait for the time of `for`." if counts.pending else ""
    if firing:
        left = firing - len(status.firing)
        listed = f" The {len(status.firing)} worst are listed in firing, {left} are not." if left > 0 else ""
        fire = "alert fires" if firing == 1 else "alerts fire"
        yield f"{firing} {fire}, {counts.critical} of them Critical.{listed}{pending}"
    else:
        yield f"No alert fires.{pending}"
    agent = status.agent
    cpu, memory = format_value(agent.cpu, "1", share=True), format_value(agent.memory, "By")
    errors = f"; {agent.errors} observations could not be judged" if agent.errors else ""
    yield f"The agent takes {cpu} of a CPU and {memory} of memory{errors}."


def _sentence(text: str) -> str:
    return f"{text[:1].upper()}{text[1:]}{'' if text.endswith('.') else '.'}"
