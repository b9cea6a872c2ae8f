# Threads that take keys from a queue. This is a loop's edge: what goes wrong is logged, counted and tried again.
import logging
import threading
import time
from collections.abc import Callable
from typing import Generic

from virtwatch_kube.errors import KubeError
from virtwatch_kube.outage import Outage, concerns_all
from virtwatch_operator.workqueue import K, WorkQueue
from virtwatch_process.outages import Outages

logger = logging.getLogger(__name__)

_WAIT_S = 30.0  # for a key; an end is noticed at once


class Workers(Generic[K]):
    """Run `work` for each key that is due, on `threads` threads; what it raises makes its key wait and come again.

    One thread alone tries again what failed: however many keys hang in their time-outs, the others are worked on.
    """

    def __init__(self, queue: WorkQueue[K], work: Callable[[K], None], *, threads: int, outages: Outages) -> None:
        self._queue = queue
        self._work = work
        self._lock = threading.Lock()
        # An absent API server, or kind, is one fact, not one per key.
        self._server = Outage(
            f"The API server for {queue.name}", consequence="what waits is tried again", among=outages
        )
        self._said: dict[K, str] = {}
        self._threads = [
            threading.Thread(target=self._run, args=(index == 0,), name=f"{queue.name}-{index}", daemon=True)
            for index in range(threads)
        ]

    def start(self) -> None:
        """Begin; return at once."""
        for thread in self._threads:
            thread.start()

    def halt(self) -> None:
        """Begin no more work; return at once."""
        self._queue.close()

    def stop(self, deadline: float) -> None:
        """End; work that takes longer than `deadline` seconds is left behind, as a kill would leave it."""
        self.halt()
        end = time.monotonic() + deadline
        for thread in self._threads:
            thread.join(max(end - time.monotonic(), 0.0))

    @property
    def alive(self) -> bool:
        """Return whether no thread that was started has died."""
        return self._queue.closed or all(thread.ident is None or thread.is_alive() for thread in self._threads)

    def _run(self, suspects: bool) -> None:  # noqa: FBT001 - a thread's argument
        while not self._queue.closed:
            key = self._queue.take(_WAIT_S, suspects=suspects)
            if key is not None:
                self._turn(key)

    def _turn(self, key: K) -> None:
        try:
            self._work(key)
        except Exception as error:  # noqa: BLE001 - the loop's edge
            self._queue.failed(key)
            self._complain(key, error)
        else:
            self._queue.done(key)
            with self._lock:
                self._server.healed()
                if self._said.pop(key, None):
                    logger.info("%s: %s succeeds again", self._queue.name, key)

    def _complain(self, key: K, error: Exception) -> None:
        """Log a failure once, not once per try."""
        kind = type(error).__name__
        with self._lock:
            if concerns_all(error):
                self._server.failed(error)
            elif self._said.get(key) != kind:
                self._said[key] = kind
                trace = None if isinstance(error, KubeError) else error
                logger.error(
                    "%s: %s fails and is tried again: %s: %s", self._queue.name, key, kind, error, exc_info=trace
                )
