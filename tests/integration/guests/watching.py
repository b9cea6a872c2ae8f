"""Watch a daemon's domain events from a process of its own: libvirt has one event loop for a whole process."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from queue import Empty, Queue
from threading import Thread

PROGRAM = """
import sys, libvirt
libvirt.virEventRegisterDefaultImpl()
connection = libvirt.openReadOnly(sys.argv[1])
def say(name):
    def event(connection, domain, *rest):
        print(name, domain.name(), *rest[:-1], flush=True)
    return event
for name in ("LIFECYCLE", "REBOOT", "WATCHDOG", "IO_ERROR_REASON"):
    connection.domainEventRegisterAny(None, getattr(libvirt, "VIR_DOMAIN_EVENT_ID_" + name), say(name), None)
print("registered", flush=True)
while True:
    libvirt.virEventRunDefaultImpl()
"""
ENDED = ""


class Events:
    """The lines "KIND DOMAIN DETAILS..." of the events that came, in order."""

    def __init__(self, uri: str) -> None:
        command = [sys.executable, "-c", PROGRAM, uri]
        self._process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        self._lines: Queue[str] = Queue()
        self._reader = Thread(target=self._read, daemon=True)
        self._reader.start()

    def expect(self, start: str, deadline: float = 60) -> str:
        """Return the next event that starts so, skipping others; fail after `deadline` seconds of silence."""
        seen: list[str] = []
        while True:
            try:
                line = self._lines.get(timeout=deadline)
            except Empty:
                line = ENDED
            if line == ENDED:
                raise AssertionError(f"No event {start!r} came, only {seen}.")
            if line.startswith(start):
                return line
            seen.append(line)

    def close(self) -> None:
        self._process.kill()
        self._process.wait()
        self._reader.join()

    def _read(self) -> None:
        assert self._process.stdout is not None
        with self._process.stdout as out:
            for line in out:
                self._lines.put(line.strip())
        self._lines.put(ENDED)


@contextmanager
def events_of(uri: str) -> Iterator[Events]:
    """Watch until the block ends."""
    events = Events(uri)
    try:
        events.expect("registered")
        yield events
    finally:
        events.close()
