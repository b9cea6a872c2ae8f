# One leader among replicas, by a Lease, as client-go elects: nobody acts who does not hold it. The official client's
# election goes by the wall clock, which may be set: a follower's step forward would make two leaders.
import logging
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime

from virtwatch_kube.client import Json, KubeClient
from virtwatch_kube.errors import Conflict, KubeError, NotFound
from virtwatch_kube.outage import Outage
from virtwatch_kube.paths import LEASES, resource
from virtwatch_process.outages import Outages

logger = logging.getLogger(__name__)

# client-go's defaults: a dead leader is followed after 15 s; a live one that cannot renew gives up before that.
LEASE_S = 15
RENEW_S = 10.0
RETRY_S = 2.0
# A leader that has not renewed for so long stops, whatever its renewing thread hangs in; followers wait for LEASE_S.
GIVE_UP_S = 13.0
# To connect, to read: a silent API server must not hold up the next try.
CONNECT_TIMEOUT_S, READ_TIMEOUT_S = 2.0, 3.0
_RELEASE_S = 1.0
_MANAGER = "virtwatch-election"


class Election:
    """Stand for leader. `elected` is called once, on a thread of its own, when the Lease is held.

    `clock` gives seconds that continue while the process is stopped, and that nobody sets. `outages` are those of the
    process, of which one line says enough.
    """

    def __init__(
        self,
        *,
        client: KubeClient,
        namespace: str,
        name: str,
        identity: str,
        elected: Callable[[], None],
        outages: Outages | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.reached = False  # the API server has answered: this replica takes part
        self._client = client
        self._namespace = namespace
        self._name = name
        self._identity = identity
        self._elected = elected
        self._clock = clock
        self._held = False
        self._ended = False
        self._renewed = 0.0
        self._seen: Json = {}
        self._seen_at = 0.0
        self._lock = threading.Lock()  # of the Lease: renewed or released
        self._stopping = threading.Event()
        self._outage = Outage(
            f"The Lease {namespace}/{name}", consequence="it is tried again, or who leads ends", among=outages
        )
        self._thread = threading.Thread(target=self._run, name="election", daemon=True)

    def start(self) -> None:
        """Begin; return at once."""
        logger.info("Waiting for the Lease %s/%s as %s", self._namespace, self._name, self._identity)
        self._thread.start()

    @property
    def lost(self) -> bool:
        """Return whether the Lease was held and is not any more: the process must end at once."""
        return self._held and (self._ended or self._clock() - self._renewed > GIVE_UP_S)

    @property
    def leads(self) -> bool:
        """Return whether the Lease is held now; to be asked before each write."""
        return self._held and not self.lost

    def release(self) -> None:
        """Give the Lease up so that a follower takes it at its next look; to be called when nothing acts any more."""
        self._stopping.set()
        if not self._lock.acquire(timeout=_RELEASE_S):
            return  # it is in a request that hangs: the Lease expires
        try:
            if not self.leads:
                return
            self._ended = True
            lease = self._client.get(self._path)
            if lease["spec"].get("holderIdentity") == self._identity:
                self._put(lease, {**lease["spec"], "holderIdentity": ""})
        except KubeError as error:
            logger.info("The Lease %s/%s is not released, it expires: %s", self._namespace, self._name, error)
        finally:
            self._lock.release()

    @property
    def _path(self) -> str:
        return resource(LEASES, "leases", namespace=self._namespace, name=self._name)

    def _run(self) -> None:
        while not self._stopping.is_set() and not self.lost:
            try:
                with self._lock:
                    self._turn()
            except KubeError as error:
                self._outage.failed(error)
                if self._held and self._clock() - self._renewed > RENEW_S:
                    self._ended = True
            except Exception as error:  # noqa: BLE001 - the loop's edge: a Lease of a shape that nobody expects
                self._outage.failed(error)
            else:
                self._outage.healed()
            self._stopping.wait(RETRY_S)

    def _turn(self) -> None:
        """Look at the Lease; take it where nobody holds it, renew it where this replica does."""
        if self._stopping.is_set():
            return
        begun = self._clock()
        lease = self._read()
        self.reached = True
        spec: Json = (lease or {}).get("spec") or {}
        if spec != self._seen or lease is None:
            self._seen, self._seen_at = spec, begun
        holder = spec.get("holderIdentity") or ""
        if holder not in ("", self._identity):
            if self._held:
                self._ended = True
                return
            if begun - self._seen_at < float(spec.get("leaseDurationSeconds") or LEASE_S):
                return
        try:
            self._write(lease, spec, mine=holder == self._identity)
        except Conflict:
            return  # another replica was faster
        self._renewed = begun
        if not self._held:
            self._held = True
            logger.info("Holding the Lease %s/%s", self._namespace, self._name)
            threading.Thread(target=self._elected, name="leader", daemon=True).start()

    def _read(self) -> Json | None:
        try:
            return self._client.get(self._path)
        except NotFound as error:
            if error.reason != "NotFound":
                raise
            return None

    def _write(self, lease: Json | None, spec: Json, *, mine: bool) -> None:
        now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        wanted = {
            "holderIdentity": self._identity,
            "leaseDurationSeconds": LEASE_S,
            "acquireTime": spec.get("acquireTime") or now if mine else now,
            "renewTime": now,
            "leaseTransitions": int(spec.get("leaseTransitions") or 0) + (0 if mine else 1),
        }
        if lease is None:
            metadata = {"namespace": self._namespace, "name": self._name}
            body = {"apiVersion": LEASES, "kind": "Lease", "metadata": metadata, "spec": wanted}
            written = self._client.create(resource(LEASES, "leases", namespace=self._namespace), body, manager=_MANAGER)
        else:
            written = self._put(lease, wanted)
        self._seen, self._seen_at = written["spec"], self._clock()

    def _put(self, lease: Json, spec: Json) -> Json:
        return self._client.replace(self._path, {**lease, "spec": spec}, manager=_MANAGER)
