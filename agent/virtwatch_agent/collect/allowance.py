"""How much CPU extra looks may take, all targets together: what is not used is saved for a few seconds. Pure."""

_SAVED_S = 5.0  # for how long what is not used is saved


class Allowance:
    """Keep to a share of CPUs; times are monotonic seconds."""

    def __init__(self, cpus: float) -> None:
        self._cpus = cpus
        self._saved = cpus * _SAVED_S
        self._at = 0.0

    def afford(self, seconds: float, *, now: float) -> bool:
        """Take so many CPU seconds, if there are so many left; return whether there were."""
        self._saved = min(self._saved + (now - self._at) * self._cpus, self._cpus * _SAVED_S)
        self._at = now
        if self._saved < seconds:
            return False
        self._saved -= seconds
        return True
