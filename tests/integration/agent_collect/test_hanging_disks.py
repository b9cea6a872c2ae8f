"""What tells that the storage under a VM hangs, while it hangs: a real guest that writes, on a disk that stops."""

import os
import signal
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path

import pytest

from lab.guests.domain import Domain
from lab.guests.guest import Guest
from lab.guests.host import HostLibvirt
from lab.process import Process, start, wait_for
from lab.rundir import RunDir
from tests.integration.agent_collect.collected import Collected
from tests.integration.agent_collect.conftest import Collect
from tests.unit.rules.judged import T0, Judged
from virtwatch_agent.judge.derive import Deriver
from virtwatch_agent.observations import Sample
from virtwatch_api.catalogue.readings import Source
from virtwatch_api.policy import Aggregate, Bound, Level, Severity, ThresholdRule, Timing
from virtwatch_rules.inputs import Measured

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="mounting and freezing a disk needs root")
DISK_BYTES = 16 << 20


class OnNbd(Domain):
    """A domain whose disk QEMU reaches over NBD."""

    @property
    def server(self) -> Path:
        return self.folder / "nbd.sock"

    def xml(self) -> str:
        before, _, rest = super().xml().partition("<disk ")
        _, _, after = rest.partition("</disk>")
        return f"""{before}<disk type='network' device='disk'><driver name='qemu' type='raw'/>
<source protocol='nbd' name='exp'><host transport='unix' socket='{self.server}'/></source>
<target dev='vda' bus='virtio'/></disk>{after}"""


@pytest.fixture(scope="module")
def host(run: RunDir) -> Iterator[HostLibvirt]:
    libvirt = HostLibvirt(run, name="hanging")
    libvirt.start()
    yield libvirt
    libvirt.stop()


def on_nbd(run: RunDir, host: HostLibvirt) -> tuple[Guest, Process, int]:
    """Start a guest on an NBD server; return it, what started the server and stops with it, and the server itself."""
    guest = host._next("on-nbd", linux=True)
    domain = guest.domain = OnNbd(*(getattr(guest.domain, item.name) for item in fields(Domain)))
    guest.define()
    namespace = host.daemon.namespace
    server = start(
        "nbd",
        namespace.enter(
            "qemu-storage-daemon",
            f"--blockdev=driver=file,filename={domain.disk},node-name=f",
            f"--nbd-server=addr.type=unix,addr.path={domain.server}",
            "--export=type=nbd,id=e,node-name=f,name=exp,writable=on",
        ),
        run_dir=run.path,
    )
    wait_for(namespace.path(domain.server).exists, what="the NBD server to listen", deadline=30)
    guest.start()
    guest.wait_ready()
    children = Path(f"/proc/{server.pid}/task/{server.pid}/children").read_text().split()
    return guest, server, int(children[0])


def on_ext4(host: HostLibvirt) -> Guest:
    """Start a guest whose disk is a file on a file system of its own, which can be frozen."""
    guest = host._next("on-ext4", linux=True)
    guest.define()
    namespace, disk = host.daemon.namespace, guest.domain.disk
    image = guest.domain.folder / "ext4"
    namespace.run("truncate", f"--size={DISK_BYTES * 3}", image)
    namespace.run("mkfs.ext4", "-q", image)
    namespace.run("mount", "-o", "loop", image, disk.parent)
    namespace.run("truncate", f"--size={DISK_BYTES}", disk)
    guest.start()
    guest.wait_ready()
    return guest


def watching(collect: Collect, host: HostLibvirt, guest: Guest) -> Collected:
    collected = collect(host_socket=host.socket)
    collected.appeared(guest.uuid)
    collected.ask(guest.uuid, Source.BLOCK, Source.DELAYS)
    return collected


class Rule:
    """One threshold rule, judged by what a collector delivers of one VM."""

    def __init__(self, collected: Collected, guest: Guest, source: Source, name: str, level: Level) -> None:
        self._collected, self._guest, self._source = collected, guest, source
        rule = ThresholdRule(name, Aggregate(), warning=level, critical=None, timing=Timing(for_=2.0))
        self.judged = Judged(rule, interval=0.5)
        self._deriver = Deriver()
        self._deriver.want([name])
        self._taken = 0
        self._began: float | None = None

    @property
    def firing(self) -> bool:
        """Judge what came meanwhile."""
        fresh = self._collected.all[self._taken :]
        self._taken += len(fresh)
        for one in fresh:
            if isinstance(one, Sample) and (one.target.id, one.source) == (self._guest.uuid, self._source):
                self._began = one.clock if self._began is None else self._began
                at = one.clock - self._began
                look = self._deriver.measure(one, due=T0 + at)
                if look is not None:
                    self.judged.look(Measured(T0 + at, [item for item in look.points if item.device in ("", "vda")]))
        return any(item.saved.state.severity is Severity.WARNING for item in self.judged.evaluator.records())


def test_a_vm_that_always_writes_shows_a_network_disk_that_hangs(
    collect: Collect, run: RunDir, host: HostLibvirt
) -> None:
    """Nothing else does: QEMU itself waits for the answer, and no counter moves before it comes."""
    guest, starter, server = on_nbd(run, host)
    collected = watching(collect, host, guest)
    rate = "vm.disk.write.operations.rate"
    rule = Rule(collected, guest, Source.BLOCK, rate, Level(Bound.BELOW, 1.0, 1.0))
    guest.busy(disk=True)
    wait_for(lambda: not rule.firing and rule.judged.said == [], what="the guest to write", deadline=30)
    try:
        os.kill(server, signal.SIGSTOP)
        wait_for(lambda: rule.firing, what="the rule to see it", deadline=30)
        mark = collected.mark()
        stalled = collected.sample(guest.uuid, Source.DELAYS, since=mark).values["io.stalled", ""]
        assert stalled == 0.0, "the signal's page says that it does not see this: is that untrue now?"
    finally:
        for process in (server, starter.pid):
            os.kill(process, signal.SIGCONT)
    wait_for(lambda: not rule.firing, what="it to be over", deadline=30)
    guest.destroy()
    starter.kill()


def test_a_disk_of_the_hosts_that_hangs_is_seen_while_it_hangs(collect: Collect, host: HostLibvirt) -> None:
    guest = on_ext4(host)
    collected = watching(collect, host, guest)
    rule = Rule(collected, guest, Source.DELAYS, "vm.io.stalled", Level(Bound.ABOVE, 2.0, 2.0))
    guest.busy(disk=True)
    for _ in range(4):
        mark = collected.mark()
        assert collected.sample(guest.uuid, Source.DELAYS, since=mark).values["io.stalled", ""] < 2.0
    freeze = ["fsfreeze", "--freeze", str(guest.domain.disk.parent)]
    try:
        host.daemon.namespace.run(*freeze)
        wait_for(lambda: rule.firing, what="the rule to see it", deadline=30)
    finally:
        host.daemon.namespace.run("fsfreeze", "--unfreeze", guest.domain.disk.parent)
    wait_for(lambda: not rule.firing, what="it to be over", deadline=30)
