"""What the machine itself has of links, packet filter rules, control groups, mounts and kernel settings."""

import subprocess
from collections.abc import Iterator
from pathlib import Path

from lab.node.cgroup import hierarchies
from lab.process import wait_for

# What kubelets, network plugins and virt-handler are known to change.
SETTINGS = (
    *("vm.overcommit_memory", "vm.panic_on_oom", "vm.unprivileged_userfaultfd", "kernel.panic", "kernel.panic_on_oops"),
    *("kernel.keys.root_maxkeys", "kernel.keys.root_maxbytes", "net.ipv4.ip_forward", "net.ipv6.conf.all.forwarding"),
    *("net.ipv4.conf.all.route_localnet", "net.bridge.bridge-nf-call-iptables"),
)


def kernel_settings() -> dict[str, str]:
    """Return those of the settings that this kernel has."""
    files = {name: Path("/proc/sys", name.replace(".", "/")) for name in SETTINGS}
    return {name: file.read_text().strip() for name, file in files.items() if file.exists()}


def on_the_machine() -> frozenset[str]:
    """Name all of it, so that what two moments have differently is what stayed, or went, in between."""
    return frozenset(f"{kind} {name}" for kind, names in _found().items() for name in names)


def wait_as_before(before: frozenset[str]) -> None:
    """Return when the machine has nothing that it did not have before: the kernel takes a while to end a link."""
    wait_for(lambda: on_the_machine() <= before, what=f"{sorted(on_the_machine() - before)} to go", deadline=120)


def _found() -> dict[str, Iterator[str]]:
    return {
        "link": (link.name for link in Path("/sys/class/net").iterdir()),
        "rule": (line for command in ("iptables-save", "ip6tables-save") for line in _rules(command)),
        "control group": (str(top) for mount in hierarchies().mounts for top in mount.iterdir() if top.is_dir()),
        "mount": (line.split()[4] for line in Path("/proc/self/mountinfo").read_text().splitlines()),
        "setting": (f"{name}={value}" for name, value in kernel_settings().items()),
    }


def _rules(command: str) -> Iterator[str]:
    """Yield rules, and chains that are nobody's but their maker's: those of the kernel have a policy."""
    for line in subprocess.run([command], capture_output=True, text=True, check=True).stdout.splitlines():
        if line.startswith("-A") or (line.startswith(":") and line.split()[1] == "-"):
            yield line.partition(" [")[0]
