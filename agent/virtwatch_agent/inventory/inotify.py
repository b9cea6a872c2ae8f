"""The three calls of inotify that we need, through ctypes.

What an event says is never read: any event means "look again", and looking again adds all watches again, which is
idempotent. A library would bring a parser and threads.
"""

import ctypes
import os
from pathlib import Path

# <sys/inotify.h>: IN_MOVED_FROM | IN_MOVED_TO | IN_CREATE | IN_DELETE | IN_DELETE_SELF | IN_ONLYDIR
_MASK = 0x40 | 0x80 | 0x100 | 0x200 | 0x400 | 0x01000000
_libc = ctypes.CDLL(None, use_errno=True)


class Inotify:
    """Tell that something in a watched folder came or went; poll `descriptor` for reading."""

    def __init__(self) -> None:
        """Make an instance; OSError when the user's instances are used up (fs.inotify.max_user_instances)."""
        self.descriptor = _checked(_libc.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC))

    def watch(self, folder: Path) -> None:
        """Watch a folder; OSError when it is not there or the watches are used up (fs.inotify.max_user_watches)."""
        _checked(_libc.inotify_add_watch(self.descriptor, os.fsencode(folder), _MASK))

    def drain(self) -> None:
        """Forget what was reported."""
        try:
            while os.read(self.descriptor, 65536):
                pass
        except BlockingIOError:
            pass

    def close(self) -> None:
        """End all watches."""
        os.close(self.descriptor)


def _checked(result: int) -> int:
    if result < 0:
        error = ctypes.get_errno()
        raise OSError(error, os.strerror(error))
    return result
