"""python -m lab guest NAME REQUEST: load a guest of a kept run, KubeVirt's or libvirt's own."""

from lab.guests.command import LOADS
from lab.guests.command import guest as libvirts_guest
from lab.kubevirt.kept import KeptVm, find_vm
from lab.kubevirt.vm import VirtualMachine
from tools.errors import ToolError


def guest(name: str, request: list[str]) -> None:
    """Do what was asked of a guest, then print its state."""
    kept = find_vm(name)
    if kept is None:
        libvirts_guest(name, request)
        return
    _obey(kept, request)
    print(f"{name}: {_state(kept.vm)}")


def _state(vm: VirtualMachine) -> str:
    if not vm.phase:
        return "stopped"  # Only a VM that is to run has a VirtualMachineInstance.
    return f"{vm.phase} on {vm.node}{f' ({vm.paused})' if vm.paused else ''}"


def _obey(kept: KeptVm, request: list[str]) -> None:
    match request:
        case [] | ["state"]:
            return
        case [load, "on" | "off"] if load in LOADS:
            _ask(kept, " ".join(request))
        case ["fill"] if kept.disk:
            kept.disk.fill()
            _ask(kept, "fill")
        case ["free"] if kept.disk:
            kept.disk.free()
        case _:
            known = ", ".join(f"{load} on|off" for load in LOADS) + (", fill, free" if kept.disk else "")
            raise ToolError(
                f"{kept.vm.spec.name} does not know {' '.join(request)!r}; it knows {known}. The rest is KubeVirt's to "
                "do: virtctl pause, unpause, stop, start, migrate."
            )


def _ask(kept: KeptVm, request: str) -> None:
    kept.vm.ask(request, on=kept.cluster.nodes[kept.vm.node])
