"""What tells that the storage under a VM hangs, while it hangs: a real guest that writes, on a disk that stops."""

import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import fields
from functools import partial
from pathlib import Path

import pytest

from lab.guests.domain import Domain
from lab.guests.guest import Guest
from lab.guests.host import HostLibvirt
from lab.guests.layout import INSIDE
from lab.guests.together import side_by_side
from lab.process import Process, start, wait_for
from lab.rundir import RunDir
from tests.integration.agent_collect import collected as plans
from tests.integration.agent_collect.collected import Collected, longest_gap
from tests.integration.agent_collect.conftest import Collect
from tests.soak import times
from tests.unit.rules.judged import T0, Judged
from tools.checkout import CHECKOUT
from virtwatch_agent.judge.derive import Deriver
from virtwatch_agent.observations import Sample, TargetEvent
from virtwatch_api.catalogue.readings import Source
from virtwatch_api.policy import Aggregate, Bound, Level, Severity, ThresholdRule, Timing
from virtwatch_rules.inputs import Measured

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="mounting and freezing a disk needs root")
DISK_BYTES = 16 << 20
REMOTE = INSIDE / "remote"
HUNG, WELL = times(6, 120), times(2, 80)  # VMs on a storage that hangs, and on others
DEADLINE_S = times(4, 15) / 5  # of one call; an agent's own is 3 s
INTERVAL_S = 5 * DEADLINE_S
MOST_CALLS = 4  # that hang, before those that would hang as well are held back
AT_WORK = 2  # threads that calls which return may take besides, where a busy machine makes them meet
AT_ONCE = 8  # guests that start side by side
SLACK_S = float(times(4, 1))  # of a machine that does other things as well: other tests, but for `make soak`


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
    wait_for(namespace.path(domain.server).exists, what="the NBD server to listen", deadline=60)
    guest.start()
    guest.wait_ready()
    children = Path(f"/proc/{server.pid}/task/{server.pid}/children").read_text().split()
    return guest, server, int(children[0])


class OnRemote(Domain):
    """A domain whose disk lies on a storage of many."""

    @property
    def disk(self) -> Path:
        return REMOTE / f"{self.name}.img"


class RemoteStorage:
    """A storage that VMs share and that hangs when its server does."""

    def __init__(self, run: RunDir, host: HostLibvirt) -> None:
        namespace = host.daemon.namespace
        namespace.run("mkdir", "-p", REMOTE)
        command = ("env", f"PYTHONPATH={CHECKOUT}", sys.executable, "-m", "lab.guests.remote_folder", REMOTE)
        self._process = start("remote-folder", namespace.enter(*command), run_dir=run.path)
        any_file = namespace.path(REMOTE / "any")
        wait_for(any_file.exists, what="the storage", deadline=60, process=self._process)
        children = Path(f"/proc/{self._process.pid}/task/{self._process.pid}/children").read_text().split()
        self._server = int(children[0])

    def close(self) -> None:
        """End it: what waits for it gets errors."""
        self._process.kill()

    @contextmanager
    def hanging(self) -> Iterator[None]:
        """Let all that asks it wait."""
        os.kill(self._server, signal.SIGSTOP)
        try:
            yield
        finally:
            for process in (self._server, self._process.pid):
                os.kill(process, signal.SIGCONT)


@pytest.fixture
def storage(run: RunDir, bare_host: HostLibvirt) -> Iterator[RemoteStorage]:
    made = RemoteStorage(run, bare_host)
    yield made
    made.close()


def on_remote(host: HostLibvirt, number: int) -> Guest:
    """Make a guest without an operating system whose disk lies on the shared storage."""
    guest = host._next(f"remote-{number}", linux=False)
    guest.domain = OnRemote(*(getattr(guest.domain, item.name) for item in fields(Domain)))
    return guest


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
    wait_for(lambda: not rule.firing and rule.judged.said == [], what="the guest to write", deadline=60)
    try:
        os.kill(server, signal.SIGSTOP)
        wait_for(lambda: rule.firing, what="the rule to see it", deadline=60)
        mark = collected.mark()
        stalled = collected.sample(guest.uuid, Source.DELAYS, since=mark).values["io.stalled", ""]
        assert stalled == 0.0, "the signal's page says that it does not see this: is that untrue now?"
    finally:
        for process in (server, starter.pid):
            os.kill(process, signal.SIGCONT)
    wait_for(lambda: not rule.firing, what="it to be over", deadline=60)
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
        wait_for(lambda: rule.firing, what="the rule to see it", deadline=60)
    finally:
        host.daemon.namespace.run("fsfreeze", "--unfreeze", guest.domain.disk.parent)
    wait_for(lambda: not rule.firing, what="it to be over", deadline=60)


@pytest.mark.soak
def test_storage_that_hangs_under_many_vms_costs_no_other_vm_a_figure(
    collect: Collect, bare_host: HostLibvirt, storage: RemoteStorage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Under `make soak` under 120 of 200; libvirtd has 5 workers here, which that many calls would all take."""
    monkeypatch.setattr(plans, "OFTEN", {Source.KERNEL: INTERVAL_S / 5, Source.BLOCK: INTERVAL_S})
    # These guests stand still: QEMU would be asked for figures only each minute.
    monkeypatch.setattr("virtwatch_agent.collect.libvirt.unchanged.LONGEST_S", 0.0)
    hung = [on_remote(bare_host, number) for number in range(HUNG)]
    well = [bare_host._next(f"local-{number}", linux=False) for number in range(WELL)]

    def begin(guest: Guest) -> None:
        guest.define()
        guest.start()

    guests = (*hung, *well)
    for first in range(0, len(guests), AT_ONCE):
        side_by_side([partial(begin, guest) for guest in guests[first : first + AT_ONCE]])
    collected = collect(host_socket=bare_host.socket, call_deadline=DEADLINE_S)
    for guest in guests:
        collected.sample(guest.uuid, Source.BLOCK)
    threads, since = threading.active_count(), collected.mark()
    with storage.hanging():
        began = time.time()

        def reported() -> dict[str, TargetEvent]:
            return {one.target.id: one for one in collected.all[since:] if isinstance(one, TargetEvent)}

        wait_for(lambda: reported().keys() >= {guest.uuid for guest in hung}, what="all to be reported", deadline=60)
        end = time.monotonic() + INTERVAL_S
        wait_for(lambda: time.monotonic() > end, what="an interval in which others might be, too", deadline=60)
        told = reported()
        assert told.keys() == {guest.uuid for guest in hung}
        assert {one.type for one in told.values()} == {"vm.telemetry_stuck"}
        assert max(one.at for one in told.values()) - began <= 2 * INTERVAL_S + SLACK_S
        reasons = [one.attributes["reason"] for one in told.values()]
        for guest in guests:
            assert longest_gap(collected, guest.uuid, Source.KERNEL, since=since) <= 2 * INTERVAL_S / 5 + SLACK_S
        for guest in well:
            assert longest_gap(collected, guest.uuid, Source.BLOCK, since=since) <= 2 * INTERVAL_S + SLACK_S
        assert collected.collector._pool.lost <= MOST_CALLS
        assert threading.active_count() <= threads + MOST_CALLS + AT_WORK
        assert sum("pending" in reason for reason in reasons) <= MOST_CALLS
        assert all("VMs with disks on /run/lab/remote" in reason for reason in reasons if "pending" not in reason)
        mark = collected.mark()
    for guest in hung:
        collected.event(guest.uuid, "vm.telemetry_recovered", since=since)
        collected.sample(guest.uuid, Source.BLOCK, since=mark)
