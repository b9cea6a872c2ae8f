"""Policies from files as the agent's source of thresholds, read again when a file changes.

An edit is applied live.
"""

import threading
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from pathlib import Path

from virtwatch_agent.observations import ThresholdsChanged
from virtwatch_agent.seams import Deliver, ThresholdSource
from virtwatch_api.channel import Channel
from virtwatch_api.policy import PolicyKey
from virtwatch_api.resolution import Ranked, never_judged
from virtwatch_api.thresholdset import ThresholdSet
from virtwatch_cli.policy_files import Finding, PolicyFile, list_policy_files, read_policy_files

_PERIOD = 2.0  # seconds between looks at the files
_SETTLED = 0.1  # seconds without a change after which a file is taken to be written

Fingerprint = tuple[tuple[Path, int, int, int], ...]


class FilePolicies(ThresholdSource):
    """Read policies from files; a file in which something is wrong keeps what it said when it was right."""

    def __init__(
        self,
        paths: Sequence[Path],
        *,
        changed: Callable[[tuple[ThresholdSet, ...]], None],
        wrong: Callable[[Finding | str], None],
    ) -> None:
        """`changed` is reported the policies in force, `wrong` each finding and remark once, from another thread."""
        self._paths = paths
        self._changed = changed
        self._wrong = wrong
        self._fingerprint: Fingerprint = ()
        self._in_force: dict[Path, tuple[ThresholdSet, ...]] = {}
        self._said: frozenset[Finding | str] = frozenset()
        self._deliver: Deliver | None = None
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._look, name="policy-files", daemon=True)

    @property
    def thresholds(self) -> tuple[ThresholdSet, ...]:
        """Return the policies in force."""
        unique = {item.policy: item for read in reversed(self._in_force.values()) for item in read}
        return tuple(unique[key] for key in sorted(unique, key=_order))

    def read(self) -> list[Finding | str]:
        """Read the files that are there now; return what is to be said about them and was not said before."""
        self._fingerprint = _fingerprint(list_policy_files(self._paths))
        files = read_policy_files(list_policy_files(self._paths))
        before = self._in_force
        self._in_force = {file.path: _in_force(file, before.get(file.path, ())) for file in files}
        return self._news(files, edited=bool(before))

    def start(self, deliver: Deliver) -> None:
        """Deliver what was read, then look for changes."""
        self._deliver = deliver
        deliver(ThresholdsChanged(self.thresholds))
        self._thread.start()

    def stop(self) -> None:
        """End."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join(timeout=_PERIOD)

    def _look(self) -> None:
        while not self._stop.wait(_PERIOD):
            changed = _fingerprint(list_policy_files(self._paths))
            if changed == self._fingerprint:
                continue
            # A file that is written in place is empty for a moment, in which its policies would be gone.
            while not self._stop.wait(_SETTLED):
                before, changed = changed, _fingerprint(list_policy_files(self._paths))
                if changed == before:
                    break
            try:
                self._read_again()
            except Exception as error:  # noqa: BLE001 - the loop's edge: without it, edits would be ignored for ever
                self._wrong(f"the policy files cannot be read ({error!r}); the policies in force stay in force")

    def _read_again(self) -> None:
        before = self.thresholds
        for problem in self.read():
            self._wrong(problem)
        if self.thresholds != before and self._deliver is not None:
            self._deliver(ThresholdsChanged(self.thresholds))
            self._changed(self.thresholds)

    def _news(self, files: Iterable[PolicyFile], *, edited: bool) -> list[Finding | str]:
        said: list[Finding | str] = []
        for file in files:
            said += [*file.findings, *file.others, *map(_unused, file.channels)]
            if file.findings and edited and (kept := self._in_force[file.path]):
                names = ", ".join(str(item.policy) for item in kept)
                said.append(f"{file.path}: what was valid in it before stays in force: {names}")
        said += [remark for item in self.thresholds for remark in _remarks(item)]
        said += _replaced(self.thresholds)
        news = [item for item in said if item not in self._said]
        self._said = frozenset(said)
        return news


def _unused(channel: Channel) -> str:
    return f"NotificationChannel {channel.key} sends nothing here: alerts are shown in this terminal"


def _in_force(file: PolicyFile, before: Sequence[ThresholdSet]) -> tuple[ThresholdSet, ...]:
    # Here a policy applies to every VM: there are no namespaces to scope it by.
    right = tuple(replace(item, namespaces=None) for item in file.thresholds)
    if not file.findings:
        return right
    defined = {item.policy for item in right}
    return (*right, *(item for item in before if item.policy not in defined))


def _remarks(thresholds: ThresholdSet) -> Iterable[str]:
    target, policy = thresholds.target, f"{thresholds.policy.kind} {thresholds.policy}"
    if target.selector is not None and not target.selector.matches({}):
        yield f"{policy} selects by labels, which VMs have in Kubernetes only: it judges no VM here; use target.names"
    if target.node_selector is not None and not target.node_selector.matches({}):
        yield f"{policy} selects nodes by labels, which they have in Kubernetes only: it judges no VM here"


def _replaced(thresholds: Iterable[ThresholdSet]) -> Iterable[str]:
    for winner, other in never_judged(thresholds):
        policy = other.thresholds.policy
        yield (
            f"Rule {other.rule.name} of {policy.kind} {policy} is replaced and judges nothing: "
            f"{Ranked.why_lost(winner, other)}. To have both, rename one of the rules."
        )


def _fingerprint(files: Iterable[Path]) -> Fingerprint:
    found = []
    for file in files:
        try:
            stat = file.stat()
        except OSError:
            found.append((file, 0, 0, 0))
        else:
            found.append((file, stat.st_ino, stat.st_size, stat.st_mtime_ns))
    return tuple(found)


def _order(key: PolicyKey) -> tuple[str, str, str]:
    return key.kind.value, key.namespace or "", key.name
