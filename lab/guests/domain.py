"""The libvirt domain of a guest, as XML."""

from dataclasses import dataclass
from pathlib import Path
from xml.sax.saxutils import escape, quoteattr

from lab.guests.image import GuestImage
from lab.guests.layout import INSIDE

# The full kernel boots with 80; the rest is for the load on memory.
LINUX_MIB = 128
BARE_MIB = 16
BALLOON_PERIOD_S = 1
# All of it makes the emulated boot faster (5 s instead of 10): no self-tests, no calibration, no mitigations.
FAST_BOOT = (
    "quiet panic=-1 mitigations=off nopti nokaslr cryptomgr.notests audit=0 no_timer_check tsc=reliable lpj=5000000 "
    "8250.nr_uarts=2 selinux=0 apparmor=0 ipv6.disable=1"
)


@dataclass(frozen=True, slots=True)
class Interface:
    """The guest's one network interface: a tap on the host, and the addresses of both ends."""

    tap: str
    # False: libvirt makes the tap (it must be root). True: it is there already and belongs to QEMU's user.
    made: bool
    guest: str
    host: str
    prefix: int


@dataclass(frozen=True, slots=True)
class Domain:
    """What is fixed about a guest for its whole life. `image` is None for a guest without any operating system."""

    name: str
    uuid: str
    interface: Interface
    image: GuestImage | None = None
    kubevirt: bool = False

    @property
    def folder(self) -> Path:
        """Where its files are, as its daemon sees them."""
        return INSIDE / self.uuid[:8]

    @property
    def disk(self) -> Path:
        return self.folder / "disk" / "disk.img"

    @property
    def control(self) -> Path:
        """The socket that is the guest's second serial port."""
        return self.folder / "control"

    @property
    def console_log(self) -> Path:
        return self.folder / "console.log"

    def xml(self) -> str:
        """Return the domain as KubeVirt would define it, where that matters to a reader of domains."""
        return f"""
<domain type='qemu'>
  <name>{escape(self.name)}</name>
  <uuid>{self.uuid}</uuid>
  {self._metadata()}
  <memory unit='MiB'>{LINUX_MIB if self.image else BARE_MIB}</memory>
  <vcpu>1</vcpu>
  <os><type arch='x86_64' machine='pc'>hvm</type>{self._boot()}</os>
  <features><acpi/></features>
  <on_poweroff>destroy</on_poweroff><on_reboot>restart</on_reboot><on_crash>preserve</on_crash>
  <devices>
    <disk type='file' device='disk'>
      <driver name='qemu' type='raw' error_policy='stop'/>
      <source file={quoteattr(str(self.disk))}/><target dev='vda' bus='virtio'/>{self._alias("rootdisk")}
    </disk>
    <interface type='ethernet'>{self._tap()}<model type='virtio'/>{self._alias("default")}</interface>
    <memballoon model='virtio'><stats period='{BALLOON_PERIOD_S}'/></memballoon>
    <watchdog model='i6300esb' action='reset'/><panic model='isa'/>{self._ports()}{self._channel()}
  </devices>
</domain>"""

    def _metadata(self) -> str:
        # KubeVirt writes no uid there, though the element is.
        return '<metadata><kubevirt xmlns="http://kubevirt.io"><uid/></kubevirt></metadata>' if self.kubevirt else ""

    def _alias(self, name: str) -> str:
        return f"<alias name='ua-{name}'/>" if self.kubevirt else ""

    def _tap(self) -> str:
        managed = "managed='no'" if self.interface.made else ""
        return f"<target dev={quoteattr(self.interface.tap)} {managed}/>"

    def _boot(self) -> str:
        if self.image is None:
            return ""
        address = f"lab.address={self.interface.guest}/{self.interface.prefix} lab.peer={self.interface.host}"
        return (
            f"<kernel>{escape(str(self.image.kernel))}</kernel><initrd>{escape(str(self.image.initramfs))}</initrd>"
            f"<cmdline>console=ttyS0 {FAST_BOOT} {address}</cmdline>"
        )

    def _channel(self) -> str:
        """Return the channel to a guest agent, where a plain host's guest can run one."""
        if self.image is None or self.kubevirt:
            return ""
        return "<channel type='unix'><target type='virtio' name='org.qemu.guest_agent.0'/></channel>"

    def _ports(self) -> str:
        if self.image is None:
            return ""
        return f"""
    <serial type='file'><source path={quoteattr(str(self.console_log))}/><target port='0'/></serial>
    <serial type='unix'><source mode='bind' path={quoteattr(str(self.control))}/><target port='1'/></serial>"""
