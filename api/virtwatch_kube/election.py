# mypy: allow-untyped-calls
# One leader among replicas, by a Lease, as client-go elects: nobody acts who does not hold it.
import logging
import threading
import time
from collections.abc import Callable
from http import HTTPStatus
from typing import Any

from kubernetes import client as official
from kubernetes.leaderelection.electionconfig import Config
from kubernetes.leaderelection.leaderelection import LeaderElection
from kubernetes.leaderelection.resourcelock.leaselock import LeaseLock
from urllib3.exceptions import HTTPError

from virtwatch_kube.client import configuration_from_environment
from virtwatch_kube.errors import Forbidden, Unavailable
from virtwatch_kube.outage import Outage

logger = logging.getLogger(__name__)

# client-go's defaults: a dead leader is followed after 15 s; a live one that cannot renew gives up before that.
LEASE_S = 15
RENEW_S = 10
RETRY_S = 2
# A leader that has not renewed for so long stops, whatever its renewing thread hangs in; followers wait for LEASE_S.
GIVE_UP_S = 13.0
_TIMEOUT_S = (2.0, 3.0)  # to connect, to read: a silent API server must not hold up the next try
_SUSPICIOUS = 3


class Election:
    """Stand for leader. `elected` is called once, on a thread of its own, when the Lease is held."""

    def __init__(self, *, namespace: str, name: str, identity: str, elected: Callable[[], None]) -> None:
        self._elected = elected
        self._held = False
        self._ended = threading.Event()
        self._lock = _Lock(name, namespace, identity)
        self._thread = threading.Thread(target=self._run, name="election", daemon=True)
        # Its lines come each 2 s; what matters of them is said here.
        logging.getLogger("leaderelection").setLevel(logging.ERROR)

    def start(self) -> None:
        """Begin; return at once."""
        logger.info("Waiting for the Lease %s/%s as %s", self._lock.namespace, self._lock.name, self._lock.identity)
        self._thread.start()

    @property
    def reached(self) -> bool:
        """Tell whether the API server has answered: this replica takes part."""
        return self._lock.reached

    @property
    def lost(self) -> bool:
        """Tell whether the Lease was held and is not any more: the process must end at once."""
        return self._held and (self._ended.is_set() or time.monotonic() - self._lock.renewed > GIVE_UP_S)

    def release(self) -> None:
        """Give the Lease up so that a follower takes it at its next look; to be called when nothing acts any more."""
        if self._held and not self.lost:
            self._lock.release()

    def _run(self) -> None:
        while not self._held:
            election = LeaderElection(Config(self._lock, LEASE_S, RENEW_S, RETRY_S, self._lead, self._ended.set))
            try:
                election.run()
            except Exception:
                logger.exception("The election of a leader failed; it is begun anew")
                time.sleep(RETRY_S)
        self._ended.set()

    def _lead(self) -> None:
        self._held = True
        logger.info("Holding the Lease %s/%s", self._lock.namespace, self._lock.name)
        self._elected()


class _Lock(LeaseLock):
    """Renew with time-outs, remember when that last succeeded, and say what stands in the way."""

    def __init__(self, name: str, namespace: str, identity: str) -> None:
        super().__init__(name, namespace, identity)
        self.api_instance = official.CoordinationV1Api(_ImpatientApi(configuration_from_environment()))
        self.renewed = 0.0
        self.reached = False
        self._released = False
        self._refusals = 0
        lease = f"The Lease {namespace}/{name}"
        self._outage = Outage(lease, consequence="it is tried again, or who leads ends")

    def get(self, name: str, namespace: str) -> tuple[bool, Any]:
        found, record = super().get(name, namespace)
        if found or record.status == HTTPStatus.NOT_FOUND:
            self.reached = True
            self._outage.healed()
        else:
            kind = Forbidden if record.status in (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN) else Unavailable
            self._outage.failed(kind(f"{record.status or 'No answer'}: {record.reason}"))
        return found, record

    def create(self, name: str, namespace: str, election_record: Any) -> bool:
        return self._written(lambda: super(_Lock, self).create(name, namespace, election_record))

    def update(self, name: str, namespace: str, updated_record: Any) -> bool:
        return not self._released and self._written(lambda: super(_Lock, self).update(name, namespace, updated_record))

    def release(self) -> None:
        found, record = self.get(self.name, self.namespace)
        self._released = True
        if found and record.holder_identity == self.identity:
            record.holder_identity = ""
            super().update(self.name, self.namespace, record)

    def _written(self, attempt: Callable[[], bool]) -> bool:
        begun = time.monotonic()
        succeeded = attempt()
        if succeeded:
            self.renewed = begun
        # Another replica being faster refuses a write now and then; three in a row have another cause.
        self._refusals = 0 if succeeded else self._refusals + 1
        if self._refusals == _SUSPICIOUS:
            logger.warning(
                "The Lease %s/%s can be read but not written: apply the RBAC of virtwatch's manifests/",
                self.namespace,
                self.name,
            )
        return succeeded


class _ImpatientApi(official.ApiClient):
    """Give each request a time-out, and fail in the one way that LeaseLock knows."""

    def call_api(self, *arguments: Any, **options: Any) -> Any:
        try:
            answer = super().call_api(*arguments, **{**options, "_request_timeout": _TIMEOUT_S})
            answer.read()
        except (HTTPError, OSError) as error:
            raise official.ApiException(status=0, reason=str(error)) from error
        return answer
