"""The calls on one connection, one after the other.

libvirt's client may crash the whole process when two threads call on one connection (CVE-2024-4418: who waits is
woken and leaves a pointer into its stack behind), and Debian 12 ships it so. It also means that a hung libvirt costs
one thread.
"""

from collections import deque
from collections.abc import Callable
from functools import partial
from typing import TypeVar

from virtwatch_agent.collect.libvirt.call_pool import Call, CallPool
from virtwatch_agent.collect.libvirt.connection import Connection

T = TypeVar("T")


class CallQueue:
    """Make calls on one connection; used on the collector's thread only."""

    def __init__(self, connection: Connection, pool: CallPool) -> None:
        self.connection = connection
        self._pool = pool
        self._waiting: deque[Call[object]] = deque()
        self._busy = False
        self._closed = False

    def submit(self, call: Call[T]) -> None:
        """Make a call when those before it have returned; none comes back after `close`."""
        if not self._closed:
            self._waiting.append(call)  # type: ignore[arg-type] # T is the call's own affair
            self._next()

    def close(self) -> None:
        """Close the connection when the call that runs has returned; drop those that wait."""
        if self._closed:
            return
        self._waiting.clear()
        self.submit(Call(run=self.connection.close, done=lambda _: None, failed=lambda _: None))
        self._closed = True

    def _next(self) -> None:
        if self._busy or not self._waiting:
            return
        self._busy = True
        call = self._waiting.popleft()
        self._pool.submit(
            Call(
                run=call.run,
                done=partial(self._returned, call.done),
                failed=partial(self._returned, call.failed),
                overdue=partial(self._overdue, call.overdue),
            )
        )

    def _returned(self, tell: Callable[[T], None], outcome: T) -> None:
        self._busy = False
        if not self._closed:
            tell(outcome)
        self._next()

    def _overdue(self, tell: Callable[[], None]) -> None:
        if not self._closed:
            tell()
