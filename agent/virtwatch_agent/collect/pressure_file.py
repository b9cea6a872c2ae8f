"""The kernel's pressure files (PSI), which a node and each control group of version 2 has."""

_MICROSECOND = 1e-6


def stalled_seconds(text: str) -> dict[str, float]:
    """Return for how long `some` and `full` of the tasks have stalled, in seconds."""
    lines = (line.split() for line in text.splitlines())
    return {fields[0]: int(fields[-1].removeprefix("total=")) * _MICROSECOND for fields in lines if fields}
