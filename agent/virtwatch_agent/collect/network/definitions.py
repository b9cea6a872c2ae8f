"""Which bridge a NetworkAttachmentDefinition names: read on a thread of its own, and read again, for users edit it."""

import json
import logging
import random
import re
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any

from virtwatch_kube import paths
from virtwatch_kube.client import KubeClient
from virtwatch_kube.errors import Forbidden, KubeError, NotFound

logger = logging.getLogger(__name__)

Attachment = tuple[str, str]  # namespace and name of a NetworkAttachmentDefinition
RETRY_S = 60.0  # after a definition that does not exist, or an API server that does not answer
FORBIDDEN_RETRY_S = 300.0
AGAIN_S = (600.0, 1800.0)  # a definition that was read is read again at a random time between these
_GROUP = "k8s.cni.cncf.io/v1"
_BRIDGE_TYPES = frozenset({"bridge", "cnv-bridge"})
_INTERFACE = re.compile(r"[^/\s]{1,15}")


def bridge_of(document: Any) -> str:
    """Return which bridge of the node a NetworkAttachmentDefinition names; empty where it is of another kind."""
    try:
        config = json.loads(document["spec"]["config"])
        plugins = config.get("plugins") or [config]
        named = [item.get("bridge") for item in plugins if item.get("type") in _BRIDGE_TYPES]
    except (AttributeError, KeyError, TypeError, ValueError):
        return ""
    return next((name for name in named if isinstance(name, str) and _INTERFACE.fullmatch(name)), "")


class Definitions:
    """Ask the API server for the definitions that this node's VMs use; forget those that none uses any more.

    What was read once is kept while the API server refuses, does not answer or has the definition no longer.
    """

    def __init__(self, client: KubeClient) -> None:
        self._client = client
        self._changed = threading.Condition()
        self._due: dict[Attachment, float] = {}  # when to ask for each that is wanted, monotonic seconds
        self._known: dict[Attachment, str] = {}
        self._not_before = float("-inf")  # monotonic seconds
        self._refused = False
        self._stopping = False
        self._on_change: Callable[[], None] = lambda: None
        self._thread = threading.Thread(target=self._run, name="definitions", daemon=True)

    @property
    def known(self) -> Mapping[Attachment, str]:
        """Return the bridge of each definition that was read; "" of one that names none."""
        with self._changed:
            return dict(self._known)

    def want(self, attachments: frozenset[Attachment]) -> None:
        """Say which definitions are in use now; return at once."""
        with self._changed:
            if attachments == self._due.keys():
                return
            self._due = {one: self._due.get(one, float("-inf")) for one in attachments}
            self._known = {one: bridge for one, bridge in self._known.items() if one in attachments}
            self._changed.notify()

    def start(self, on_change: Callable[[], None]) -> None:
        """Begin; return at once. `on_change` is called on the thread when `known` changes."""
        self._on_change = on_change
        self._thread.start()

    def stop(self, deadline: float) -> None:
        """End; a request that hangs is left behind after so many seconds."""
        with self._changed:
            self._stopping = True
            self._changed.notify()
        if self._thread.is_alive():
            self._thread.join(deadline)

    def ask(self, now: float) -> None:
        """Ask for the definition that is due longest at this instant (monotonic seconds), if one is."""
        with self._changed:
            one = min(self._due, key=lambda each: (self._due[each], each), default=None)
            if one is None or now < max(self._due[one], self._not_before):
                return
            self._due[one] = now + (random.uniform(*AGAIN_S) if one in self._known else RETRY_S)
        namespace, name = one
        path = paths.resource(_GROUP, "network-attachment-definitions", namespace=namespace, name=name)
        try:
            bridge = bridge_of(self._client.get(path))
        except NotFound:
            return
        except KubeError as error:
            self._put_off(now, one, error)
            return
        with self._changed:
            if one not in self._due:
                return
            self._due[one] = now + random.uniform(*AGAIN_S)
            news = self._known.get(one) != bridge
            self._known[one] = bridge
        if news:
            self._on_change()

    def _put_off(self, now: float, attachment: Attachment, error: KubeError) -> None:
        """Ask for nothing for a while: the next question would fail as this one did."""
        if isinstance(error, Forbidden):
            if not self._refused:
                logger.warning("VMs' attached networks are not watched (see agent-networks in RBAC): %s", error)
            self._refused = True
            self._not_before = now + FORBIDDEN_RETRY_S
            return
        logger.debug("cannot read the network %s/%s: %s", *attachment, error)
        self._not_before = now + RETRY_S

    def _run(self) -> None:
        while self._wait():
            try:
                self.ask(time.monotonic())
            except Exception:
                logger.exception("reading a NetworkAttachmentDefinition failed; please report this as a defect")

    def _wait(self) -> bool:
        """Wait until a definition is due; False at the end."""
        with self._changed:
            while not self._stopping:
                due = min(self._due.values(), default=None)
                wait = None if due is None else max(due, self._not_before) - time.monotonic()
                if wait is not None and wait <= 0:
                    return True
                self._changed.wait(wait)
        return False
