"""One event of the world is said once, however often and in however many ways libvirt reports it."""

_REBOOT_REPEATS = 2.0  # seconds; libvirt reports one reset 2 or 3 times within 0.6 s
_REPORT_PACE = 1.0  # seconds; a disk that fails on and reports each failure to the guest is said this often


class Reboots:
    """Say one reboot once."""

    def __init__(self) -> None:
        self._received: dict[str, float] = {}

    def received(self, uuid: str, at: float) -> bool:
        """Return whether this is a reboot of its own; `at` is seconds."""
        last = self._received.get(uuid)
        self._received[uuid] = at
        return last is None or abs(at - last) > _REBOOT_REPEATS

    def forget(self, uuid: str) -> None:
        """Drop a domain."""
        self._received.pop(uuid, None)


class IoErrors:
    """Say each I/O error once: heard as such, or inferred from the pause that it caused.

    libvirt does not tell the I/O error of a network disk that has no source name, but it tells the pause.
    """

    def __init__(self) -> None:
        self._said: dict[str, dict[tuple[str, str], float]] = {}

    def received(self, uuid: str, *, device: str, action: str, at: float) -> bool:
        """Return whether to say an error that was heard."""
        said = self._said.setdefault(uuid, {})
        if action == "pause":
            # One pause is one error, also when requests in flight fail one after another, also when it was inferred.
            known = (device, action) in said or ("", action) in said
        else:
            last = said.get((device, action))
            known = last is not None and abs(at - last) < _REPORT_PACE
        if not known:
            said[device, action] = at
        return not known

    def paused(self, uuid: str, at: float) -> bool:
        """Return whether the error behind a pause must be inferred: nothing that caused it was said."""
        said = self._said.setdefault(uuid, {})
        if any(action == "pause" for _, action in said):
            return False
        said["", "pause"] = at
        return True

    def ended(self, uuid: str) -> None:
        """Note that a domain runs again or stopped: the next error is a new one."""
        self._said.pop(uuid, None)
