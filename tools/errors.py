"""The one error that the lab and the tools raise on purpose."""

from pathlib import Path


class ToolError(RuntimeError):
    """Say what is wrong and what to do, in one sentence or two; `log` is the file that holds the details."""

    def __init__(self, message: str, *, log: Path | None = None) -> None:
        super().__init__(message)
        self.log = log

    def __str__(self) -> str:
        said = super().__str__()
        return said if self.log is None else f"{said}\nSee {self.log}."
