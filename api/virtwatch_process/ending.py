"""How a process is told to end: by SIGINT or SIGTERM, or by a part of its own."""

import os
import select
import signal


class Ending:
    """Wait for the end of this process; made and waited for by the main thread.

    A `threading.Event` that a handler sets is not enough. Python runs handlers in the main thread, once something wakes
    it up: a signal that comes just before the thread sleeps, or that the kernel gives to another one, is not seen.
    What Python's C handler writes into this pipe is.
    """

    def __init__(self) -> None:
        self._read, self._write = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        self._poll = select.poll()
        self._poll.register(self._read, select.POLLIN)
        signal.set_wakeup_fd(self._write, warn_on_full_buffer=False)
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            if number is not signal.SIGHUP or signal.getsignal(number) is signal.SIG_DFL:  # else nohup ignores it
                signal.signal(number, self._signalled)

    def set(self) -> None:
        """End it, from any thread."""
        os.write(self._write, b"\0")

    def wait(self) -> None:
        """Sleep until the end."""
        self._poll.poll()

    @staticmethod
    def _signalled(number: int, _: object) -> None:
        signal.signal(number, signal.SIG_DFL)  # a second one does not wait
