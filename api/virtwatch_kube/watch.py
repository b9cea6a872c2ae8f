# List, then watch from there; each new list replaces the copy, so that nothing stays that was deleted in a gap.
import logging
import random
import threading
import time
from collections.abc import Callable

from virtwatch_kube.client import Json, KubeClient, Snapshot
from virtwatch_kube.errors import Expired, Forbidden, KubeError, NotFound
from virtwatch_kube.outage import Outage
from virtwatch_kube.stream import SILENCE_S, EventStream
from virtwatch_process.backoff import Backoff
from virtwatch_process.outages import Outages

logger = logging.getLogger(__name__)

OnChange = Callable[[Json | None, Json | None], None]
Key = tuple[str, str]

FIRST_DELAY_S = 0.2
MAX_DELAY_S = 10.0
REFUSALS = 5  # in a row mean it: an API server that starts, and a token that rotates, are refused for a moment
ABSENT_DELAY_S = 60.0  # between looks for a kind that need not be there
STOP_DEADLINE_S = 5.0
STALE_S = SILENCE_S + 30.0  # without a word, bookmarks included, and in vain tried again


_KEPT = frozenset(("namespace", "name", "uid", "resourceVersion"))


class Watch:
    """Keep a copy of a collection and call `on_change(old, new)` for each change, in order, on the watch's own thread.

    `old` is None for a new object, `new` for a deleted one; an unchanged object is never delivered again. `on_synced()`
    follows each complete list, so it comes also when there is nothing. Until the API server answers, and while it is
    lost, the last copy stays. With `required=False` an absent kind is an empty collection, and `absent` says so; where
    an administrator may take the right to read it away, `forbidden_delay` is after how many seconds to try again, once
    it was refused a few times. `outages` are those of the process, of which one line says enough. With `metadata_only`
    documents have no spec and no status. `keep` says what of a document stays in memory, as `old` and in `objects()`;
    `new` is whole. It must leave the metadata's namespace, name, uid and resourceVersion.

    `synced` says that a complete list was delivered; `last_contact` is when the API server last said something,
    monotonic seconds.
    """

    def __init__(
        self,
        path: str,
        *,
        client: KubeClient,
        labels: str = "",
        fields: str = "",
        on_change: OnChange,
        on_synced: Callable[[], None] = lambda: None,
        name: str,
        required: bool = True,
        forbidden_delay: float = 0.0,
        metadata_only: bool = False,
        keep: Callable[[Json], Json] = lambda document: document,
        outages: Outages | None = None,
    ) -> None:
        self.synced = self.absent = False
        self.last_contact: float | None = None
        self._path = path
        self._client = client
        self._labels = labels
        self._fields = fields
        self._on_change = on_change
        self._on_synced = on_synced
        self._name = name
        self._required = required
        self._forbidden_delay = forbidden_delay
        self._refusals = 0  # in a row
        self._stale_after = STALE_S if required else STALE_S + ABSENT_DELAY_S
        self._metadata_only = metadata_only
        self._keep = keep
        self._objects: dict[Key, Json] = {}
        self._lock = threading.Lock()
        self._version = ""  # of the last thing heard; empty when a list is due
        self._interrupted = False
        self._stream: EventStream | None = None
        self._stopping = threading.Event()
        self._backoff = Backoff(first=FIRST_DELAY_S, cap=MAX_DELAY_S)
        self._outage = Outage(f"The watch of {name}", consequence="going on with what is known", among=outages)
        self._thread = threading.Thread(target=self._run, name=f"watch-{name}", daemon=True)

    def start(self) -> None:
        """Begin; return at once."""
        self._thread.start()

    def stop(self, deadline: float = STOP_DEADLINE_S) -> None:
        """End within `deadline` seconds; nothing is delivered after that."""
        self._stopping.set()
        if self._stream is not None:
            self._stream.cut()
        self._thread.join(deadline)

    @property
    def fresh(self) -> bool:
        """Return whether the API server has said something lately, be it that there is nothing new."""
        received = self.last_contact
        return received is not None and time.monotonic() - received < self._stale_after

    def objects(self) -> list[Json]:
        """Return the objects as last heard; not to be changed."""
        with self._lock:
            return list(self._objects.values())

    def find(self, name: str, namespace: str = "") -> Json | None:
        """Return one object as last heard, not to be changed; None where there is none."""
        with self._lock:
            return self._objects.get((namespace, name))

    def _run(self) -> None:
        while not self._stopping.is_set():
            self._stopping.wait(self._attempt())

    def _attempt(self) -> float:
        """List if it is due and watch until the stream ends; return the seconds to wait before the next attempt."""
        try:
            if self._interrupted and self._version and self._rewound():
                self._version = ""
            if not self._version:
                self._list()
            return self._watch()
        except Expired:
            self._version = ""
        except KubeError as error:
            self._interrupted = True
            if isinstance(error, NotFound) and not self._required:
                self._received()
                return self._absent()
            self._outage.failed(error)
            delay = max(self._backoff.delay(), min(error.retry_after or 0.0, MAX_DELAY_S))
            self._refusals = self._refusals + 1 if isinstance(error, Forbidden) else 0
            return max(delay, self._forbidden_delay) if self._refusals >= REFUSALS else delay
        except Exception as error:  # noqa: BLE001 - the loop's edge: a document of a shape that nobody expects
            self._version = ""
            self._outage.failed(error)
        return self._backoff.delay()

    def _watch(self) -> float:
        stream = self._stream = EventStream(
            self._path,
            client=self._client,
            version=self._version,
            selectors={"labelSelector": self._labels, "fieldSelector": self._fields},
            metadata_only=self._metadata_only,
        )
        if self._stopping.is_set():
            stream.cut()
        self._received()
        self._outage.healed()
        begun = time.monotonic()
        for event in stream:
            if self._stopping.is_set():
                break
            self._received()
            self._backoff.reset()
            self._take(event)
        # An end before its time is how an API server looks that goes down in order.
        lived = time.monotonic() - begun
        self._interrupted = lived < stream.life - 1
        if lived > MAX_DELAY_S:
            self._backoff.reset()  # it did not fail: nothing moved for so long that it counts as silent
        return self._backoff.delay() if self._interrupted else 0.0

    def _rewound(self) -> bool:
        """Return whether the API server went back behind the copy (etcd restored, emptied): a watch would be mute."""
        now = self._snapshot(at_most=1).version
        self._interrupted = False
        return now.isdecimal() and self._version.isdecimal() and int(now) < int(self._version)

    def _list(self) -> None:
        listed = self._snapshot()
        self._received()
        self._refusals = 0
        self.absent = False
        self._replace(listed.items)
        self._version = listed.version

    def _snapshot(self, at_most: int | None = None) -> Snapshot:
        return self._client.snapshot(
            self._path,
            labels=self._labels,
            fields=self._fields,
            at_most=at_most,
            metadata_only=self._metadata_only,
        )

    def _absent(self) -> float:
        self._version = ""
        self.absent = True
        self._replace([])
        self._outage.healed()
        return ABSENT_DELAY_S * random.uniform(0.8, 1.2)

    def _replace(self, items: list[Json]) -> None:
        fresh = {_key(item): item for item in items}
        with self._lock:
            gone = [key for key in self._objects if key not in fresh]
        for key in gone:
            self._put(key, None)
        for key, item in fresh.items():
            self._put(key, item)
        self.synced = True
        self._guard(self._on_synced)

    def _take(self, event: Json) -> None:
        item = event["object"]
        if event["type"] != "BOOKMARK":
            self._put(_key(item), None if event["type"] == "DELETED" else item)
        self._version = item["metadata"]["resourceVersion"]

    def _put(self, key: Key, new: Json | None) -> None:
        with self._lock:
            old = self._objects.pop(key, None)
            if new is not None:
                self._objects[key] = self._keep(new)
        if old is not None and new is not None:
            if _same(old, new, "resourceVersion"):
                return
            if not _same(old, new, "uid"):
                # Deleted and made again under its name while nobody listened.
                self._guard(self._on_change, old, None)
                old = None
        if old is not None or new is not None:
            self._guard(self._on_change, old, new)

    def _guard(self, handler: Callable[..., None], *arguments: Json | None) -> None:
        if self._stopping.is_set():
            return
        try:
            handler(*arguments)
        except Exception:
            logger.exception("A handler of the watch of %s failed; the watch continues", self._name)

    def _received(self) -> None:
        self.last_contact = time.monotonic()


def _key(item: Json) -> Key:
    metadata = item["metadata"]
    return metadata.get("namespace", ""), metadata["name"]


def _same(old: Json, new: Json, field: str) -> bool:
    return bool(old["metadata"].get(field) == new["metadata"].get(field))


def bare(document: Json) -> Json:
    """Keep of an object what it is called, for those who need no more of it in memory."""
    kept = {name: value for name, value in document["metadata"].items() if name in _KEPT}
    return {"metadata": kept}
