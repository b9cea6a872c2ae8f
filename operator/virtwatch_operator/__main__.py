"""The operator's process: settings, telemetry, health, election, and how it ends."""

import gc
import logging
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, NoReturn

from virtwatch_api import __version__
from virtwatch_api.policy_codec import GROUP
from virtwatch_kube.client import KubeClient
from virtwatch_kube.election import CONNECT_TIMEOUT_S, READ_TIMEOUT_S, Election
from virtwatch_kube.errors import KubeError
from virtwatch_operator.config import OperatorSettings
from virtwatch_operator.leader import Leader
from virtwatch_process.health import HealthServer
from virtwatch_process.outages import Outages
from virtwatch_telemetry import Providers, set_up
from virtwatch_telemetry.names import HashedNames

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import ReadableSpan

    from virtwatch_telemetry.page import Page

logger = logging.getLogger("virtwatch.operator")

LEASE = "virtwatch-operator"
_POLL_S = 0.2
# Hundreds of thousands of objects that live long are looked through again and again for cycles, which they do not have:
# with Python's own (700, 10, 10) that takes a third of the time in which a fleet's reports are read at a start.
_GARBAGE = (20_000, 20, 20)
_STOP_S = 2.5  # of the 5 s that an end may take
_FLUSH_S = 1.5
_LOST_FLUSH_S = 0.5  # the Lease is gone: a follower may act from now on


def main() -> NoReturn:
    """Run the operator until SIGTERM (0) or until it lost the Lease or a thread (1); end at wrong settings (2)."""
    code = _run()
    logging.shutdown()
    # What hangs in a request must not keep a replica alive that has lost the Lease.
    os._exit(code)


def _run() -> int:
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s", stream=sys.stderr)
    gc.set_threshold(*_GARBAGE)
    settings = OperatorSettings.from_environment(os.environ)
    if not isinstance(settings, OperatorSettings):
        for problem in settings:
            logger.error("%s", problem)
        return 2
    page = _page(settings)
    providers = set_up(
        "virtwatch-operator",
        resource_attributes=_resource(settings),
        env=os.environ,
        page=page,
        leave=_leave(settings),
    )
    try:
        if page is not None:
            page.serve(settings.metrics_port)
        return _Operator(settings, providers).run()
    except (KubeError, OSError) as error:
        logger.error("The operator cannot start: %s", error)
        return 2


def _page(settings: OperatorSettings) -> "Page | None":
    if not settings.metrics_port:
        return None
    from virtwatch_telemetry.page import Page  # it imports the SDK

    return Page()


def _leave(settings: OperatorSettings) -> "Callable[[ReadableSpan], ReadableSpan] | None":
    """Return what becomes of spans that leave the cluster, where names leave it hashed."""
    if not settings.hash_key:
        return None
    from virtwatch_operator.hashed_spans import HashedSpans  # it imports the SDK

    return HashedSpans(HashedNames(settings.hash_key))


def _resource(settings: OperatorSettings) -> Mapping[str, str]:
    return {
        "service.version": __version__,
        "service.instance.id": settings.pod,
        "k8s.namespace.name": settings.namespace,
        "k8s.pod.name": settings.pod,
    }


class _Operator:
    def __init__(self, settings: OperatorSettings, providers: Providers) -> None:
        self._providers = providers
        self._stop = threading.Event()
        self._leading = threading.Event()
        self._failed = threading.Event()
        outages = Outages()
        self._election = self._make_election(settings, outages) if settings.lease else None
        self._leader = Leader(settings, providers, leads=self._leads, outages=outages)
        self._health = HealthServer(settings.health_port, {"/healthz": self._alive, "/readyz": self._ready})

    def _make_election(self, settings: OperatorSettings, outages: Outages) -> Election:
        client = KubeClient.from_environment(connect_timeout=CONNECT_TIMEOUT_S, read_timeout=READ_TIMEOUT_S)
        return Election(
            client=client,
            namespace=settings.namespace,
            name=LEASE,
            identity=settings.identity,
            elected=self._lead,
            outages=outages,
            clock=_boot_time,
        )

    def _leads(self) -> bool:
        return self._election is None or self._election.leads

    def run(self) -> int:
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: self._stop.set())
        self._health.start()
        if self._election is not None:
            self._election.start()
        else:
            threading.Thread(target=self._lead, name="leader", daemon=True).start()
        logger.info("virtwatch operator %s, serving %s", __version__, GROUP)
        while not self._stop.wait(_POLL_S):
            if self._election is not None and self._election.lost:
                logger.error("The Lease is lost: ending, so that one replica alone acts; kubelet starts this one again")
                return self._end_at_once()
            if self._failed.is_set():
                return self._end_at_once()
        self._leader.stop(_STOP_S)
        if self._election is not None:
            self._election.release()
        self._providers.shutdown(_FLUSH_S)
        return 0

    def _end_at_once(self) -> int:
        self._leader.halt()
        self._providers.shutdown(_LOST_FLUSH_S)
        return 1

    def _lead(self) -> None:
        self._leading.set()
        try:
            self._leader.run()
        except Exception:
            logger.exception("Leading failed: ending, so that another replica leads; please report this")
            self._failed.set()

    def _alive(self) -> Mapping[str, str]:
        return {"threads": "" if self._leader.alive else "one has ended"}

    def _ready(self) -> Mapping[str, str]:
        if self._leading.is_set():
            return {part: "" if holds else "not yet" for part, holds in self._leader.ready().items()}
        reached = self._election is not None and self._election.reached
        return {"the Lease can be read": "" if reached else "not yet"}


def _boot_time() -> float:
    """Return seconds that continue while the machine sleeps: a leader that slept past its Lease must notice."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


if __name__ == "__main__":
    main()
