"""The one error that the lab raises on purpose."""

from pathlib import Path


class LabError(RuntimeError):
    """Say what is wrong and what to do, in one sentence or two; `log` is the file that holds the details."""

    def __init__(self, message: str, *, log: Path | None = None) -> None:
        super().__init__(message if log is None else f"{message}\nSee {log}.")
        self.log = log
