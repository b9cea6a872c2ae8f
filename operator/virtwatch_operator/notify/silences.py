"""Which alerts are silenced, by annotations on VM, VMI, Node, Namespace or policy."""

import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from virtwatch_api.nodemonitor import Transition
from virtwatch_api.policy import PolicyKind
from virtwatch_api.silence import silenced_until
from virtwatch_kube.client import KubeClient
from virtwatch_kube.errors import Forbidden, NotFound
from virtwatch_kube.paths import KUBEVIRT, resource
from virtwatch_operator.policies import policy_path

_KEPT_S = 20.0  # that an answer serves; a silence counts after so long at the latest
_MAX_KEPT = 4096


@dataclass(frozen=True, slots=True)
class _Read:
    at: float
    until: float
    overridable: bool


class Silences:
    """Look silences up when something is to be sent. Safe to use from several threads."""

    def __init__(self, *, client: KubeClient, clock: Callable[[], float] = time.monotonic) -> None:
        self._client = client
        self._clock = clock
        self._read: dict[str, _Read] = {}
        self._lock = threading.Lock()

    def until(self, transition: Transition) -> float:
        """Return until when an alert is silenced, in seconds since 1970; 0 where it is not.

        Raises:
            KubeError: that could not be read now.
        """
        policy = self._look(policy_path(transition.alert.policy), whole=True)
        found = [policy.until]
        found += [self._look(path).until for path in _paths(transition, tenants=policy.overridable)]
        return max(found)

    def _look(self, path: str, *, whole: bool = False) -> _Read:
        now = self._clock()
        with self._lock:
            read = self._read.get(path)
        if read is not None and now - read.at < _KEPT_S:
            return read
        try:
            document = self._client.get(path) if whole else self._client.get(path, metadata_only=True)
        except (NotFound, Forbidden):
            document = {}
        read = _Read(now, silenced_until((document.get("metadata") or {}).get("annotations")), _overridable(document))
        with self._lock:
            if len(self._read) >= _MAX_KEPT:
                self._read.clear()
            self._read[path] = read
        return read


def _paths(transition: Transition, *, tenants: bool) -> Iterator[str]:
    """Yield what else may silence an alert; what tenants write counts only where the policy may be overridden."""
    subject, policy = transition.subject, transition.alert.policy
    if subject.node:
        yield resource("v1", "nodes", name=subject.node)
    if not tenants:
        return
    namespace = subject.namespace or policy.namespace
    if namespace:
        yield resource("v1", "namespaces", name=namespace)
    if subject.namespace and subject.name:
        for plural in ("virtualmachines", "virtualmachineinstances"):
            yield resource(KUBEVIRT, plural, namespace=subject.namespace, name=subject.name)


def _overridable(document: dict[str, Any]) -> bool:
    if document.get("kind") != PolicyKind.CLUSTER_MONITOR_POLICY:
        return True
    return bool((document.get("spec") or {}).get("overridable", True))
