"""Work on the disk, on a thread of its own: a disk that hangs holds up nothing but what waits for it."""

import threading
from collections.abc import Callable
from concurrent.futures import Future
from queue import SimpleQueue
from typing import TypeVar

T = TypeVar("T")


class DiskThread:
    """Do one piece of work after the other. It is a daemon: a process that ends leaves what hangs behind."""

    def __init__(self) -> None:
        self._work: SimpleQueue[Callable[[], None] | None] = SimpleQueue()
        self._thread: threading.Thread | None = None

    def submit(self, work: Callable[[], T]) -> "Future[T]":
        """Do this once all before it is done; return at once."""
        future: Future[T] = Future()

        def run() -> None:
            try:
                result = work()
            except Exception as error:  # noqa: BLE001 - not swallowed: who waits for the result gets it
                future.set_exception(error)
            else:
                future.set_result(result)

        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="journal", daemon=True)
            self._thread.start()
        self._work.put(run)
        return future

    def stop(self) -> None:
        """End once all is done; return at once."""
        self._work.put(None)
        self._thread = None

    def _run(self) -> None:
        while (run := self._work.get()) is not None:
            run()
