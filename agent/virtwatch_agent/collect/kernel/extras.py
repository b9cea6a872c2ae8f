"""What the kernel says about a QEMU on request only: its control group's pressure, its threads' waits for disks."""

import logging
from collections.abc import Callable

from virtwatch_agent.collect.found import Found
from virtwatch_agent.collect.kernel.delays import IoDelay
from virtwatch_agent.collect.kernel.pressure import GroupPressure
from virtwatch_agent.collect.kernel.reader import KernelReader
from virtwatch_agent.inventory.processes import ProcessTable
from virtwatch_api.catalogue.readings import READINGS, Source

logger = logging.getLogger(__name__)


class Extras:
    """Read VMs by UUID; what is needed for it is made when it is first asked."""

    SOURCES = frozenset((Source.PRESSURE, Source.DELAYS))

    def __init__(self, processes: ProcessTable) -> None:
        self._processes = processes
        self._read: dict[tuple[str, Source], Callable[[], Found]] = {}

    def read(self, uuid: str, source: Source, reader: KernelReader | None) -> Found:
        """Return what a source says about a VM whose process `reader` reads."""
        if reader is not None:
            try:
                read = self._read.get((uuid, source))
                if read is None:
                    read = self._read[uuid, source] = self._make(source, reader)
                return read()
            except (OSError, LookupError, ValueError) as error:
                logger.debug("the source %s of VM %s cannot be read: %r", source, uuid, error)
        return Found({}, {item.key: source.absence for item in READINGS if item.source is source})

    def forget(self, uuid: str) -> None:
        """Drop a VM that is gone, or whose QEMU is a new one."""
        for source in self.SOURCES:
            self._read.pop((uuid, source), None)

    def _make(self, source: Source, reader: KernelReader) -> Callable[[], Found]:
        folder = reader.process.folder
        if source is Source.PRESSURE:
            return GroupPressure(folder, self._processes.cgroups).read
        return IoDelay(folder, self._processes.proc).read
