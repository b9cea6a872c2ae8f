"""Who watches the same guests: virtwatch, two peers from Debian, and the bare call that all figures could come from.

The peers are unpacked, not installed: an installed one would start by itself.
"""

import json
import subprocess
import sys
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from lab.process import Process, free_port, start, wait_for
from tools.cache import build_log, cached
from tools.commands import run_logged
from tools.errors import ToolError
from tools.machine import ensure_packages

LOOK_S = 10
STARTED_S = 30.0
PACKAGES = ("prometheus-libvirt-exporter", "collectd-core")
LIBRARIES = ("libvirt0", "libcap2", "libltdl7", "libxml2", "libyajl2")  # what they need besides
_COLLECTD = """\
Hostname "bench"
FQDNLookup false
BaseDir "{folder}"
PIDFile "{folder}/collectd.pid"
PluginDir "{unpacked}/usr/lib/collectd"
TypesDB "{unpacked}/usr/share/collectd/types.db"
Interval {interval}
LoadPlugin csv
<Plugin csv>
  DataDir "{folder}/csv"
</Plugin>
LoadPlugin virt
<Plugin virt>
  Connection "{uri}"
  RefreshInterval 60
  HostnameFormat name
  ExtraStats "disk domain_state memory vcpu"
</Plugin>
"""
_FLOOR = """
import sys, time, libvirt
connection = libvirt.openReadOnly(sys.argv[1])
while True:
    connection.getAllDomainStats(libvirt.VIR_DOMAIN_STATS_BLOCK | libvirt.VIR_DOMAIN_STATS_BALLOON)
    time.sleep(float(sys.argv[2]))
"""
# Rules that never fire and together want all that a disk and a balloon tell.
WANTED = (
    "vm.disk.read.rate",
    "vm.disk.write.rate",
    "vm.disk.write.operations.rate",
    "vm.disk.write.latency",
    "vm.memory.balloon",
)
CHEAP = (
    "vm.cpu.utilization",
    "vm.cpu.delay.ratio",
    "vm.memory.rss",
    "vm.network.receive.rate",
    "vm.network.transmit.rate",
)


@dataclass(frozen=True, slots=True)
class Peer:
    """One that watches: how it is started in a folder, and what lets it look where it does not look by itself."""

    name: str
    begin: Callable[[Path, str], tuple[Process, Callable[[], None]]]
    settle_s: float = LOOK_S

    @contextmanager
    def watching(self, folder: Path, uri: str) -> Iterator[tuple[int, Callable[[], None]]]:
        """Let it watch a libvirt; yield its process, and what to call once in `LOOK_S`."""
        folder.mkdir(parents=True, exist_ok=True)
        process, look = self.begin(folder, uri)
        try:
            yield process.pid, look
            if not process.alive:
                raise ToolError(f"{self.name} ended while it was measured:\n{process.tail()}", log=process.log)
        finally:
            process.stop()


def virtwatch(signals: tuple[str, ...], *, interval: int, name: str = "virtwatch") -> Peer:
    """Judge these signals of all VMs, one rule each, every so many seconds."""

    def begin(folder: Path, uri: str) -> tuple[Process, Callable[[], None]]:
        file = folder / "policy.json"
        file.write_text(json.dumps(policy(signals, interval)))
        command = Path(sys.executable).with_name("virtwatch")
        argv: list[str | Path] = [command, "watch", "--connect", uri, "--file", file, "--values", "0s"]
        return start("virtwatch", argv, run_dir=folder), _nothing

    # All VMs are found, and all rules in force, by then.
    return Peer(name, begin, settle_s=3.0 * LOOK_S)


def exporter() -> Peer:
    return Peer("prometheus-libvirt-exporter", _begin_exporter, settle_s=1.0)


def collectd() -> Peer:
    return Peer("collectd", _begin_collectd)


def floor() -> Peer:
    """Call libvirt's bulk statistics, and do nothing with them."""

    def begin(folder: Path, uri: str) -> tuple[Process, Callable[[], None]]:
        return start("floor", [sys.executable, "-c", _FLOOR, uri, str(LOOK_S)], run_dir=folder), _nothing

    return Peer("bare bulk call", begin)


def _begin_exporter(folder: Path, uri: str) -> tuple[Process, Callable[[], None]]:
    port = free_port()
    address = f"127.0.0.1:{port}"
    argv: list[str | Path] = [_unpacked() / "usr/bin/prometheus-libvirt-exporter", f"--web.listen-address={address}"]
    process = start("exporter", [*argv, f"--libvirt.uri={uri}"], run_dir=folder)

    def look() -> None:
        with urllib.request.urlopen(f"http://{address}/metrics", timeout=60) as answer:
            answer.read()

    def looks() -> bool:
        try:
            look()
        except OSError:
            return False
        return True

    wait_for(looks, what="the exporter to answer", deadline=STARTED_S, process=process, poll=0.2)
    return process, look


def _begin_collectd(folder: Path, uri: str) -> tuple[Process, Callable[[], None]]:
    unpacked = _unpacked()
    config = folder / "collectd.conf"
    config.write_text(_COLLECTD.format(folder=folder, unpacked=unpacked, interval=LOOK_S, uri=uri))
    process = start("collectd", [unpacked / "usr/sbin/collectd", "-f", "-C", config], run_dir=folder)
    csv = folder / "csv"
    wait_for(csv.exists, what="collectd to write", deadline=STARTED_S, process=process, poll=0.2)
    return process, _nothing


def _nothing() -> None:
    """Do nothing: it looks by itself."""


def _unpacked() -> Path:
    """Return the folder of the peers' packages, downloaded once."""
    ensure_packages(LIBRARIES)
    return cached("bench-peers", [Path(__file__)], _unpack)


def _unpack(folder: Path) -> None:
    log = build_log("bench-peers")
    command = ["apt-get", "--quiet", "--option=APT::Sandbox::User=root", "download", *PACKAGES]
    run_logged(command, log=log, cwd=folder)
    for package in folder.glob("*.deb"):
        subprocess.run(["dpkg-deb", "--extract", package, folder], check=True)
        package.unlink()


def policy(signals: tuple[str, ...], interval: int) -> Mapping[str, object]:
    """Return a policy with a rule that never fires for each signal, for all VMs, every so many seconds."""
    rules = [
        {"name": f"rule-{number}", "threshold": {"signal": signal, "warning": {"above": _out_of_reach(signal)}}}
        for number, signal in enumerate(signals)
    ]
    return {
        "apiVersion": "virtwatch.io/v1alpha1",
        "kind": "ClusterMonitorPolicy",
        "metadata": {"name": "bench"},
        "spec": {"collection": {"mode": "Hybrid", "interval": f"{interval}s"}, "rules": rules},
    }


def _out_of_reach(signal: str) -> str | int:
    if signal.endswith(("ratio", "utilization")):
        return "99.9%"
    return "1000s" if signal.endswith("latency") else 10**15
