"""What the agent has seen each VM: its state, since when it is paused, how old its samples are. Pure."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from virtwatch_agent.observations import DomainState, Series
from virtwatch_api.catalogue.readings import Source


@dataclass(slots=True)
class _Known:
    asked: dict[Source, float] = field(default_factory=dict)  # since when, monotonic seconds
    taken: dict[Source, float] = field(default_factory=dict)
    paused_since: float | None = None


class States:
    """Follow VMs by UUID; times are monotonic seconds."""

    def __init__(self) -> None:
        self._known: dict[str, _Known] = {}

    def planned(self, uuid: str, sources: Iterable[Source], *, now: float) -> None:
        """Take which sources of a VM are asked."""
        known = self._known.setdefault(uuid, _Known())
        known.asked = {source: known.asked.get(source, now) for source in sources if source is not Source.STATE}

    def sampled(self, uuid: str, source: Source, *, now: float) -> None:
        """Take that a source of a VM gave a sample."""
        if (known := self._known.get(uuid)) is not None:
            known.taken[source] = now

    def forget(self, uuid: str) -> None:
        """Drop a VM that is gone, or whose QEMU is a new one."""
        self._known.pop(uuid, None)

    def read(self, uuid: str, state: DomainState, reason: str, *, now: float) -> Mapping[Series, float]:
        """Return the readings of a VM that is in this state."""
        known = self._known.setdefault(uuid, _Known())
        if state is not DomainState.PAUSED:
            known.paused_since = None
        elif known.paused_since is None:
            known.paused_since = now
        ages = [now - max(asked, known.taken.get(source, asked)) for source, asked in known.asked.items()]
        named = f"{state} ({reason})" if reason else str(state)
        return {
            ("state", named): 1.0,
            ("state.paused", ""): 0.0 if known.paused_since is None else now - known.paused_since,
            ("telemetry.age", ""): max(ages, default=0.0),
        }
