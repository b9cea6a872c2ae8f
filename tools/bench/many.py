"""What watching many VMs costs the process that watches, on libvirt's own test driver: at rest, and each second.

The VMs are made up and have no QEMU: what remains is the process itself. At rest nothing fires and nobody looks.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from lab.guests.host import HostLibvirt
from lab.rundir import RunDir, clean
from tools.bench.bytecode import compiled
from tools.bench.cost import cpu_seconds, resident
from tools.bench.figure import Figure
from tools.bench.history import Run, kept
from tools.bench.peers import policy
from tools.bench.watching import SIGNALS
from tools.errors import ToolError
from tools.progress import step

SETTLE_S, MEASURE_S = 35.0, 25.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """Say how many VMs are looked at how often (seconds), by how many rules, and what that may cost."""

    name: str
    machines: int
    interval: int
    rules: int = 5
    socket: bool = False  # a libvirtd gives them, by its socket; else the process has them itself
    goal: float

    @property
    def title(self) -> str:
        where = ", over a socket" if self.socket else ""
        return f"{self.name}: {self.machines} VMs x {self.rules} rules, {self.interval} s{where}, own CPU"


LOADS = (
    Load(name="at rest", machines=20, interval=10, goal=0.1),
    Load(name="at rest", machines=100, interval=10, goal=0.1),
    Load(name="each second", machines=200, interval=1, goal=1.5),
    Load(name="many", machines=500, interval=1, rules=1, socket=True, goal=2.5),
    Load(name="many", machines=1000, interval=1, rules=1, socket=True, goal=5.0),
)


def many_cost(*, loads: Sequence[Load] = LOADS) -> Iterator[Figure]:
    """Measure `virtwatch watch` under each load, one after the other."""
    with tempfile.TemporaryDirectory() as folder:
        env = compiled(Path(folder, "bytecode"), "virtwatch_cli.__main__", "virtwatch_cli.watch.session")
        for load in loads:
            yield _measure(load, Path(folder), env)


def _measure(load: Load, folder: Path, env: dict[str, str]) -> Figure:
    host, policies = folder / "host.xml", folder / "policy.json"
    host.write_text(_host(load.machines))
    policies.write_text(json.dumps(policy(SIGNALS[: load.rules], load.interval)))
    command: list[str | Path] = [
        Path(sys.executable).with_name("virtwatch"),
        "watch",
        "--file",
        policies,
        "--values",
        "0s",
    ]
    with step(f"Watching {load.machines} VMs, {load.interval} s"), _uri(host, by_socket=load.socket) as uri:
        # What it prints is more than a pipe holds: in a file it holds nothing up.
        with (
            (folder / "printed").open("w+b") as printed,
            subprocess.Popen(
                [*command, "--connect", uri], stdin=subprocess.DEVNULL, stdout=printed, env=env
            ) as process,
        ):
            try:
                time.sleep(SETTLE_S)
                before, begun = cpu_seconds(process.pid), time.monotonic()
                time.sleep(MEASURE_S)
                used = (cpu_seconds(process.pid) - before) / (time.monotonic() - begun)
                memory = resident(process.pid)
            finally:
                process.terminate()
        printed_text = (folder / "printed").read_text()
    if f"Watching {load.machines} VMs" not in printed_text:
        raise ToolError(f"virtwatch watch does not watch what it should: {printed_text[:200]!r}")
    detail = f"test driver, over {MEASURE_S:g} s; {used / load.machines * load.interval * 1e6:.0f} µs a VM and look"
    detail += f", {memory:.0f} MiB resident"
    return Figure(name=load.title, value=used * 100.0, unit="% of a CPU", goal=load.goal, detail=detail)


@contextmanager
def _uri(host: Path, *, by_socket: bool) -> Iterator[str]:
    if not by_socket:
        yield f"test://{host}"
        return
    run = RunDir.create("bench")
    try:
        libvirt = HostLibvirt(run, name="many")
        libvirt.start(linux=False)
        yield f"test+unix://{host}?socket={libvirt.socket}"
        libvirt.stop()
    finally:
        clean(run)


def _host(machines: int) -> str:
    domains = "".join(
        f"""<domain type='test'><name>vm-{number}</name><uuid>{uuid.UUID(int=number + 1)}</uuid>
        <memory>8388608</memory><vcpu>2</vcpu><os><type>hvm</type></os>
        <devices><interface type='network'><source network='default'/><target dev='vnet{number}'/></interface></devices>
        </domain>"""
        for number in range(machines)
    )
    return f"<node>{domains}</node>"


def main() -> None:
    """Measure alone what `make bench` measures with all else."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--machines", type=int, nargs="*", help="of the loads, those with so many VMs")
    chosen = parser.parse_args().machines
    loads = [load for load in LOADS if not chosen or load.machines in chosen]
    for figure in kept(many_cost(loads=loads), run=Run.here()):
        print(figure.line(), flush=True)


if __name__ == "__main__":
    main()
