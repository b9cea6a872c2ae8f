"""All of virtwatch as processes on a control plane of its own, which these tests may kill."""

import subprocess
from collections.abc import Iterator

import pytest

from lab.controlplane.cluster import VMI_CRD, ControlPlane
from lab.installed.events import EventLog
from lab.installed.system import System
from lab.installed.virtualmachine import VirtualMachine
from lab.rundir import RunDir, clean
from tests.integration.system.watched import Watched, revive
from tests.otlp_sink import Answer, Sink
from tools.checkout import CHECKOUT

PAUSED = "paused"
RULE = {
    "name": PAUSED,
    "severity": "Critical",
    "event": {"type": "vm.paused", "resolveOn": ["vm.resumed", "vm.stopped"]},
}


# Short intervals, so that tests wait for seconds; no Lease, which a killed operator would hold for a while.
ENV = {
    "VIRTWATCH_EXPORT_INTERVAL": "1s",
    "VIRTWATCH_LEASE": "off",
    "OTEL_METRIC_EXPORT_INTERVAL": "1000",
    "OTEL_EXPORTER_OTLP_TIMEOUT": "5",
    "PYTHONPATH": str(CHECKOUT / "tests" / "older"),
}


@pytest.fixture(scope="session")
def system_run() -> Iterator[RunDir]:
    made = RunDir.create("tests-system")
    yield made
    clean(made)


@pytest.fixture(scope="session")
def otlp() -> Iterator[Sink]:
    with Sink() as sink:
        yield sink


@pytest.fixture(scope="session")
def system(system_run: RunDir, otlp: Sink) -> Iterator[System]:
    control_plane = ControlPlane(system_run)
    control_plane.start()
    control_plane.apply_crds(VMI_CRD)
    started = System(system_run, control_plane, otlp=otlp.otlp_http, namespace="shop", env=ENV)
    # A file system of its own, which a test can fill.
    started.state_dir.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", started.state_dir], check=True)
    started.start()
    yield started
    started.stop()
    control_plane.stop()


@pytest.fixture(scope="session")
def machine(system: System) -> VirtualMachine:
    """Run a VM without an operating system."""
    made = system.add("web-1")
    made.guest.resume()
    return made


@pytest.fixture(scope="session")
def events(system: System) -> Iterator[EventLog]:
    with EventLog(system.control_plane.kubeconfig, system.namespace) as log:
        yield log


@pytest.fixture
def watched(system: System, machine: VirtualMachine, events: EventLog, otlp: Sink) -> Iterator[Watched]:
    """Have a rule in force that fires while the VM is paused; after the test nothing fires.

    Its policy alone stays for the next test: to take it away and put it in force again takes two reports of the agent.
    """
    revive(machine)
    system.put_in_force(PAUSED, RULE, target={"names": [machine.name]})
    yield Watched(system, machine, events)
    otlp.answer(Answer.ACCEPT)
    revive(machine)
    if machine.guest.state.state == "paused":
        machine.guest.resume()
    others = f"--field-selector=metadata.name!={PAUSED}"
    system.control_plane.kubectl("delete", "monitorpolicy", others, f"--namespace={system.namespace}")
    system.wait(lambda: not system.status().get("firing"), what="no alert to fire any more")
