"""Who has the CPU that a VM of this host waits for, while it is looked at."""

import time
from pathlib import Path

from virtwatch_agent.collect.kernel.threads import allowed_cpus, look, names
from virtwatch_agent.inventory.processes import ProcessTable
from virtwatch_agent.judge.derive import Deriver
from virtwatch_agent.observations import Domain, Sample
from virtwatch_rules.contention import Look, contention, own_limit

_PROC = Path("/proc")
_DELAY, _THROTTLED = "vm.cpu.delay.ratio", "vm.cpu.throttled.ratio"
_WORTH_NAMING = 0.02  # of the time that vCPUs want to run: below it nobody is in the way


class Culprits:
    """Look at all threads of the host each time that the VM is measured."""

    def __init__(self) -> None:
        self._processes = ProcessTable(_PROC)
        self._machines: dict[int, str] = {}
        self._looks: list[Look] = []
        self._deriver = Deriver()
        self._deriver.want((_DELAY, _THROTTLED))
        self._highest = {_DELAY: 0.0, _THROTTLED: 0.0}

    def met(self, domain: Domain, called: str) -> None:
        """Note which process a VM is."""
        process = self._processes.find(domain.uuid, domain.pod_uid)
        if process is not None:
            self._machines[int(process.folder.name)] = called

    def measured(self, sample: Sample) -> None:
        """Look, and note how long the VM waits."""
        for point in self._deriver.derive(sample):
            self._highest[point.signal] = max(self._highest[point.signal], point.value or 0.0)
        if not self._looks or time.monotonic() - self._looks[-1].at >= 0.5:
            self._looks.append(look(_PROC, at=time.monotonic()))

    def text(self, domain: Domain) -> str:
        """Say who has the CPU; empty where the VM does not wait, or is no process of this host."""
        process = self._processes.find(domain.uuid, domain.pod_uid)
        delay, throttled = self._highest[_DELAY], self._highest[_THROTTLED]
        if process is None or not self._looks:
            return ""
        if own_limit(delay=delay, throttled=throttled):
            return f"its own CPU limit keeps it waiting for {throttled:.0%} of the time"
        if delay < _WORTH_NAMING:
            return ""
        found = contention(
            self._looks,
            target=int(process.folder.name),
            cpus=allowed_cpus(process.folder),
            machines=self._machines,
            names=names(_PROC, {thread.process for thread in self._looks[-1].threads.values()}),
        )
        return f"waits for a CPU for {delay:.0%} of the time: {found.text}" if found.text else ""
