"""What must have happened to a domain while nobody looked: all that is inferred of a VM's life is inferred here.

Two gaps are compared with the same words. In one process, what a connection showed and what it shows now
(`collect/libvirt/domain_tracker.py` asks `relisted`, `begun`, `ended`, `failure`). Across a restart, what the journal
remembers and what is found (`differences`, `ends`). Of both kinds, whether a migration is under way (`migration`).
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from virtwatch_agent.observations import Appeared, Domain, DomainState, FoundStopped, TargetEvent

LISTED = "id-"  # begins an incarnation that libvirt alone reports: no process of this host is known to run the domain
UNSEEN = ""  # the incarnation of a domain that an alert came with, before the domain is seen
# Reasons of vm.stopped that say that QEMU or the guest ended by itself.
CRASHES = frozenset({"crashed", "failed"})
_PAUSED_BY = {"ioerror": "vm.io_error", "watchdog": "vm.watchdog"}


@dataclass(frozen=True, slots=True)
class DomainView:
    """Hold what one look at a domain showed; `reason` is that of its state."""

    domain: Domain
    reason: str


def ended(
    before: Domain, reason: str, *, at: float, crashed: bool | None = None, inferred: bool = True
) -> Iterator[TargetEvent]:
    """Say that a domain has ended, which was `before`; `crashed` is reported by the reason where nobody says it."""
    crashed = reason in CRASHES if crashed is None else crashed
    if crashed and before.state is not DomainState.CRASHED:
        yield TargetEvent("vm.crashed", before.target, at, {"reason": reason}, inferred)
    yield TargetEvent("vm.stopped", before.target, at, {"reason": reason}, inferred)


def begun(seen: DomainView, *, at: float) -> Iterator[TargetEvent]:
    """Say that a domain has started, and how it came into its state.

    One that runs keeps the reason of its start, one that migrates in waits paused.
    """
    now, reason = seen.domain, seen.reason
    incoming = (now.state, reason) == (DomainState.PAUSED, "migration")
    why = reason if now.state is DomainState.RUNNING else "migrated" if incoming else "unknown"
    yield _event(now, "vm.started", at, {"reason": why})
    if now.state is not DomainState.RUNNING:
        yield from turned(seen, at=at)


def turned(seen: DomainView, *, at: float) -> Iterator[TargetEvent]:
    """Say how a domain came into its state."""
    now, reason = seen.domain, seen.reason
    match now.state:
        case DomainState.PAUSED:
            yield _event(now, "vm.paused", at, {"reason": reason})
        case DomainState.CRASHED:
            yield _event(now, "vm.crashed", at, {"reason": reason})
        case DomainState.RUNNING:  # its other reasons are those of the start, which was before the pause
            yield _event(now, "vm.resumed", at, {"reason": reason} if reason == "migrated" else {})


def failure(seen: DomainView, *, at: float) -> Iterator[TargetEvent]:
    """Say the failure behind a pause: which disk it was no listing tells."""
    if seen.domain.state is DomainState.PAUSED and seen.reason in _PAUSED_BY:
        yield _event(seen.domain, _PAUSED_BY[seen.reason], at, {"action": "pause"})


def relisted(before: DomainView, now: DomainView, *, at: float) -> Iterator[TargetEvent]:
    """Compare two looks of one process at one incarnation of a domain."""
    same_state = before.domain.state is now.domain.state
    if same_state and (before.reason == now.reason or now.domain.state is DomainState.RUNNING):
        return
    yield from turned(now, at=at)
    yield from failure(now, at=at)


def ends(before: Domain, found: FoundStopped | None, *, at: float) -> Iterator[TargetEvent]:
    """Say that a domain has ended since the journal knew it, and why; without a word of its libvirt it was lost."""
    if found is None:
        yield from ended(before, "lost", at=at)
    else:
        yield from ended(before, found.reason, at=at, crashed=found.crashed)


def differences(before: Domain, found: FoundStopped | None, appeared: Appeared) -> Iterator[TargetEvent]:
    """Compare a domain that is found after a restart with what the journal remembers of it."""
    if before.incarnation == UNSEEN:
        return
    now, at = DomainView(appeared.domain, appeared.reason or "unknown"), appeared.at
    end_known = before.state is DomainState.STOPPED  # its end
    if not end_known and _same(before.incarnation, now.domain.incarnation):
        if before.state is not now.domain.state:
            yield from turned(now, at=at)
        return
    if not end_known:
        yield from ends(before, found, at=at) if found is not None else ended(before, "unknown", at=at)
    if not appeared.started:  # otherwise its start and state are reported beside it
        yield from begun(now, at=at)


def migration(domain: Domain, *, known: bool, leaving: bool, at: float) -> Iterator[TargetEvent]:
    """Compare whether a domain is known to migrate away and whether it does now.

    That it does not proves nothing of a VM in a pod: its migration is under way before libvirt hears of it, and the API
    tells how it ended.
    """
    if leaving and not known:
        yield _event(domain, "vm.migration_started", at, {})
    elif known and not leaving and domain.pod_uid is None:
        yield _event(domain, "vm.migration_failed", at, {})


def _same(before: str, now: str) -> bool:
    """Return whether an incarnation may be the one of before: it may have run all along unfound."""
    return before == now or before.startswith(LISTED) != now.startswith(LISTED)


def _event(domain: Domain, type_: str, at: float, attributes: Mapping[str, str]) -> TargetEvent:
    return TargetEvent(type_, domain.target, at, attributes, inferred=True)
