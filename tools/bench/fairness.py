"""What a quiet node costs however many policies there are, and what one tenant's storm costs another."""

import json
import threading
import time

from lab.installed.events import EventLog
from lab.installed.system import System, monitor_policy
from lab.installed.virtualmachine import VirtualMachine
from tools.bench.delays import PAUSED_RULE
from tools.bench.figure import Figure, percentile, spread
from tools.progress import step
from virtwatch_kube.client import KubeClient
from virtwatch_kube.paths import virtwatch

FEW, MANY = 10, 256
SETTLED_S = 120.0
QUIET_BYTES = 8192
RULES = 32  # as many event rules as flap with the VM
STORM_S = 60.0
OTHERS = 8  # transitions of the other tenant's VM: fewer than what counts as flapping
DEADLINE_S = 30.0


def report_sizes(system: System) -> list[Figure]:
    """Measure the NodeMonitor of a node while no policy of many in the cluster selects anything there."""
    return [_report_size(system, count) for count in (FEW, MANY)]


def _report_size(system: System, count: int) -> Figure:
    client = KubeClient.from_environment(str(system.control_plane.kubeconfig))
    rule = {"name": "busy", "threshold": {"signal": "vm.cpu.utilization", "critical": {"above": "0.9"}}}
    with step(f"Applying {count} policies that select nothing"):
        for number in range(count):
            name = f"nothing-{number:03}"
            body = monitor_policy(name, system.namespace, rule, target={"names": ["no-such-vm"]})
            client.apply(virtwatch("monitorpolicies", namespace=system.namespace, name=name), body, manager="bench")
        system.wait(
            lambda: system.condition(f"nothing-{count - 1:03}", "Ready") == "True",
            what=f"{count} policies to be Ready",
            deadline=SETTLED_S,
        )
    size = len(json.dumps(system.monitor(), separators=(",", ":")))
    return Figure(
        name=f"NodeMonitor of a quiet node, {count} policies that select nothing there",
        value=size,
        unit="B",
        goal=QUIET_BYTES,
        detail=f"the whole object, {len(system.monitor()['metadata'].get('labels') or {})} labels",
    )


def storm_delay(system: System) -> Figure:
    """Let one VM flap each second under many rules; meanwhile pause another tenant's VM now and then."""
    flapping, other = system.add("flapping"), system.add("other")
    for machine in (flapping, other):
        machine.guest.resume()
    rules = [{**PAUSED_RULE, "name": f"paused-{number}"} for number in range(RULES)]
    system.put_in_force("bench-storm", *rules, target={"names": ["flapping"]})
    system.put_in_force("bench-other", PAUSED_RULE, target={"names": ["other"]})
    ending = threading.Event()
    storm = threading.Thread(target=_flap, args=(flapping, ending), daemon=True)
    with (
        EventLog(system.control_plane.kubeconfig, system.namespace) as log,
        step(f"Pausing and resuming one VM each second under {RULES} rules, another one now and then"),
    ):
        storm.start()
        delays = []
        for number in range(OTHERS):
            time.sleep(STORM_S / OTHERS)
            pauses = number % 2 == 0
            delays.append(_delay(log, other.guest.pause if pauses else other.guest.resume, pauses=pauses))
        ending.set()
        storm.join()
    return Figure(
        name="another tenant's libvirt event to its Kubernetes Event while a VM flaps under 32 rules, worst",
        value=percentile(delays, 1.0),
        unit="s",
        goal=2.0,
        detail=f"{spread(delays)}; over {STORM_S:g} s, with the agent's and the operator's own limits",
    )


def _flap(machine: VirtualMachine, ending: threading.Event) -> None:
    while not ending.wait(0.5):
        machine.guest.pause()
        if ending.wait(0.5):
            return
        machine.guest.resume()


def _delay(log: EventLog, deed: object, *, pauses: bool) -> float:
    about, reason = "VirtualMachineInstance other", "AlertCritical" if pauses else "AlertResolved"
    before = len(log.told(about=about, reason=reason))
    begun = time.monotonic()
    assert callable(deed)
    deed()
    log.wait(
        lambda: len(log.told(about=about, reason=reason)) > before,
        what=f"the Event {reason} about {about}",
        deadline=DEADLINE_S,
    )
    return log.told(about=about, reason=reason)[before].at - begun
