"""For how long the tasks of one VM's control group stalled (PSI): what the VM itself lacks, whatever others do."""

from pathlib import Path

from virtwatch_agent.collect.found import Found
from virtwatch_agent.collect.pressure_file import stalled_seconds
from virtwatch_agent.inventory.control_group import own_group
from virtwatch_agent.observations import Series
from virtwatch_api.catalogue import absences

_RESOURCES = ("cpu", "memory", "io")


class GroupPressure:
    """Read one VM's pressure."""

    def __init__(self, process: Path, cgroups: Path) -> None:
        """`process` is the QEMU's folder in /proc, `cgroups` the host's /sys/fs/cgroup."""
        self._group, self._why = own_group(process, cgroups)

    def read(self) -> Found:
        """Return seconds by resource."""
        values: dict[Series, float] = {}
        unavailable: dict[str, str] = {}
        for resource in _RESOURCES:
            key = f"pressure.{resource}"
            if self._group is None:
                unavailable[key] = self._why
                continue
            path = self._group / f"{resource}.pressure"
            try:
                values[key, ""] = stalled_seconds(path.read_text())["some"]
            except OSError:
                unavailable[key] = absences.NO_GROUP_PRESSURE
        return Found(values, unavailable)
