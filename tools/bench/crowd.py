"""Many real QEMU guests that cost next to nothing: no operating system, only a boot sector that halts, or writes.

Each runs in 16 MiB under emulation. Its timer is off, so that an idle one stands still; a busy one is woken by its
clock and writes one sector of its disk every 10 s.
"""

import os
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path

from lab.guests.host import HostLibvirt
from lab.guests.layout import INSIDE
from lab.guests.namespace import process_named
from lab.rundir import RunDir, clean
from tools.bench.cost import cpu_seconds
from tools.progress import step

DISK_BYTES = 1 << 20
SETTLE_S = 10.0  # until the last guest has booted
BALLOON_PERIOD_S = 10  # KubeVirt's
# Offset 14 says whether it writes. In 16-bit code at 0x7c00: stop the timer (out 0x43, 0x40); unless it writes, halt
# for ever; else let the clock interrupt twice a second (registers A, B and C at 0x70 and 0x71, mask at 0x21 and 0xa1),
# and after each twentieth write sector 2 of the first disk (int 0x13). At 0x6a is what answers the interrupt.
_CODE = bytes.fromhex(
    "fa31c08ed88ec08ed0bc007ceb0100b030e643b001e640b000e640803e0e7c007457c706c0016a7cc706c2010000b00ae670b02f"
    "e671b00be670b042e671b00ce670e471e42124fa0c01e621e4a124fee6a1b314fbf4fecb75fab80103b90200ba8000bb0080cd13"
    "ebe850b00ce670e471b020e6a0e62058cff4ebfd"
)
_WRITES = 14
_SECTOR = 512


class Kind(StrEnum):
    """Say what the guests do while they are watched."""

    IDLE = "idle"
    BUSY = "writing"
    PAUSED = "paused"


class Crowd:
    """Guests of one libvirtd, all of one kind."""

    def __init__(self, host: HostLibvirt, kind: Kind, count: int) -> None:
        self._host = host
        self._namespace = host.daemon.namespace
        self.kind = kind
        self.names = [f"{kind}-{number:03}" for number in range(count)]
        self._uuids = [str(uuid.uuid5(uuid.NAMESPACE_OID, name)) for name in self.names]
        self._qemus: list[int] = []

    @property
    def uri(self) -> str:
        return self._host.uri

    def start(self) -> None:
        for number, (name, uuid_) in enumerate(zip(self.names, self._uuids, strict=True)):
            disk = self._namespace.path(INSIDE) / f"{name}.img"
            disk.write_bytes(_boot_sector(writes=self.kind is Kind.BUSY))
            os.truncate(disk, DISK_BYTES)
            xml = _xml(name, uuid_, INSIDE / disk.name, tap=f"vwb{os.getpid() % 10000}-{number}")
            self._host.daemon.virsh("create", "/dev/stdin", stdin=xml)
            if self.kind is Kind.PAUSED:
                self._host.daemon.virsh("suspend", name)
        found = (process_named("qemu-system-x86", one.encode(), inside=self._namespace) for one in self._uuids)
        self._qemus = [pid for pid in found if pid is not None]

    def end(self) -> None:
        for name in self.names:
            self._host.daemon.virsh("destroy", name)

    def used(self) -> tuple[float, float]:
        """Return the CPU seconds that libvirtd used so far, and all QEMUs together for what they are asked."""
        return cpu_seconds(self._host.daemon.pid), sum(map(_answering, self._qemus))


@contextmanager
def host() -> Iterator[HostLibvirt]:
    """Run a libvirtd for crowds, and end it."""
    run = RunDir.create("bench")
    try:
        libvirt = HostLibvirt(run, name="crowd")
        libvirt.start(linux=False)
        yield libvirt
        libvirt.stop()
    finally:
        clean(run)


@contextmanager
def crowd(libvirt: HostLibvirt, kind: Kind, count: int) -> Iterator[Crowd]:
    """Start guests, and end them."""
    found = Crowd(libvirt, kind, count)
    with step(f"Starting {count} guests ({kind})"):
        found.start()
        time.sleep(SETTLE_S)
    yield found
    found.end()


def _answering(pid: int) -> float:
    """Return the CPU seconds of the threads that answer: not of those that run the guest, or read and write for it."""
    used = 0
    for task in Path(f"/proc/{pid}/task").iterdir():
        try:
            comm, schedstat = (task / "comm").read_text(), (task / "schedstat").read_text()
        except OSError:
            continue  # it has just ended
        if not comm.startswith(("CPU ", "worker")):
            used += int(schedstat.split()[0])
    return used / 1e9


def _boot_sector(*, writes: bool) -> bytes:
    code = bytearray(_CODE.ljust(_SECTOR - 2, b"\0") + b"\x55\xaa")
    code[_WRITES] = writes
    return bytes(code)


def _xml(name: str, uuid_: str, disk: Path, *, tap: str) -> str:
    return f"""
<domain type='qemu'><name>{name}</name><uuid>{uuid_}</uuid>
  <memory unit='MiB'>16</memory><vcpu>1</vcpu>
  <os><type arch='x86_64' machine='pc'>hvm</type></os>
  <features><acpi/></features>
  <devices>
    <controller type='usb' model='none'/>
    <disk type='file' device='disk'>
      <driver name='qemu' type='raw'/><source file='{disk}'/><target dev='vda' bus='virtio'/>
    </disk>
    <interface type='ethernet'><target dev='{tap}'/><model type='virtio'/></interface>
    <memballoon model='virtio'><stats period='{BALLOON_PERIOD_S}'/></memballoon>
  </devices>
</domain>"""
