"""What is wrong with a connection, in a sentence that says what to do."""

import re

from virtwatch_agent.inventory.addresses import AddressKind, LibvirtAddress

# libvirt reports the system's words for these, not its numbers
_DENIED = "ermission denied"
_NOBODY_THERE = ("Connection refused", "No such file or directory")
# How addresses.py spells a folder whose path is too long for a socket's.
_DESCRIPTOR = re.compile(r"/proc/self/fd/\d+")
_REMEDY = {
    AddressKind.POD: "virt-launcher starts virtqemud again; if this stays, read the log of the pod's compute container",
    AddressKind.HOST: "start libvirtd or virtqemud on the host and read its log",
    AddressKind.URI: "see that its daemon runs and that `virsh -c URI list` works",
}
_DENIED_REMEDY = (
    "run as root or as a member of the group libvirt; a pod needs uid 0 with CAP_DAC_OVERRIDE, and the type spc_t "
    "where there is SELinux"
)


def not_opened(address: LibvirtAddress, error: Exception) -> str:
    """Say that a libvirt cannot be reached."""
    said = _DESCRIPTOR.sub(str(address.folder), str(error)).rstrip(".")
    remedy = _DENIED_REMEDY if _DENIED in said else _REMEDY[address.kind]
    return f"libvirt at {address.name} cannot be reached ({said}): {remedy}."


def nobody_there(error: Exception) -> bool:
    """Return whether a socket is gone or left over: no daemon has it open."""
    return any(words in str(error) for words in _NOBODY_THERE)


def lost(address: LibvirtAddress, reason: str) -> str:
    """Say that an open connection ended."""
    return f"The connection to libvirt at {address.name} was lost ({reason}): {_REMEDY[address.kind]}."


def same_uuid(name: str, other: str, uuid: str) -> str:
    """Say that a VM cannot be distinguished from another one."""
    return (
        f"VM {name} has the domain UUID of {other}, {uuid}, and is not watched while that one runs: give it one of its "
        "own (in KubeVirt spec.template.spec.domain.firmware.uuid)."
    )


def runs_twice(name: str, hidden: str, watched: str) -> str:
    """Say that a VM has two QEMUs, in two pods, of which one cannot be watched."""
    return (
        f"VM {name} runs twice on this node, in pod {watched} and in pod {hidden}, and is not watched in pod {hidden}: "
        "see which of the two should have ended and why it has not. A pod that was deleted by force is unknown to the "
        "API server, but its processes can hang on the node."
    )


def left_behind(name: str, old: str, new: str) -> str:
    """Say that a VM is watched in its new pod though its QEMU in the old one has not ended."""
    return (
        f"VM {name} is watched in pod {new} from now on: in pod {old} its QEMU has not ended, but its libvirt has: see "
        "on the node why its processes hang."
    )


def silent(address: LibvirtAddress) -> str:
    """Say that a libvirt does not answer."""
    return (
        f"libvirt at {address.name} takes connections and does not answer: see whether its daemon is stopped or "
        "overloaded (ps, its log)."
    )
