"""Which VMs' monitors do not answer: said once when it begins and once when it ends."""

from virtwatch_agent.collect.libvirt.monitor import Occupied
from virtwatch_agent.observations import TargetEvent
from virtwatch_api.targets import vm_ref


class Stuck:
    """Judge the monitors of VMs by what libvirt says of them."""

    def __init__(self, patience: float) -> None:
        """Call a monitor stuck that has been occupied or broken for `patience` seconds: a call takes milliseconds."""
        self._patience = patience
        self._stuck: set[str] = set()
        self._since: dict[str, float] = {}  # broken, or held: libvirt does not say for how long; monotonic seconds

    def __contains__(self, uuid: str) -> bool:
        return uuid in self._stuck

    def __len__(self) -> int:
        return len(self._stuck)

    def occupied(self, uuid: str, by: Occupied, *, at: float, now: float) -> list[TargetEvent]:
        """Take a monitor that is not free; it may only be busy, or its QEMU may just have ended.

        `at` is seconds since 1970, `now` monotonic ones.
        """
        if by.broken or by.held or by.stopped:
            seconds = now - self._since.setdefault(uuid, now - by.seconds)
            reason = f"the QEMU monitor has been broken for {seconds:.0f} s"
            if by.stopped:
                reason = f"its QEMU has been stopped (SIGSTOP) for {seconds:.0f} s"
            elif by.held:
                reason = f"it has not been asked for {seconds:.0f} s: {by.held}"
        else:
            self._since.pop(uuid, None)
            seconds = by.seconds
            reason = f"a monitor call has been pending for {seconds:.0f} s"
        if uuid in self._stuck or seconds < self._patience:
            return []
        self._stuck.add(uuid)
        return [TargetEvent("vm.telemetry_stuck", vm_ref(uuid), at, {"reason": reason})]

    def free(self, uuid: str, at: float) -> list[TargetEvent]:
        """Take a monitor that is free."""
        self._since.pop(uuid, None)
        if uuid not in self._stuck:
            return []
        self._stuck.discard(uuid)
        return [TargetEvent("vm.telemetry_recovered", vm_ref(uuid), at)]

    def forget(self, uuid: str) -> None:
        """Drop a domain that is gone, or whose QEMU is a new one."""
        self._stuck.discard(uuid)
        self._since.pop(uuid, None)
