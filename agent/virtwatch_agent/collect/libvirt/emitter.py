"""What is said of domains, each thing once; what is known of a QEMU is forgotten when it is gone."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace

from virtwatch_agent.collect.libvirt.debounce import IoErrors, Reboots
from virtwatch_agent.collect.libvirt.devices import Devices
from virtwatch_agent.collect.libvirt.endpoint import Runtime
from virtwatch_agent.collect.libvirt.events import (
    DevicesEvent,
    IoErrorEvent,
    LibvirtEvent,
    PlainEvent,
    RebootEvent,
    WatchdogEvent,
)
from virtwatch_agent.collect.libvirt.jobs import Jobs, JobsSeen
from virtwatch_agent.observations import Observation, TargetEvent, Vanished
from virtwatch_api.targets import TargetRef, vm_ref

# Seconds in which libvirt may tell the I/O error behind a pause; it comes within 1 ms.
_IO_ERROR_GRACE = 0.5


class Emitter:
    """Deliver what is worth saying."""

    def __init__(self, runtime: Runtime, forget: Callable[[str], None], *, is_paused: Callable[[str], bool]) -> None:
        """Tell `forget` of domains that are gone or run in a new QEMU."""
        self._runtime = runtime
        self._forget = forget
        self._is_paused = is_paused
        self._io_errors = IoErrors()
        self._reboots = Reboots()
        self._jobs = Jobs()

    def tell(self, observations: Iterable[Observation]) -> None:
        """Deliver observations together, but for an I/O error that was said in another way.

        Together, for an agent that is killed between a VM's new state and what led to it would miss the latter, or tell
        it again: after its restart it infers what happened from the state that it remembers.
        """
        if worth_saying := [self._with_cause(item) for item in observations if self._worth_saying(item)]:
            self._runtime.deliver(*worth_saying)

    def happened(self, uuid: str, received: LibvirtEvent, devices: Devices, *, at: float) -> None:
        """Deliver an event that changes no state."""
        for event in self._events(uuid, received, devices, at):
            self._runtime.deliver(event)

    def jobs_seen(self, uuid: str, seen: JobsSeen) -> None:
        """Deliver which jobs of a domain have started."""
        self.tell(self._jobs.seen(uuid, seen))

    def jobs_unasked(self, uuid: str) -> None:
        """Take that nobody asks whether a domain's jobs start."""
        self._jobs.forget(uuid)

    def forget(self, uuid: str) -> None:
        """Drop what is known of a domain's QEMU."""
        self._jobs.forget(uuid)
        self._reboots.forget(uuid)
        self._io_errors.ended(uuid)
        self._forget(uuid)

    def _events(self, uuid: str, received: LibvirtEvent, devices: Devices, at: float) -> Iterator[TargetEvent]:
        match received:
            case RebootEvent() if self._reboots.received(uuid, at):
                yield TargetEvent("vm.rebooted", vm_ref(uuid), at)
            case WatchdogEvent(action):
                yield TargetEvent("vm.watchdog", vm_ref(uuid), at, {"action": action})
            case DevicesEvent(removed=alias) if alias:
                device = devices.disk_of_alias.get(alias, alias)
                yield TargetEvent("vm.device_removed", vm_ref(uuid), at, {"device": device})
            case PlainEvent(type_, attributes):
                yield from self._jobs.reported(uuid, received, at=at)
                yield TargetEvent(type_, vm_ref(uuid), at, attributes)
            case IoErrorEvent(alias, action, reason):
                device = devices.disk_of_alias.get(alias, alias)
                if self._io_errors.received(uuid, device=device, action=action, at=at):
                    said = {"action": action, "reason": reason, "device": device}
                    yield TargetEvent(
                        "vm.io_error", vm_ref(uuid), at, {name: word for name, word in said.items() if word}
                    )

    def _with_cause(self, observation: Observation) -> Observation:
        """Say of a QEMU that ended by itself whether the kernel ended it."""
        match observation:
            case TargetEvent("vm.stopped" | "vm.crashed", _, _, {"reason": "failed" | "crashed"} as attributes, False):
                cause = "oom" if self._runtime.oom_kills.recent() else "qemu_exit"
                return replace(observation, attributes={**attributes, "cause": cause})
        return observation

    def _worth_saying(self, observation: Observation) -> bool:
        match observation:
            case TargetEvent("vm.io_error", TargetRef(_, uuid), at, _, True):
                return self._io_errors.paused(uuid, at)
            case TargetEvent("vm.paused", TargetRef(_, uuid), _, {"reason": "ioerror"}, False):
                self._runtime.timers.enter(_IO_ERROR_GRACE, 0, self._infer_io_error, (uuid,))
            case TargetEvent("vm.resumed" | "vm.stopped", TargetRef(_, uuid)):
                self._io_errors.ended(uuid)
            case Vanished(uuid):
                self.forget(uuid)
        return True

    def _infer_io_error(self, uuid: str) -> None:
        """Say the I/O error behind a pause when libvirt has not."""
        if self._is_paused(uuid):
            at = self._runtime.clock.time()
            self.tell([TargetEvent("vm.io_error", vm_ref(uuid), at, {"action": "pause"}, inferred=True)])
