import json
import subprocess
import sys
import time

from lab.installed.events import EventLog, Told
from lab.installed.system import System
from lab.installed.virtualmachine import VirtualMachine
from tools.errors import ToolError

DEADLINE_S = 120.0
REVIVE_S = 5.0  # between looks whether the VM's libvirtd still runs


class Watched:
    """A VM under a rule that fires while it is paused, and what is told of it; counts begin anew with each test.

    What is told belongs to the test in which it happened: the end of an alert of the test before may be told late.
    """

    def __init__(self, system: System, machine: VirtualMachine, events: EventLog) -> None:
        self.system, self.machine = system, machine
        self.events = events
        self._about = f"VirtualMachineInstance {machine.name}"
        self.began = time.time()
        self._log = system.agent.log
        self._log_start = self._log.stat().st_size

    @property
    def told(self) -> list[str]:
        """Give the reasons of the Events about the VM so far."""
        return [event.reason for event in self._told()]

    @property
    def names(self) -> list[str]:
        return [event.name for event in self._told()]

    @property
    def notes(self) -> list[str]:
        return [event.note for event in self._told()]

    def pause(self) -> None:
        revive(self.machine)
        self.machine.guest.pause()

    def resume(self) -> None:
        revive(self.machine)
        self.machine.guest.resume()

    def wait_told(self, *reasons: str, deadline: float = DEADLINE_S) -> None:
        """Return when exactly these Events have been told."""
        end = time.monotonic() + deadline
        while self.told != list(reasons):
            revive(self.machine)
            rest = end - time.monotonic()
            try:
                self.events.wait(
                    lambda: self.told == list(reasons),
                    what=f"the Events {', '.join(reasons)}",
                    deadline=max(0.0, min(rest, REVIVE_S)),
                )
            except ToolError as error:
                if rest > 0:
                    continue
                # Whether the agent did not report, or the operator did not tell what it reported.
                monitor = json.dumps(self.system.monitor(), indent=1)
                raise ToolError(f"{error}\nThe NodeMonitor says:\n{monitor}") from error

    def wait_log(self, text: str, deadline: float = DEADLINE_S) -> None:
        """Return when the agent has logged this text since the test began."""
        self.system.wait(lambda: text in self.log, what=f"the agent to log {text!r}", deadline=deadline)

    @property
    def log(self) -> str:
        """What the agent logged since the test began."""
        with self._log.open() as file:
            file.seek(self._log_start)
            return file.read()

    def wait_virtual_machines(self, number: int) -> None:
        """Return when the agent watches this many VMs."""
        self.system.wait(
            lambda: self.system.status().get("virtualMachines") == number, what=f"{number} VMs to be watched"
        )

    def wait_firing(self, *rules: str) -> None:
        """Return when alerts of exactly these rules fire on the node."""

        def fire() -> bool:
            revive(self.machine)
            return sorted(item["rule"] for item in self.system.status().get("firing", [])) == sorted(rules)

        self.system.wait(fire, what=f"the rules {', '.join(rules)} to fire")

    @property
    def complaints(self) -> list[str]:
        """Give the lines in which the agent complained since the test began."""
        return [line for line in self.log.splitlines() if " WARNING " in line or " ERROR " in line]

    def wait_condition(self, type_: str, status: str, *, saying: str = "", deadline: float = DEADLINE_S) -> None:
        """Return when a condition of the NodeMonitor has this status and its message holds the text."""

        def holds() -> bool:
            conditions = self.system.status().get("conditions", [])
            return any(
                item["type"] == type_ and item["status"] == status and saying in item["message"] for item in conditions
            )

        self.system.wait(holds, what=f"the NodeMonitor to be {type_}={status} {saying}", deadline=deadline)

    def _told(self) -> list[Told]:
        return self.events.told(about=self._about, since=self.began)


def revive(machine: VirtualMachine) -> None:
    """Start a VM's libvirtd where it has ended: 9.0 crashes when a client is killed, seldom, through a null pointer."""
    if not machine.launcher.daemon.alive:
        machine.launcher.daemon.restart()


def explain_by_agent(system: System, target: str) -> dict:
    """Ask until the agent answers: where it is busy for 6 s, the operator says the rules alone."""
    said: dict = {}
    system.wait(
        lambda: said.update(explain(system, target)) or said["answeredBy"] == "Agent", what="the agent to explain"
    )
    return said


def explain(system: System, target: str) -> dict:
    command = [sys.executable, "-m", "virtwatch_cli.__main__", "explain", target, "--cluster", "-o", "json"]
    env = {"KUBECONFIG": str(system.control_plane.kubeconfig), "PATH": ""}
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60, env=env)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)
