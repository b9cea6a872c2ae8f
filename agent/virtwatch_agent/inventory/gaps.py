"""What must have happened to a domain while nobody looked."""

from collections.abc import Iterator, Mapping

from virtwatch_agent.observations import Appeared, Domain, DomainState, FoundStopped, TargetEvent

LISTED = "id-"  # begins an incarnation that libvirt alone tells of: no process of this host is known to run the domain
UNSEEN = ""  # the incarnation of a domain that an alert came with, before the domain is seen


def ends(before: Domain, found: FoundStopped | None, *, at: float) -> Iterator[TargetEvent]:
    """Say that a domain has ended since it was seen last, and why; without a word of its libvirt it was lost."""
    reason = "lost" if found is None else found.reason
    if found is not None and found.crashed and before.state is not DomainState.CRASHED:
        yield TargetEvent("vm.crashed", before.target, at, {"reason": reason}, inferred=True)
    yield TargetEvent("vm.stopped", before.target, at, {"reason": reason}, inferred=True)


def differences(before: Domain, found: FoundStopped | None, appeared: Appeared) -> Iterator[TargetEvent]:
    """Compare a domain with what it was before a gap."""
    if before.incarnation == UNSEEN:
        return
    now, reason = appeared.domain, appeared.reason or "unknown"
    ended = before.state is DomainState.STOPPED  # which was told
    if not ended and _same(before.incarnation, now.incarnation):
        if before.state is not now.state:
            yield from _entered(appeared, reason)
        return
    if not ended and found is not None:
        yield from ends(before, found, at=appeared.at)
    elif not ended:
        yield _event(appeared, "vm.stopped", {"reason": "unknown"})
    if appeared.started:  # its start and state are told beside it
        return
    yield _event(appeared, "vm.started", {"reason": _start(now.state, reason)})
    if now.state is not DomainState.RUNNING:
        yield from _entered(appeared, reason)


def _same(before: str, now: str) -> bool:
    """Tell whether an incarnation may be the one of before: it may have run all along unfound."""
    return before == now or before.startswith(LISTED) != now.startswith(LISTED)


def _entered(appeared: Appeared, reason: str) -> Iterator[TargetEvent]:
    """Say how a domain came into its state."""
    match appeared.domain.state:
        case DomainState.PAUSED:
            yield _event(appeared, "vm.paused", {"reason": reason})
        case DomainState.CRASHED:
            yield _event(appeared, "vm.crashed", {"reason": reason})
        case DomainState.RUNNING:  # its other reasons are those of the start, which was before the pause
            yield _event(appeared, "vm.resumed", {"reason": reason} if reason == "migrated" else {})


def _event(appeared: Appeared, type_: str, attributes: Mapping[str, str]) -> TargetEvent:
    return TargetEvent(type_, appeared.domain.target, appeared.at, attributes, inferred=True)


def _start(state: DomainState, reason: str) -> str:
    """Tell why a domain started by its state now: one that runs keeps the reason, one that migrates in waits paused."""
    if state is DomainState.RUNNING:
        return reason
    return "migrated" if (state, reason) == (DomainState.PAUSED, "migration") else "unknown"
