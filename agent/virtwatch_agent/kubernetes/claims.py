"""Which StorageClass a PersistentVolumeClaim has: asked once for each, on a thread of its own, for it never changes."""

import logging
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress

from virtwatch_agent.kubernetes.documents import ClaimKey
from virtwatch_kube import paths
from virtwatch_kube.client import KubeClient
from virtwatch_kube.errors import Forbidden, KubeError, NotFound

logger = logging.getLogger(__name__)

RETRY_S = 30.0  # after a claim that was not there yet, or an API server that did not answer
FORBIDDEN_RETRY_S = 300.0


class StorageClasses:
    """Ask the API server for the claims of this node's VMs; forget those that no VM has any more.

    `on_change` is called, on the thread, when `known` says more.
    """

    def __init__(self, client: KubeClient, on_change: Callable[[], None]) -> None:
        self._client = client
        self._on_change = on_change
        self._changed = threading.Condition()
        self._wanted: frozenset[ClaimKey] = frozenset()
        self._known: dict[ClaimKey, str] = {}
        self._not_before = 0.0  # monotonic seconds
        self._said = False
        self._stopping = False
        self._thread = threading.Thread(target=self._run, name="claims", daemon=True)

    @property
    def known(self) -> Mapping[ClaimKey, str]:
        """Return the StorageClass of each claim that was found; "" of one that has none."""
        with self._changed:
            return dict(self._known)

    def want(self, claims: frozenset[ClaimKey]) -> None:
        """Say which claims there are now; return at once."""
        with self._changed:
            if claims == self._wanted:
                return
            self._wanted = claims
            self._known = {claim: found for claim, found in self._known.items() if claim in claims}
            self._changed.notify()

    def start(self) -> None:
        """Begin; return at once."""
        self._thread.start()

    def stop(self, deadline: float) -> None:
        """End; a request that hangs is left behind after so many seconds."""
        with self._changed:
            self._stopping = True
            self._changed.notify()
        self._thread.join(deadline)

    def _run(self) -> None:
        while (claims := self._next()) is not None:
            found = False
            for claim in sorted(claims):
                wait = self._ask(claim)
                found |= wait == 0.0
                self._not_before = max(self._not_before, time.monotonic() + wait) if wait else self._not_before
                if wait == FORBIDDEN_RETRY_S or self._stopping:
                    break
            if found:
                self._on_change()

    def _next(self) -> frozenset[ClaimKey] | None:
        """Wait for claims to ask for; None at the end."""
        with self._changed:
            while not self._stopping:
                left = self._wanted - self._known.keys()
                wait = self._not_before - time.monotonic()
                if left and wait <= 0:
                    return left
                self._changed.wait(wait if left else None)
        return None

    def _ask(self, claim: ClaimKey) -> float:
        """Ask for a claim; return after how many seconds to ask again, 0 where it was found."""
        namespace, name = claim
        try:
            document = self._client.get(paths.resource("v1", "persistentvolumeclaims", namespace=namespace, name=name))
        except NotFound:
            return RETRY_S
        except Forbidden as error:
            if not self._said:
                logger.warning("StorageClasses behind VMs' disks stay unknown (see agent-storage in RBAC): %s", error)
            self._said = True
            return FORBIDDEN_RETRY_S
        except KubeError:
            return RETRY_S
        found = ""
        with suppress(AttributeError, TypeError):
            found = str(document["spec"].get("storageClassName") or "")
        with self._changed:
            if claim in self._wanted:
                self._known[claim] = found
        return 0.0
