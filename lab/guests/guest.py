"""One running guest: observe it, load it, break it, heal it."""

import os
from dataclasses import dataclass
from pathlib import Path
from signal import SIGCONT, SIGKILL, SIGSTOP

from lab.guests import control
from lab.guests.daemon import Daemon
from lab.guests.disk import Disk
from lab.guests.domain import Domain
from lab.guests.namespace import process_named
from lab.process import wait_for
from tools.errors import ToolError

# An emulated boot takes 6 s of CPU; several guests and a build may share the CPUs.
BOOT_DEADLINE_S = 120.0
ANSWER_DEADLINE_S = 60.0
STATE_DEADLINE_S = 60.0


@dataclass(frozen=True, slots=True)
class State:
    """A domain's state and its reason, in virsh's words: `State("paused", "I/O error")`."""

    state: str
    reason: str


class Guest:
    """A domain of one daemon. Without an operating system it only exists, paused, and costs next to nothing."""

    def __init__(self, domain: Domain, *, daemon: Daemon) -> None:
        self.domain = domain
        self._daemon = daemon
        self._namespace = daemon.namespace
        self._disk = Disk(daemon.namespace, domain.disk, uid=daemon.spec.uid)

    @property
    def name(self) -> str:
        return self.domain.name

    @property
    def uuid(self) -> str:
        return self.domain.uuid

    @property
    def qemu_pid(self) -> int:
        """The guest's QEMU, as the machine numbers it."""
        pid = self._find_qemu()
        if pid is None:
            raise ToolError(f"The guest {self.name} has no QEMU: start it, or see why it ended in {self._daemon.log}.")
        return pid

    @property
    def state(self) -> State:
        state, _, reason = self._virsh("domstate", "--reason", self.name).partition(" (")
        return State(state, reason.removesuffix(")"))

    @property
    def console(self) -> str:
        """What the guest printed since it started."""
        return self._outside(self.domain.console_log).read_text(errors="replace")

    def define(self) -> None:
        """Make the disk and the domain, which does not run yet."""
        folder = self._outside(self.domain.folder)
        folder.mkdir()
        os.chown(folder, self._daemon.spec.uid, self._daemon.spec.uid)
        self._disk.make()
        self._virsh("define", "/dev/stdin", stdin=self.domain.xml())

    def start(self) -> None:
        """Start the domain; `wait_ready` waits for what runs in it."""
        paused = [] if self.domain.image else ["--paused"]
        self._virsh("start", *paused, self.name)
        interface = self.domain.interface
        if not interface.made:
            # Libvirt made the tap just now, and it goes with QEMU.
            address = f"{interface.host}/{interface.prefix}"
            self._namespace.run("ip", "address", "add", address, "dev", interface.tap)

    def destroy(self) -> None:
        """Stop it as one pulls a plug."""
        self._virsh("destroy", self.name)

    def wait_ready(self, deadline: float = BOOT_DEADLINE_S) -> None:
        """Return when the guest has booted and obeys; at once where it has no operating system."""
        if self.domain.image:
            self._ask("ping", deadline=deadline)

    def wait_state(self, state: str, reason: str, deadline: float = STATE_DEADLINE_S) -> None:
        """Return when the domain is in that state, in virsh's words."""
        wanted = State(state, reason)
        what = f"{self.name} to be {state} ({reason})"
        wait_for(lambda: self.state == wanted, what=what, deadline=deadline, poll=0.1)  # virsh costs 40 ms of CPU

    def busy(self, *, cpu: bool = False, disk: bool = False, net: bool = False, memory: bool = False) -> None:
        """Load the guest until `calm()`: its vCPU, 1 MiB written and read some times a second, pings, most memory."""
        for load, wanted in {"cpu": cpu, "disk": disk, "net": net, "memory": memory}.items():
            if wanted:
                self._ask(f"{load} on")

    def calm(self, *loads: str) -> None:
        """End these loads, or all."""
        for load in loads or ("cpu", "disk", "net", "memory", "fill"):
            self._ask(f"{load} off")

    def run_agent(self, *, silent: bool = False) -> None:
        """Run qemu-guest-agent, with a file system half full at /data to tell of, in place of the agent that runs.

        A silent one is none: it says that it is there, and no more.
        """
        self.end_agent()
        for request in ("silence on",) if silent else ("data on", "agent on"):
            self._ask(request)

    def end_agent(self) -> None:
        """End the guest agent, and unmount what it told of."""
        for verb in ("agent", "silence", "data"):
            self._ask(f"{verb} off")

    def fill_disk(self) -> None:
        """Let the guest write until the host has no room: QEMU pauses it with a real I/O error (ENOSPC)."""
        self._ask("fill off")
        self._disk.fill()
        self._ask("fill")

    def free_disk(self) -> None:
        """Give the room back. The guest stays paused until `resume()`, and then completes its writes."""
        self._disk.free()

    def crash(self) -> None:
        """Panic the guest's kernel; pvpanic tells QEMU, and libvirt preserves the crashed domain."""
        self._ask("crash")

    def reboot(self) -> None:
        """Reboot from inside; the domain keeps running."""
        self._ask("reboot")

    def poweroff(self) -> None:
        """Power off from inside; the domain is then shut off."""
        self._ask("poweroff")

    def starve_watchdog(self) -> None:
        """Arm the guest's watchdog and never feed it: it resets the guest some seconds later."""
        self._ask("watchdog")

    def pause(self) -> None:
        self._virsh("suspend", self.name)

    def resume(self) -> None:
        self._virsh("resume", self.name)

    def freeze_qemu(self) -> None:
        """Stop the QEMU process itself (SIGSTOP): its monitor answers nothing until `thaw_qemu()`."""
        os.kill(self.qemu_pid, SIGSTOP)

    def thaw_qemu(self) -> None:
        """Let a frozen QEMU continue."""
        os.kill(self.qemu_pid, SIGCONT)

    def kill_qemu(self) -> None:
        """End the QEMU process with SIGKILL, as an out-of-memory kill does. Return when it has gone."""
        os.kill(self.qemu_pid, SIGKILL)
        wait_for(lambda: self._find_qemu() is None, what=f"the QEMU of {self.name} to go", deadline=STATE_DEADLINE_S)

    def _outside(self, inside: Path) -> Path:
        return self._namespace.path(inside)

    def _find_qemu(self) -> int | None:
        return process_named("qemu-system-x86", self.uuid.encode(), inside=self._namespace)

    def _ask(self, request: str, deadline: float = ANSWER_DEADLINE_S) -> None:
        if self.domain.image is None:
            raise ToolError(f"The guest {self.name} has no operating system: start it with Linux to ask {request!r}.")
        try:
            control.ask(self._outside(self.domain.control), request, deadline=deadline)
        except ToolError as error:
            last = self.console[-500:] or "nothing"
            raise ToolError(f"{error} {self.name} is {self.state}; its console says:\n{last}") from error

    def _virsh(self, *arguments: str, stdin: str = "") -> str:
        return self._daemon.virsh(*arguments, stdin=stdin)
