"""What the agent measures of a VM that KubeVirt runs, where KubeVirt decides whether it can be measured."""

from collections.abc import Iterator

import pytest

from lab.kubevirt.vm import VirtualMachine
from lab.process import wait_for
from tests.e2e.kubevirt.watched import DEADLINE_S, Watched

pytestmark = pytest.mark.timeout(900)
POLICY = "figures"
# Each fires for any VM that works, once its figure is there.
LEVELS = {
    # libvirt does not tell it: the QEMU process was found, by its pod.
    "process": {"signal": "vm.memory.rss", "critical": {"above": "1Mi"}},
    # The tap, in the pod's network namespace.
    "tap": {"signal": "vm.network.transmit.packets.rate", "critical": {"above": "1"}},
    # The guest's own figures are asked for all the time, each 10 s.
    "balloon": {"signal": "vm.memory.guest.age", "critical": {"below": "30"}},
    # KubeVirt gave the annotation to the VMI, and the agent read it there.
    "annotated": {"signal": "vm.memory.rss", "critical": {"above": "1Ti"}},
}
ANNOTATIONS = {"virtwatch.io/rule.annotated": "critical=1Mi"}


@pytest.fixture
def vm(watched: Watched) -> Iterator[VirtualMachine]:
    """Run a VM under the rules."""
    made = watched.vm("figures-1", disk=False, annotations=ANNOTATIONS)
    rules = [{"name": name, "threshold": level} for name, level in LEVELS.items()]
    watched.put_in_force(POLICY, *rules, target={"names": ["figures-1"]}, collection={"interval": "1s"})
    yield made
    made.delete()
    watched.forget(POLICY)


def test_a_vm_is_measured_by_its_process_its_tap_and_its_balloon(watched: Watched, vm: VirtualMachine) -> None:
    watched.ask(vm, "net on")

    wait_for(
        lambda: {alert["rule"] for alert in watched.alerts(POLICY, vm)} == LEVELS.keys(),
        what=f"alerts on {', '.join(LEVELS)} to fire",
        deadline=DEADLINE_S,
    )
