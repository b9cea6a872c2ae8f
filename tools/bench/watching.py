"""What watching many VMs under many policies costs one process, on libvirt's own test driver."""

import json
import subprocess
import sys
import tempfile
import time
import uuid
from pathlib import Path

from tools.bench.bytecode import compiled
from tools.bench.cost import cpu_seconds, resident
from tools.bench.figure import Figure
from tools.errors import ToolError
from tools.progress import step

VMS, POLICIES = 200, 200
LOOK_S, SETTLED, SETTLE_S, MEASURE_S = 5.0, 0.15, 180.0, 30.0
CPU_GOAL, MEMORY_GOAL_MIB = 0.04, 80.0
# What the test driver gives of each VM without its monitor.
SIGNALS = (
    "vm.cpu.utilization",
    "vm.cpu.worst.utilization",
    "vm.network.receive.rate",
    "vm.network.receive.packets.rate",
    "vm.network.transmit.rate",
    "vm.network.transmit.packets.rate",
)


def watching_cost() -> tuple[Figure, Figure]:
    """Measure CPU and memory of `virtwatch watch` while nothing fires; each policy selects all VMs."""
    name = f"virtwatch watch, {VMS} VMs x {POLICIES} policies with a rule each, 1 s"
    with tempfile.TemporaryDirectory() as folder, step(f"Watching {VMS} VMs under {POLICIES} policies"):
        host, policies = Path(folder, "host.xml"), Path(folder, "policies.yaml")
        host.write_text(_host())
        policies.write_text("\n---\n".join(json.dumps(_policy(number)) for number in range(POLICIES)))
        env = compiled(Path(folder, "bytecode"), "virtwatch_cli.__main__", "virtwatch_cli.watch.session")
        command = Path(sys.executable).with_name("virtwatch")
        # What it prints is more than a pipe holds: in a file it holds nothing up.
        with (
            Path(folder, "printed").open("w+b") as printed,
            subprocess.Popen(
                [command, "watch", "--connect", f"test://{host}", "--file", policies, "--values", "0s"],
                stdin=subprocess.DEVNULL,
                stdout=printed,
                env=env,
            ) as process,
        ):
            try:
                used, memory = _measure(process.pid)
            finally:
                process.terminate()
            told = Path(printed.name).read_text()
        if f"Watching {VMS} VMs" not in told or f"rule-{POLICIES - 1:03}" not in told:
            raise ToolError(f"virtwatch watch does not judge what it should: {told[:200]!r}")
    detail = f"test driver, over {MEASURE_S:g} s, once all rules are in force; no values shown"
    return (
        Figure(name=f"{name}, CPU", value=used, unit="CPUs", goal=CPU_GOAL, detail=detail),
        Figure(name=f"{name}, memory", value=memory, unit="MiB", goal=MEMORY_GOAL_MIB, detail=f"RSS; {detail}"),
    )


def _measure(pid: int) -> tuple[float, float]:
    _settle(pid)
    before, begun = cpu_seconds(pid), time.monotonic()
    time.sleep(MEASURE_S)
    return (cpu_seconds(pid) - before) / (time.monotonic() - begun), resident(pid)


def _settle(pid: int) -> None:
    """Return once it has put all rules in force for all VMs, which takes all of a CPU that it gets."""
    end = time.monotonic() + SETTLE_S
    quiet = 0
    while quiet < 2:
        before, begun = cpu_seconds(pid), time.monotonic()
        time.sleep(LOOK_S)
        used = (cpu_seconds(pid) - before) / (time.monotonic() - begun)
        quiet = quiet + 1 if begun > end - SETTLE_S + LOOK_S and used < SETTLED else 0
        if time.monotonic() > end:
            raise ToolError(f"virtwatch watch still uses {used:.0%} of a CPU, {SETTLE_S:g} s after its start")


def _policy(number: int) -> dict[str, object]:
    signal = SIGNALS[number % len(SIGNALS)]
    rule = {"signal": signal, "warning": {"above": "90%" if signal.endswith("utilization") else 10**12 + number}}
    return {
        "apiVersion": "virtwatch.io/v1alpha1",
        "kind": "ClusterMonitorPolicy",
        "metadata": {"name": f"policy-{number:03}"},
        "spec": {
            "collection": {"mode": "Hybrid", "interval": "1s"},
            "rules": [{"name": f"rule-{number:03}", "threshold": rule}],
        },
    }


def _host() -> str:
    domains = "".join(
        f"""<domain type='test'><name>vm-{number}</name><uuid>{uuid.UUID(int=number + 1)}</uuid>
        <memory>8388608</memory><vcpu>2</vcpu><os><type>hvm</type></os>
        <devices><interface type='network'><source network='default'/><target dev='vnet{number}'/></interface></devices>
        </domain>"""
        for number in range(VMS)
    )
    return f"<node>{domains}</node>"


if __name__ == "__main__":
    for figure in watching_cost():
        print(figure.line())
