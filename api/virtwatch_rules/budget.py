"""The memory that all windows of a process may take: above it all become coarser, and that is said."""

from collections.abc import Iterable
from typing import Protocol
from weakref import WeakSet

from virtwatch_api.policy import Function
from virtwatch_rules.coarse import FEWEST_CELLS, coarser, new_coarse
from virtwatch_rules.windows import Window, new_window

LIMIT_BYTES = 32 << 20
MOST_CELLS = 512  # of a window; one that is twice as long at most is kept sample by sample


class Shown(Protocol):
    """Name what the budget needs of a place that shows a window."""

    @property
    def window(self) -> Window:
        """Return the window that it shows."""

    @property
    def function(self) -> Function:
        """Return how it aggregates."""

    def show(self, window: Window) -> None:
        """Show another window of the same samples."""


class Holder(Protocol):
    """Name who has windows open."""

    def readings(self) -> Iterable[Shown]:
        """Return where they are shown."""


class WindowBudget:
    """Count the bytes of all windows; one budget serves all evaluators of a process."""

    def __init__(self, limit: int = LIMIT_BYTES) -> None:
        self.limit = limit
        self.used = 0
        self.cells = MOST_CELLS
        self._holders: WeakSet[Holder] = WeakSet()

    @property
    def problem(self) -> str:
        """Return a sentence that says how coarse windows had to become; empty while none had to."""
        if self.cells == MOST_CELLS:
            return ""
        most = f"windows of more than {2 * self.cells} samples keep {self.cells} values"
        reason = f"the windows of all rules may take {self.limit >> 20}Mi together"
        what = "shorten windows, lengthen intervals or let policies select less"
        return f"{most}: {reason}; to have them finer, {what}"

    def join(self, holder: Holder) -> None:
        """Make the windows of a holder coarser too when it comes to that."""
        self._holders.add(holder)

    def open(self, function: Function, size: int, interval: float) -> Window:
        """Open a window of so many instants."""
        window = self._new(function, size, interval)
        while self.used + window.bytes > self.limit and self.cells > FEWEST_CELLS:
            self._tighten()
            window = self._new(function, size, interval)
        self.used += window.bytes
        return window

    def free(self, window: Window) -> None:
        """Close a window."""
        self.used -= window.bytes

    def _new(self, function: Function, size: int, interval: float) -> Window:
        if size <= 2 * self.cells or function is Function.LAST:
            return new_window(function, size, interval)
        return new_coarse(function, size, interval, self.cells)

    def _tighten(self) -> None:
        self.cells //= 2
        self.used = 0
        for holder in self._holders:
            for shown in holder.readings():
                window = coarser(shown.window, shown.function, self.cells)
                shown.show(window)
                self.used += window.bytes
