"""The memory that all windows of a process may take: above it they become coarser, and that is said."""

from virtwatch_api.policy import Function
from virtwatch_rules.windows import Window, new_window

LIMIT_BYTES = 32 << 20


class WindowBudget:
    """Count the bytes of all windows."""

    def __init__(self, limit: int = LIMIT_BYTES) -> None:
        self.limit = limit
        self.used = 0

    def open(self, function: Function, size: int, interval: float) -> Window:
        """Open a window of so many slots."""
        window = new_window(function, size, interval)
        self.used += window.bytes
        return window

    def free(self, window: Window) -> None:
        """Close a window."""
        self.used -= window.bytes
