"""Which network interfaces are macvtaps: the device tells, for a domain's XML may call one a tap (KubeVirt's does)."""

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

_KINDS = ("macvtap", "macvlan")  # as the kernel calls the type of such a device


class Macvtaps:
    """Look at the host's /proc and /sys, which name macvtaps of every network namespace by their character devices."""

    def __init__(self, proc: Path, sys: Path) -> None:
        self._proc = proc
        self._sys = sys

    def __contains__(self, interface: object) -> bool:
        return interface in set(self._of_all_namespaces()) or self._of_this_namespace(str(interface))

    def _of_all_namespaces(self) -> Iterator[str]:
        # Each macvtap has a device /dev/tap<N>; its link leads through the folder of its interface.
        majors = self._majors()
        for link in (self._sys / "dev" / "char").glob("*:*") if majors else ():
            if link.name.partition(":")[0] in majors:
                with suppress(OSError):
                    parts = link.readlink().parts
                    yield from parts[parts.index("net") + 1 :][:1] if "net" in parts else ()

    def _majors(self) -> set[str]:
        try:
            lines = (self._proc / "devices").read_text().splitlines()
        except OSError:
            return set()
        return {line.split()[0] for line in lines if line.split()[1:] == ["macvtap"]}

    def _of_this_namespace(self, interface: str) -> bool:
        try:
            text = (self._sys / "class" / "net" / interface / "uevent").read_text()
        except OSError:
            return False
        return any(f"DEVTYPE={kind}" in text.splitlines() for kind in _KINDS)
