# Runs kopf on a thread and loop of its own: on its way out it cancels every task that it finds on its loop.
import asyncio
import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import partial
from typing import Any

import kopf

from virtwatch_kube.errors import KubeError, Unavailable
from virtwatch_kube.outage import Outage
from virtwatch_process.backoff import Backoff
from virtwatch_process.outages import Outages

logger = logging.getLogger(__name__)

_IDENTITY = "virtwatch-operator"
_END_S = 8.0  # that kopf may take to end; it waits 5 s for what it calls hung tasks
_FIRST_RETRY_S = 0.5
_MAX_RETRY_S = 5.0
_TRIES = 5


class JitteredBackoffs:
    """Iterate over a few delays that double, spread over the upper half.

    Then kopf gives up, which is logged here, and is started again: with delays without end it would never say why it
    serves nothing.
    """

    def __iter__(self) -> Iterator[float]:
        """Return fresh delays in seconds, 6 to 11 in all."""
        backoff = Backoff(first=_FIRST_RETRY_S, cap=_MAX_RETRY_S)
        for _ in range(_TRIES):
            yield backoff.delay()


def kopf_settings() -> kopf.OperatorSettings:
    """Return settings under which kopf writes nothing and needs no more rights than reading what it serves."""
    settings = kopf.OperatorSettings()
    settings.scanning.disabled = True
    settings.peering.standalone = True
    settings.posting.enabled = False
    settings.watching.chunk_size = 500
    settings.watching.reconnect_backoff = 1.0
    settings.networking.request_timeout = 30
    settings.networking.error_backoffs = JitteredBackoffs()
    # Should anyone ever add a handler that persists: under our own name, never in kopf's.
    settings.persistence.finalizer = "virtwatch.io/finalizer"
    settings.persistence.diffbase_storage = kopf.AnnotationsDiffBaseStorage(prefix="virtwatch.io", v1=False)
    settings.persistence.progress_storage = kopf.AnnotationsProgressStorage(prefix="virtwatch.io", v1=False)
    return settings


class KopfThread:
    """Keep kopf running: it gives up when a kind is taken away, and is started again.

    `check` raises while kopf would find nothing to serve.
    """

    def __init__(
        self, make_registry: Callable[[], kopf.OperatorRegistry], *, check: Callable[[], None], outages: Outages
    ) -> None:
        self._make_registry = make_registry
        self._check = check
        self._stopping = threading.Event()
        self._end: Callable[[], object] = lambda: None
        self._backoff = Backoff(first=1.0, cap=_MAX_RETRY_S)
        self._outage = Outage("The watch of policies and channels", consequence="it is restarted", among=outages)
        self._thread = threading.Thread(target=self._run, name="kopf", daemon=True)

    def start(self) -> None:
        """Begin; return at once."""
        # kopf logs each retry as an error, and what it gives up on as several; that reaches us, to be logged once.
        logging.getLogger("kopf").setLevel(logging.CRITICAL)
        logging.getLogger("kopf.objects").setLevel(logging.ERROR)
        self._thread.start()

    def stop(self, deadline: float) -> None:
        """End; what takes longer than `deadline` seconds is left behind."""
        self._stopping.set()
        with suppress(RuntimeError):  # its loop is closed already
            self._end()
        if self._thread.ident is not None:
            self._thread.join(deadline)

    def restart(self) -> None:
        """Restart the watch: kopf then lists what it has not delivered."""
        with suppress(RuntimeError):
            self._end()

    @property
    def alive(self) -> bool:
        """Return whether the thread, once started, is still there."""
        return self._stopping.is_set() or self._thread.ident is None or self._thread.is_alive()

    def _run(self) -> None:
        while not self._stopping.is_set():
            try:
                self._check()
                self._outage.healed()
                asyncio.run(self._serve())
            except Exception as error:  # noqa: BLE001 - the loop's edge
                known = isinstance(error, KubeError)
                self._outage.failed(error if known else Unavailable(f"kopf gave up: {type(error).__name__}: {error}"))
                self._stopping.wait(self._backoff.delay())

    async def _serve(self) -> None:
        # Not the thread's own flag: kopf would wait for it in an executor, which keeps a loop that failed from closing.
        stop, ending = asyncio.Event(), asyncio.Event()
        loop = asyncio.get_running_loop()
        # kopf leaves tasks behind that failed; what made it end is raised below.
        loop.set_exception_handler(lambda _, context: logger.debug("kopf left behind: %s", context.get("message")))
        self._end = partial(loop.call_soon_threadsafe, stop.set)
        if self._stopping.is_set():
            return
        registry = self._make_registry()

        @kopf.on.cleanup(registry=registry)
        async def cleanup(**_: Any) -> None:
            ending.set()

        noticed = asyncio.create_task(ending.wait())
        serving = asyncio.create_task(
            kopf.operator(
                registry=registry,
                settings=kopf_settings(),
                # Else kopf asks for the user's name, and a container's uid has none.
                identity=_IDENTITY,  # type: ignore[arg-type]  # a NewType of its own
                standalone=True,
                clusterwide=True,
                stop_flag=stop,
            )
        )
        await asyncio.wait({serving, noticed}, return_when=asyncio.FIRST_COMPLETED)
        noticed.cancel()
        while not serving.done():
            # A watcher that was retrying may swallow its cancellation and wait for a login that nobody answers.
            await asyncio.wait({serving}, timeout=_END_S)
            serving.cancel()
        if serving.cancelled():
            raise Unavailable("kopf gave up and could not end")
        serving.result()
