"""Calls that may never return, on threads that may be given up."""

import threading
from collections.abc import Callable
from dataclasses import dataclass
from queue import SimpleQueue
from typing import Generic, TypeVar

from virtwatch_agent.seams import Clock

T = TypeVar("T")
Post = Callable[[Callable[[], None]], None]


def _ignore() -> None:
    """Do nothing about a call that takes long."""


@dataclass(frozen=True, slots=True)
class Call(Generic[T]):
    """Describe one call: `done` or `failed` is posted when it returns, however late; `overdue` once before that."""

    run: Callable[[], T]
    done: Callable[[T], None]
    failed: Callable[[Exception], None]
    overdue: Callable[[], None] = _ignore


@dataclass(slots=True)
class _Running:
    call: Call[object]
    deadline: float
    overdue: bool = False


class CallPool:
    """Run calls on daemon threads. One that passes its deadline costs its own thread, which is replaced."""

    def __init__(self, post: Post, clock: Clock, *, deadline: float, size: int) -> None:
        """Post outcomes with `post`; `deadline` is seconds from a call's begin, `size` the threads that are well."""
        self._post = post
        self._clock = clock
        self._deadline = deadline
        self._size = size
        self._calls: SimpleQueue[Call[object] | None] = SimpleQueue()
        self._lock = threading.Lock()
        self._running: dict[threading.Thread, _Running] = {}
        self._threads: set[threading.Thread] = set()
        self._waiting = 0  # calls that no thread has taken yet
        self._lost = 0  # threads whose call is overdue
        self.calls = 0  # since the start
        self._closed = False

    @property
    def lost(self) -> int:
        """Count the calls that are overdue and have not returned."""
        return self._lost

    @property
    def running(self) -> int:
        """Count the calls in flight, overdue or not."""
        return len(self._running)

    @property
    def resting(self) -> bool:
        """Return whether no call waits or runs, so that none can become overdue; from the thread that submits."""
        with self._lock:
            return not self._waiting and not self._running

    def submit(self, call: Call[T]) -> None:
        """Run a call as soon as a thread is free."""
        with self._lock:
            if self._closed:
                return
            self._waiting += 1
            self.calls += 1
            self._calls.put(call)  # type: ignore[arg-type] # T is the call's own affair
            self._staff()

    def expire(self) -> None:
        """Give up calls past their deadline: their `overdue` runs here, in the caller's thread."""
        now = self._clock.monotonic()
        with self._lock:
            late = [running for running in self._running.values() if not running.overdue and running.deadline <= now]
            for running in late:
                running.overdue = True
            self._lost += len(late)
            self._staff()
        for running in late:
            running.call.overdue()

    def next_deadline(self) -> float | None:
        """Return when (monotonic seconds) to call `expire` next; None while nothing runs."""
        with self._lock:
            return min((running.deadline for running in self._running.values() if not running.overdue), default=None)

    def close(self, seconds: float) -> None:
        """Let calls that wait or run end within `seconds`; abandon the rest."""
        with self._lock:
            self._closed = True
            threads = [thread for thread in self._threads if not self._is_lost(thread)]
            for _ in threads:
                self._calls.put(None)
        end = self._clock.monotonic() + seconds
        for thread in threads:
            thread.join(max(0.0, end - self._clock.monotonic()))

    def _is_lost(self, thread: threading.Thread) -> bool:
        running = self._running.get(thread)
        return running is not None and running.overdue

    def _staff(self) -> None:
        """Start a thread when calls wait and fewer threads than `size` are well. The lock is held."""
        idle = len(self._threads) - len(self._running)
        while self._waiting > idle and len(self._threads) - self._lost < self._size:
            thread = threading.Thread(target=self._work, name="call", daemon=True)
            self._threads.add(thread)
            idle += 1
            thread.start()

    def _work(self) -> None:
        me = threading.current_thread()
        while (call := self._calls.get()) is not None:
            with self._lock:
                self._waiting -= 1
                running = self._running[me] = _Running(call, self._clock.monotonic() + self._deadline)
            outcome = _run(call)
            with self._lock:
                del self._running[me]
                if running.overdue:
                    self._lost -= 1
                    self._threads.discard(me)  # its replacement works already
            self._post(outcome)
            if running.overdue:
                return


def _run(call: Call[object]) -> Callable[[], None]:
    try:
        result = call.run()
    except Exception as error:  # noqa: BLE001 - not swallowed: `failed` gets it on the collector's thread
        caught = error
        return lambda: call.failed(caught)
    return lambda: call.done(result)
