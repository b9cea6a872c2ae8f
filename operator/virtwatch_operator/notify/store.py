"""Outboxes in the API: a ConfigMap for each channel, in the operator's namespace, written before news is taken."""

import hashlib
import json
import logging
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from virtwatch_api.channel import ChannelKey
from virtwatch_kube.client import KubeClient
from virtwatch_kube.errors import Conflict, NotFound
from virtwatch_kube.paths import resource
from virtwatch_operator.notify.outbox import Outbox
from virtwatch_operator.notify.outbox_codec import decode, encode

logger = logging.getLogger(__name__)

MANAGER = "virtwatch-outbox"
LABEL = "virtwatch.io/outbox"
_CHANNEL = "virtwatch.io/channel"
_DATA = "outbox"
_ATTEMPTS = 3  # a message that was sent must not be sent again because its outcome met another's write

Change = Callable[[Outbox], Outbox]


def configmap_name(key: ChannelKey) -> str:
    """Return the name of a channel's outbox; a channel's own namespace and name together may be too long for one."""
    return f"virtwatch-outbox-{hashlib.sha256(str(key).encode()).hexdigest()[:16]}"


@dataclass(slots=True)
class _Held:
    """Hold one channel's outbox and what waits for the write under way, so that several changes share one write."""

    outbox: Outbox | None = None  # None: not read yet
    version: str = ""
    waiting: list["_Waiting"] = field(default_factory=list)
    writing: threading.Lock = field(default_factory=threading.Lock)


@dataclass(slots=True)
class _Waiting:
    change: Change
    done: bool = False


class OutboxStore:
    """Read and change outboxes. Safe to use from several threads; a channel's changes follow one another."""

    def __init__(self, *, client: KubeClient, namespace: str) -> None:
        self._client = client
        self._namespace = namespace
        self._held: dict[ChannelKey, _Held] = {}
        self._lock = threading.Lock()

    def load(self) -> None:
        """Read all outboxes that a leader before this one left.

        Raises:
            KubeError: they could not be read.
        """
        path = resource("v1", "configmaps", namespace=self._namespace)
        for document in self._client.list(path, labels=LABEL):
            namespace, _, name = (document["metadata"].get("annotations") or {}).get(_CHANNEL, "").partition("/")
            if not name:
                continue
            held = self._of(ChannelKey(namespace, name))
            with held.writing:
                if held.outbox is None:
                    _adopt(held, document)

    def channels(self) -> list[ChannelKey]:
        """Return the channels of which there is an outbox."""
        with self._lock:
            return [key for key, held in self._held.items() if held.outbox is not None]

    def get(self, key: ChannelKey) -> Outbox:
        """Return a channel's outbox as it was written last, or read; an empty one where there is none."""
        with self._lock:
            held = self._held.get(key)
        return held.outbox if held is not None and held.outbox is not None else Outbox()

    def change(self, key: ChannelKey, change: Change) -> Outbox:
        """Change a channel's outbox; return once that is written, together with what others change meanwhile.

        Raises:
            KubeError: it is not written; the outbox is as it was.
        """
        held = self._of(key)
        mine = _Waiting(change)
        with self._lock:
            held.waiting.append(mine)
        try:
            with held.writing:
                if not mine.done:
                    self._write(key, held)
        finally:
            with self._lock:
                if mine in held.waiting:
                    held.waiting.remove(mine)
        assert held.outbox is not None
        return held.outbox

    def note(self, key: ChannelKey, change: Change) -> None:
        """Change a channel's outbox in memory alone: what a new leader may do again."""
        held = self._of(key)
        with held.writing:
            if held.outbox is not None:
                held.outbox = change(held.outbox)

    def forget(self, key: ChannelKey) -> None:
        """Delete the outbox of a channel that is gone.

        Raises:
            KubeError: it is still there.
        """
        with self._lock:
            self._held.pop(key, None)
        try:
            self._client.delete(self._path(key))
        except NotFound:
            return

    def _of(self, key: ChannelKey) -> _Held:
        with self._lock:
            return self._held.setdefault(key, _Held())

    def _write(self, key: ChannelKey, held: _Held) -> None:
        """Apply all waiting changes with one write."""
        with self._lock:
            waiting = list(held.waiting)
        for attempt in range(_ATTEMPTS):
            try:
                self._apply(key, held, waiting)
                break
            except (Conflict, NotFound):
                held.outbox = None  # somebody else wrote it, or took it away: it is read again
                if attempt == _ATTEMPTS - 1:
                    raise
        for item in waiting:
            item.done = True

    def _apply(self, key: ChannelKey, held: _Held, waiting: Sequence["_Waiting"]) -> None:
        if held.outbox is None:
            self._read(key, held)
        assert held.outbox is not None
        outbox = held.outbox
        for item in waiting:
            outbox = item.change(outbox)
        if outbox != held.outbox:
            written = self._client.apply(self._path(key), self._body(key, outbox, held.version), manager=MANAGER)
            held.outbox, held.version = outbox, str(written["metadata"]["resourceVersion"])

    def _read(self, key: ChannelKey, held: _Held) -> None:
        try:
            _adopt(held, self._client.get(self._path(key)))
        except NotFound:
            held.outbox, held.version = Outbox(), ""

    def _path(self, key: ChannelKey) -> str:
        return resource("v1", "configmaps", namespace=self._namespace, name=configmap_name(key))

    def _body(self, key: ChannelKey, outbox: Outbox, version: str) -> dict[str, Any]:
        metadata: dict[str, Any] = {
            "name": configmap_name(key),
            "namespace": self._namespace,
            "labels": {LABEL: "true", "app.kubernetes.io/part-of": "virtwatch"},
            "annotations": {_CHANNEL: str(key)},
        }
        if version:
            metadata["resourceVersion"] = version
        text = json.dumps(encode(outbox), separators=(",", ":"))
        return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": {_DATA: text}}


def _adopt(held: _Held, document: Mapping[str, Any]) -> None:
    text = (document.get("data") or {}).get(_DATA, "")
    try:
        held.outbox = decode(json.loads(text))
    except ValueError as error:
        logger.error(
            "ConfigMap %s cannot be read as an outbox, so it starts empty: %s", document["metadata"]["name"], error
        )
        held.outbox = Outbox()
    held.version = str(document["metadata"]["resourceVersion"])
