"""When a target does what is no normal run: nothing is learned of it then, and nothing found."""

_BOOT_S = 600.0
_AFTER_S = 120.0
_MIGRATION_S = 3600.0  # at most, should its end not be seen
# event: (what the target does, for how many seconds at most)
_BEGINS = {
    "vm.started": ("the VM boots", _BOOT_S),
    "vm.rebooted": ("the VM boots", _BOOT_S),
    "vm.resumed": ("the VM catches up after a pause", _AFTER_S),
    "vm.paused": ("the VM is paused", 24 * 3600.0),
    "vm.stopped": ("the VM is stopped", float("inf")),
    "vm.migration_started": ("the VM migrates", _MIGRATION_S),
    "vm.migration_completed": ("the VM settles after its migration", _AFTER_S),
    "vm.migration_failed": ("the VM settles after its migration", _AFTER_S),
    # That they begin is looked for only where somebody asks, for it costs questions: anomalies do without.
    "vm.backup_completed": ("the VM settles after its backup", _AFTER_S),
    "vm.backup_failed": ("the VM settles after its backup", _AFTER_S),
    "vm.snapshot_created": ("the VM settles after its snapshot", _AFTER_S),
    "vm.snapshot_deleted": ("the VM settles after its snapshot", _AFTER_S),
}
PAUSING = frozenset(_BEGINS)


class Pause:
    """Remember what the target does, and until when at most."""

    __slots__ = ("until", "why")

    def __init__(self) -> None:
        self.why = ""
        self.until = float("-inf")

    def on(self, at: float) -> bool:
        """Return whether nothing is to be learned."""
        return at < self.until

    def note(self, event: str, *, at: float) -> None:
        """Take an event; the newest says what continues, but a boot is not over because of a resume."""
        why, seconds = _BEGINS[event]
        if event == "vm.resumed" and at + seconds < self.until and self.why == "the VM boots":
            return
        self.why, self.until = why, at + seconds

    def moved(self, seconds: float) -> None:
        """Follow a clock that was set."""
        self.until += seconds
