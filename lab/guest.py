"""python -m lab guest NAME REQUEST: load, break and heal a guest of a kept run; the run's folder remembers them."""

import json
from collections.abc import Callable, Iterable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from lab.guests.guest import Guest
from lab.guests.host import HostLibvirt
from lab.guests.launcher import Launcher
from lab.keep import newest_kept
from lab.kubevirt.vm import VirtualMachine, VmSpec, host_disk
from lab.node.cluster import Cluster
from lab.rundir import RunDir
from tools.errors import ToolError

FILE = "guests.json"
LOADS = ("cpu", "disk", "net", "memory")


def remember(
    run: RunDir,
    *,
    host: HostLibvirt,
    launchers: Iterable[Launcher] = (),
    nodes: Iterable[str] = (),
    vms: Iterable[VmSpec] = (),
) -> None:
    """Write down a run's guests, all of which run Linux."""
    kept = {
        "launchers": [launcher.described for launcher in launchers],
        "host": [guest.name for guest in host.guests],
        "nodes": list(nodes),
        "vms": [asdict(spec) for spec in vms],
    }
    (run.path / FILE).write_text(json.dumps(kept, default=str))


def guest(name: str, request: list[str]) -> None:
    """Do what was asked of a guest of the run that this checkout kept last, then print its state."""
    run = newest_kept(FILE)
    if run is None:
        raise ToolError("No guests are up: make demo KEEP=1 leaves some running.")
    kept = json.loads((run.path / FILE).read_text())
    vm = next((entry for entry in kept["vms"] if entry["name"] == name), None)
    if vm is not None:
        state = _obey(run, kept["nodes"], vm, request)
    else:
        act = read_request(request)
        found = _find(run, kept, name)
        act(found)
        state = f"{found.state.state} ({found.state.reason})"
    print(f"{name}: {state}")


def read_request(request: list[str]) -> Callable[[Guest], object]:
    """Return the deed that a request names; an unknown one is a ToolError."""
    match request:
        case [] | ["state"]:
            return lambda _: None
        case [load, "on"] if load in LOADS:
            return lambda guest: guest.busy(**{load: True})
        case [load, "off"] if load in LOADS:
            return lambda guest: guest.calm(load)
        case [verb] if verb in REQUESTS:
            return REQUESTS[verb]
    loads = ", ".join(f"{load} on|off" for load in LOADS)
    raise ToolError(f"A guest does not know {' '.join(request)!r}; it knows {loads}, {', '.join(REQUESTS)} and state.")


def _crash(guest: Guest) -> None:
    guest.crash()
    guest.wait_state("crashed", "panicked")


def _start(guest: Guest) -> None:
    if guest.state.state == "crashed":
        guest.destroy()  # Its QEMU is kept for a look at it, and stands in the way.
    guest.start()


REQUESTS: dict[str, Callable[[Guest], object]] = {
    "calm": Guest.calm,
    "fill": Guest.fill_disk,
    "free": Guest.free_disk,
    "pause": Guest.pause,
    "resume": Guest.resume,
    "crash": _crash,
    "reboot": Guest.reboot,
    "poweroff": Guest.poweroff,
    "watchdog": Guest.starve_watchdog,
    "freeze": Guest.freeze_qemu,
    "thaw": Guest.thaw_qemu,
    "kill": Guest.kill_qemu,
    "destroy": Guest.destroy,
    "start": _start,
}


def _find(run: RunDir, kept: dict[str, Any], name: str) -> Guest:
    """Reach a guest of libvirt's; a VM of KubeVirt's shape goes by its VMI's name."""
    for entry in kept["launchers"]:
        if entry["vmi"] == name:
            launcher = Launcher(run, **{**entry, "pods_dir": Path(entry["pods_dir"])})
            launcher.attach()
            return launcher.guest
    host = HostLibvirt(run)
    host.attach(kept["host"])
    found = next((guest for guest in host.guests if guest.name == name), None)
    if found is None:
        names = [*(entry["vmi"] for entry in kept["launchers"]), *kept["host"], *(vm["name"] for vm in kept["vms"])]
        raise ToolError(f"No guest is called {name}: there are {', '.join(names)}.")
    return found


def _obey(run: RunDir, nodes: Iterable[str], entry: dict[str, Any], request: list[str]) -> str:
    """Do what was asked of a VM of KubeVirt's and return its state; most is KubeVirt's own to do."""
    cluster = Cluster(run)
    cluster.attach(nodes)
    spec = VmSpec(**{**entry, "host_disk": Path(entry["host_disk"]) if entry["host_disk"] else None})
    vm = VirtualMachine(cluster.control_plane, spec)
    match request:
        case [] | ["state"]:
            pass
        case [load, "on" | "off"] if load in LOADS:
            vm.ask(" ".join(request), on=vm.on(cluster.nodes))
        case ["fill"] if spec.host_disk:
            host_disk(cluster.nodes[spec.node], spec.name).fill()
            vm.ask("fill", on=vm.on(cluster.nodes))
        case ["free"] if spec.host_disk:
            host_disk(cluster.nodes[spec.node], spec.name).free()
        case _:
            known = ", ".join(f"{load} on|off" for load in LOADS) + (", fill, free" if spec.host_disk else "")
            raise ToolError(
                f"{spec.name} does not know {' '.join(request)!r}; it knows {known}. The rest is KubeVirt's to do: "
                "virtctl pause, unpause, stop, start, migrate."
            )
    if not vm.phase:
        return "stopped"  # Only a VM that is to run has a VirtualMachineInstance.
    return f"{vm.phase} on {vm.node}{f' ({vm.paused})' if vm.paused else ''}"
