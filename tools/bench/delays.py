"""How long it takes from what happens in a VM to the Kubernetes Event that a person can see."""

import random
import time
from collections.abc import Callable, Iterator

from lab.installed.events import EventLog
from lab.installed.system import System
from tools.bench.figure import Figure, percentile, spread
from tools.progress import step

PAUSES = 100
BREACHES = 20
DEADLINE_S = 30.0
# Between two deeds, at random: the delay must not depend on where in a period the next one falls.
REST_S = (0.2, 2.5)
PAUSED_RULE = {
    "name": "paused",
    "severity": "Critical",
    "event": {"type": "vm.paused", "resolveOn": ["vm.resumed", "vm.stopped"]},
}
BUSY_RULE = {"name": "busy", "threshold": {"signal": "vm.cpu.utilization", "critical": {"above": "0.2"}}}
INTERVAL_S = 1.0


def event_delay(system: System) -> Figure:
    """Pause and resume a VM; its delay runs from before libvirt is asked to the Event's arrival at a watcher."""
    guest = system.add("paused").guest
    guest.resume()
    system.put_in_force("bench-paused", PAUSED_RULE, target={"names": ["paused"]})
    with (
        EventLog(system.control_plane.kubeconfig, system.namespace) as log,
        step(f"Pausing and resuming {PAUSES} times"),
    ):
        delays = list(_delays(log, "paused", guest.pause, guest.resume, times=PAUSES, both=True))
    return Figure(
        name="libvirt event to Kubernetes Event, p99",
        value=percentile(delays, 0.99),
        unit="s",
        goal=0.5,
        detail=f"{spread(delays)}; {PAUSES} pauses and as many resumes of one VM, {REST_S[0]} to {REST_S[1]} s apart",
    )


def breach_delay(system: System) -> Figure:
    """Make a guest busy; the delay runs from before the guest is asked to the Event's arrival at a watcher."""
    machine = system.add("busy", linux=True)
    machine.launcher.prefer()
    guest = machine.guest
    guest.wait_ready()
    system.put_in_force(
        "bench-busy", BUSY_RULE, target={"names": ["busy"]}, collection={"mode": "Hybrid", "interval": "1s"}
    )
    with (
        EventLog(system.control_plane.kubeconfig, system.namespace) as log,
        step(f"Making a guest busy {BREACHES} times"),
    ):
        delays = list(_delays(log, "busy", lambda: guest.busy(cpu=True), guest.calm, times=BREACHES, both=False))
    return Figure(
        name="threshold breach to Kubernetes Event at a 1 s interval, worst",
        value=max(delays),
        unit="s",
        goal=INTERVAL_S + 1.0,
        detail=f"{spread(delays)}; from asking a Linux guest to compute, its start included",
    )


def _delays(
    log: EventLog, name: str, cause: Callable[[], None], end: Callable[[], None], *, times: int, both: bool
) -> Iterator[float]:
    about = f"VirtualMachineInstance {name}"
    for number in range(times):
        yield _delay(log, about, "AlertCritical", cause, number)
        resolved = _delay(log, about, "AlertResolved", end, number)
        if both:
            yield resolved


def _delay(log: EventLog, about: str, reason: str, deed: Callable[[], None], number: int) -> float:
    time.sleep(random.uniform(*REST_S))
    before = len(log.told(about=about, reason=reason))
    begun = time.monotonic()
    deed()
    log.wait(
        lambda: len(log.told(about=about, reason=reason)) > before,
        what=f"the Event {reason} number {number + 1} about {about}",
        deadline=DEADLINE_S,
    )
    return log.told(about=about, reason=reason)[before].at - begun
